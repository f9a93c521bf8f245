package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"sluice/gateway"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

var _ gateway.RolloutStore = (*Store)(nil)

// rolloutRow is what no statement asks about, in JSON. Fields are added, never renamed.
type rolloutRow struct {
	Arm          string                `json:"arm"`
	CanaryArm    string                `json:"canary_arm"`
	Model        string                `json:"model"`
	Target       string                `json:"target"`
	Stable       int                   `json:"stable"`
	Canary       int                   `json:"canary"`
	Origin       gateway.RolloutOrigin `json:"origin"`
	Creator      string                `json:"creator,omitempty"`
	Plan         gateway.RolloutPlan   `json:"plan"`
	Step         int                   `json:"step"`
	Weight       gateway.Weight        `json:"weight"`
	Shadow       gateway.Weight        `json:"shadow,omitempty"`
	Ending       gateway.RolloutPhase  `json:"ending,omitempty"`
	Reason       string                `json:"reason,omitempty"`
	StepRequests int64                 `json:"step_requests,omitempty"`
	Evidence     string                `json:"evidence,omitempty"`
	Writer       string                `json:"writer,omitempty"`
	Driver       string                `json:"driver,omitempty"`
	Beat         int64                 `json:"beat,omitempty"`
	Verdict      string                `json:"verdict,omitempty"`
	Because      string                `json:"because,omitempty"`
	StepSinceMS  int64                 `json:"step_since_ms"`
	UpdatedMS    int64                 `json:"updated_ms"`
}

const rolloutColumns = "id, endpoint, phase, state, started_ms, ended_ms, revision"

// rolloutMigration is a step of the component "gateway". active is 1 while the rollout acts on its endpoint.
var rolloutMigration = sqldb.Migration{ID: 2, Name: "rollouts", SQL: []string{
	`CREATE TABLE sluice_rollouts (
		id VARCHAR(36) NOT NULL PRIMARY KEY,
		endpoint VARCHAR(256) NOT NULL,
		phase VARCHAR(32) NOT NULL,
		active INTEGER NOT NULL,
		state TEXT NOT NULL,
		started_ms BIGINT NOT NULL,
		ended_ms BIGINT NOT NULL,
		warm_until_ms BIGINT NOT NULL,
		revision BIGINT NOT NULL
	)`,
	`CREATE INDEX sluice_rollouts_endpoint ON sluice_rollouts (endpoint, started_ms)`,
	`CREATE INDEX sluice_rollouts_active ON sluice_rollouts (active, warm_until_ms)`,
}}

func encodeRollout(r gateway.Rollout) (string, error) {
	b, err := json.Marshal(rolloutRow{
		Arm: r.Arm, CanaryArm: r.CanaryArm, Model: r.Model, Target: r.Target.String(), Stable: r.Stable, Canary: r.Canary, Origin: r.Origin,
		Creator: r.Creator, Plan: r.Plan, Step: r.Step, Weight: r.Weight, Shadow: r.Shadow, Ending: r.Ending, Reason: clip(r.Reason),
		StepRequests: r.StepRequests, Evidence: r.Evidence, Writer: r.Writer, Driver: r.Driver, Beat: r.Beat,
		Verdict: r.Verdict, Because: clip(r.Because), StepSinceMS: r.StepSinceMS, UpdatedMS: r.UpdatedMS,
	})
	return string(b), err
}

func scanRollout(scan func(...any) error) (gateway.Rollout, error) {
	var r gateway.Rollout
	var state string
	if err := scan(&r.ID, &r.Endpoint, &r.Phase, &state, &r.StartedMS, &r.EndedMS, &r.Revision); err != nil {
		return r, err
	}
	var row rolloutRow
	if err := json.Unmarshal([]byte(state), &row); err != nil {
		return r, fmt.Errorf("stored rollout %s: %w", r.ID, err)
	}
	target, err := gateway.ParseSelector(row.Target)
	if err != nil {
		return r, fmt.Errorf("stored rollout %s: %w", r.ID, err)
	}
	r.Arm, r.CanaryArm, r.Model, r.Target, r.Stable, r.Canary = row.Arm, row.CanaryArm, row.Model, target, row.Stable, row.Canary
	r.Origin, r.Creator, r.Plan, r.Step, r.Weight, r.Shadow = row.Origin, row.Creator, row.Plan, row.Step, row.Weight, row.Shadow
	r.Ending, r.Reason, r.StepRequests, r.Evidence, r.Writer = row.Ending, row.Reason, row.StepRequests, row.Evidence, row.Writer
	r.Driver, r.Beat, r.Verdict, r.Because = row.Driver, row.Beat, row.Verdict, row.Because
	r.StepSinceMS, r.UpdatedMS = row.StepSinceMS, row.UpdatedMS
	return r, nil
}

func queryRollouts(ctx context.Context, q sqldb.Querier, tail string, args ...any) ([]gateway.Rollout, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+rolloutColumns+` FROM sluice_rollouts `+tail, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []gateway.Rollout
	for rows.Next() {
		r, err := scanRollout(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// Rollouts implements gateway.RolloutStore.
func (s *Store) Rollouts(ctx context.Context, nowMS int64) ([]gateway.Rollout, error) {
	out, err := queryRollouts(ctx, s.db.Read(), `WHERE active = 1 OR warm_until_ms > ? ORDER BY endpoint, started_ms, id`, nowMS)
	return out, sqldb.Classify(err)
}

// RolloutHistory implements gateway.RolloutStore.
func (s *Store) RolloutHistory(ctx context.Context, endpoint string, limit int) ([]gateway.Rollout, error) {
	tail, args := `ORDER BY active DESC, started_ms DESC, id LIMIT ?`, []any{limit}
	if endpoint != "" {
		tail, args = `WHERE endpoint = ? `+tail, []any{endpoint, limit}
	}
	out, err := queryRollouts(ctx, s.db.Read(), tail, args...)
	return out, sqldb.Classify(err)
}

// CreateRollout implements gateway.RolloutStore.
func (s *Store) CreateRollout(ctx context.Context, r gateway.Rollout, events []gateway.Event) error {
	state, err := encodeRollout(r)
	if err != nil {
		return err
	}
	return s.change(ctx, func(tx *sqldb.Tx) error {
		if err := noRollout(ctx, tx, r.Endpoint); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, tx.Dialect().Insert("sluice_rollouts", "id", "endpoint", "phase", "active", "state", "started_ms", "ended_ms", "warm_until_ms", "revision"),
			r.ID, r.Endpoint, string(r.Phase), 1, state, r.StartedMS, 0, 0, 1)
		if err != nil {
			return err
		}
		if err := addEvents(ctx, tx, events); err != nil {
			return err
		}
		return dropOldRollouts(ctx, tx, r.Endpoint)
	})
}

// noRollout refuses a change of an endpoint while a rollout acts on it.
func noRollout(ctx context.Context, tx *sqldb.Tx, endpoint string) error {
	active, err := queryRollouts(ctx, tx, `WHERE endpoint = ? AND active = 1`, endpoint)
	if err != nil || len(active) == 0 {
		return err
	}
	return gateway.RolloutConflict(active[0])
}

func dropOldRollouts(ctx context.Context, tx *sqldb.Tx, endpoint string) error {
	ended, err := queryRollouts(ctx, tx, `WHERE endpoint = ? AND active = 0 ORDER BY started_ms DESC, id`, endpoint)
	if err != nil {
		return err
	}
	for i := gateway.MaxRolloutHistory; i < len(ended); i++ {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sluice_rollouts WHERE id = ?`, ended[i].ID); err != nil {
			return err
		}
	}
	return nil
}

// SaveRollout implements gateway.RolloutStore.
func (s *Store) SaveRollout(ctx context.Context, r gateway.Rollout, events []gateway.Event, config *gateway.Config) (int64, error) {
	err := s.change(ctx, func(tx *sqldb.Tx) error {
		now, err := sameRollout(ctx, tx, r)
		if err != nil {
			return err
		}
		r.Driver, r.Beat = now.Driver, now.Beat
		if err := putRollout(ctx, tx, r, r.Revision+1); err != nil {
			return err
		}
		if config != nil {
			if err := writeConfig(ctx, tx, r.Endpoint, *config, r.UpdatedMS); err != nil {
				return err
			}
		}
		if !r.Phase.Active() {
			if err := dropShares(ctx, tx, r.ID); err != nil {
				return err
			}
		}
		if r.Phase == gateway.RolloutPromoted {
			if err := putArms(ctx, tx, []gateway.ArmRecord{promotedArm(r, config)}); err != nil {
				return err
			}
		}
		return addEvents(ctx, tx, events)
	})
	return r.Revision + 1, err
}

// sameRollout reads r's row again. Returns RESOURCE_CONFLICT if it has another revision.
func sameRollout(ctx context.Context, tx *sqldb.Tx, r gateway.Rollout) (gateway.Rollout, error) {
	now, err := queryRollouts(ctx, tx, `WHERE id = ?`, r.ID)
	if err != nil {
		return r, err
	}
	if len(now) == 0 {
		return r, mlflow.Missingf("rollout %s does not exist", r.ID)
	}
	if now[0].Revision != r.Revision {
		return r, &mlflow.Error{
			Code: mlflow.ResourceConflict, Message: "rollout " + r.ID + " changed meanwhile: its revision is " + strconv.FormatInt(now[0].Revision, 10),
			Details: map[string]any{"revision": now[0].Revision},
		}
	}
	return now[0], nil
}

func putRollout(ctx context.Context, tx *sqldb.Tx, r gateway.Rollout, revision int64) error {
	state, err := encodeRollout(r)
	if err != nil {
		return err
	}
	active := 0
	if r.Phase.Active() {
		active = 1
	}
	_, err = tx.ExecContext(ctx, `UPDATE sluice_rollouts SET phase = ?, active = ?, state = ?, ended_ms = ?, warm_until_ms = ?, revision = ? WHERE id = ?`,
		string(r.Phase), active, state, r.EndedMS, r.WarmUntilMS(), revision, r.ID)
	return err
}

// promotedArm is the record of an arm that a rollout took over: with it no restart takes the same version for a new one.
func promotedArm(r gateway.Rollout, config *gateway.Config) gateway.ArmRecord {
	a := gateway.ArmRecord{Endpoint: r.Endpoint, Arm: r.Arm, Model: r.Model, Target: r.Target, Version: r.Canary, UpdatedMS: r.UpdatedMS}
	if config != nil {
		if e, ok := config.Entity(r.Arm); ok {
			a.Target = e.Target
		}
	}
	return a
}

func addEvents(ctx context.Context, tx *sqldb.Tx, events []gateway.Event) error {
	for _, e := range events {
		if err := addEvent(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
}
