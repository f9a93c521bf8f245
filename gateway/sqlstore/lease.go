package sqlstore

import (
	"context"

	"sluice/gateway"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

// KeepRollout implements gateway.RolloutLease.
func (s *Store) KeepRollout(ctx context.Context, r gateway.Rollout) (beat int64, err error) {
	err = s.change(ctx, func(tx *sqldb.Tx) error {
		now, err := driven(ctx, tx, r)
		if err != nil {
			return err
		}
		now.Evidence, now.Verdict, now.Because = r.Evidence, r.Verdict, r.Because
		now.Beat++
		beat = now.Beat
		return putRollout(ctx, tx, now, now.Revision)
	})
	return beat, err
}

// TakeRollout implements gateway.RolloutLease.
func (s *Store) TakeRollout(ctx context.Context, r gateway.Rollout, driver string, events []gateway.Event) (now gateway.Rollout, err error) {
	err = s.change(ctx, func(tx *sqldb.Tx) error {
		if now, err = driven(ctx, tx, r); err != nil {
			return err
		}
		if now.Beat != r.Beat {
			return lost(now)
		}
		now.Driver = driver
		now.Beat++
		if err := putRollout(ctx, tx, now, now.Revision+1); err != nil {
			return err
		}
		return addEvents(ctx, tx, events)
	})
	now.Revision++
	return now, err
}

// driven reads r's row again. Returns RESOURCE_CONFLICT if it is another's now, changed or ended.
func driven(ctx context.Context, tx *sqldb.Tx, r gateway.Rollout) (gateway.Rollout, error) {
	now, err := sameRollout(ctx, tx, r)
	if err == nil && (now.Driver != r.Driver || !now.Phase.Active()) {
		err = lost(now)
	}
	return now, err
}

func lost(now gateway.Rollout) error {
	return &mlflow.Error{
		Code: mlflow.ResourceConflict, Message: "rollout " + now.ID + " is carried out by another process, or has ended",
		Details: map[string]any{"phase": string(now.Phase)},
	}
}
