package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"sluice/gateway/predlog"
	"sluice/gateway/truth"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

// Truth implements truth.Store over SQL. Labels are rows, so that one prediction has one, whoever writes and in whatever order; retention
// and truth.Options.MaxLabels bound them.
type Truth struct{ db *sqldb.DB }

var _ truth.Store = (*Truth)(nil)

// NewTruth returns a store over db after it brought its tables up to date. The database stays the caller's to close.
func NewTruth(ctx context.Context, db *sqldb.DB) (*Truth, error) {
	if err := db.Migrate(ctx, "ground truth", truthMigrations); err != nil {
		return nil, err
	}
	return &Truth{db: db}, nil
}

// truthMigrations of the component "ground truth"; steps are never edited after a release.
var truthMigrations = []sqldb.Migration{{ID: 1, Name: "labels, waiting items, tallies", SQL: []string{
	`CREATE TABLE sluice_truth_labels (
		prediction_id CHAR(32) NOT NULL,
		row_no INTEGER NOT NULL,
		value TEXT NOT NULL,
		endpoint VARCHAR(256) NOT NULL,
		model VARCHAR(256) NOT NULL,
		version INTEGER NOT NULL,
		predicted_ms BIGINT NOT NULL,
		arrived_ms BIGINT NOT NULL,
		PRIMARY KEY (prediction_id, row_no)
	)`,
	`CREATE INDEX sluice_truth_labels_arrived ON sluice_truth_labels (arrived_ms)`,
	`CREATE TABLE sluice_truth_waiting (
		id CHAR(64) NOT NULL PRIMARY KEY,
		endpoint VARCHAR(256) NOT NULL,
		item TEXT NOT NULL,
		arrived_ms BIGINT NOT NULL,
		seen_ms BIGINT NOT NULL
	)`,
	`CREATE INDEX sluice_truth_waiting_arrived ON sluice_truth_waiting (arrived_ms, id)`,
	`CREATE TABLE sluice_truth_tallies (
		endpoint VARCHAR(256) NOT NULL,
		model VARCHAR(256) NOT NULL,
		version INTEGER NOT NULL,
		hour_ms BIGINT NOT NULL,
		tally TEXT NOT NULL,
		PRIMARY KEY (endpoint, model, version, hour_ms)
	)`,
}}}

// change runs fn in one transaction. Those of all processes take turns, so that fn may rely on what it reads.
func (s *Truth) change(ctx context.Context, fn func(tx *sqldb.Tx) error) error {
	return s.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, "ground truth"); err != nil {
			return err
		}
		return fn(tx)
	})
}

const hour = int64(time.Hour / time.Millisecond)

// hourOf is the hour that a time ≥ 1970 is in, ms.
func hourOf(ms int64) int64 { return ms - ms%hour }

// Settle implements truth.Store.
func (s *Truth) Settle(ctx context.Context, labels []truth.Label, nowMS int64) ([]truth.Standing, error) {
	var out []truth.Standing
	err := s.change(ctx, func(tx *sqldb.Tx) error {
		out = make([]truth.Standing, len(labels))
		tallies := map[predlog.Series]*truth.Tally{}
		for i := range labels {
			var err error
			if out[i], err = settleLabel(ctx, tx, &labels[i], nowMS); err != nil {
				return err
			}
			if out[i] != truth.Fresh {
				continue
			}
			t := tallies[labels[i].Series]
			if t == nil {
				t = &truth.Tally{}
				tallies[labels[i].Series] = t
			}
			t.Count(labels[i].Judgement)
		}
		for series, t := range tallies {
			if err := addTally(ctx, tx, series, hourOf(nowMS), t); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func settleLabel(ctx context.Context, tx *sqldb.Tx, l *truth.Label, nowMS int64) (truth.Standing, error) {
	id := hex.EncodeToString(l.PredictionID[:])
	res, err := tx.ExecContext(ctx, tx.Dialect().InsertIgnore("sluice_truth_labels", []string{"prediction_id", "row_no"},
		"prediction_id", "row_no", "value", "endpoint", "model", "version", "predicted_ms", "arrived_ms"),
		id, l.Row, l.Value.JSON(), l.Endpoint, l.Model, l.Version, l.PredictedMS, nowMS)
	if err != nil {
		return 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return truth.Fresh, err
	}
	var there string
	if err := tx.QueryRowContext(ctx, `SELECT value FROM sluice_truth_labels WHERE prediction_id = ? AND row_no = ?`, id, l.Row).Scan(&there); err != nil {
		return 0, err
	}
	if there == l.Value.JSON() {
		return truth.Same, nil
	}
	return truth.Other, nil
}

func addTally(ctx context.Context, tx *sqldb.Tx, s predlog.Series, hourMS int64, more *truth.Tally) error {
	var sum truth.Tally
	err := eachTally(ctx, tx, func(_ predlog.Series, t *truth.Tally) { sum.Add(t) },
		`WHERE endpoint = ? AND model = ? AND version = ? AND hour_ms = ?`, s.Endpoint, s.Model, s.Version, hourMS)
	if err != nil {
		return err
	}
	sum.Add(more)
	text, err := json.Marshal(sum)
	if err != nil {
		return err
	}
	key := []string{"endpoint", "model", "version", "hour_ms"}
	_, err = tx.ExecContext(ctx, tx.Dialect().Insert("sluice_truth_tallies", append(key, "tally")...)+tx.Dialect().Upsert(key, "tally"),
		s.Endpoint, s.Model, s.Version, hourMS, string(text))
	return err
}

func eachTally(ctx context.Context, q sqldb.Querier, take func(predlog.Series, *truth.Tally), where string, args ...any) error {
	rows, err := q.QueryContext(ctx, `SELECT endpoint, model, version, tally FROM sluice_truth_tallies `+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var s predlog.Series
		var text string
		if err := rows.Scan(&s.Endpoint, &s.Model, &s.Version, &text); err != nil {
			return err
		}
		var t truth.Tally
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return fmt.Errorf("stored tally of endpoint %q: %w", s.Endpoint, err)
		}
		take(s, &t)
	}
	return rows.Err()
}

// Tallies implements truth.Store.
func (s *Truth) Tallies(ctx context.Context, fromMS int64) ([]truth.SeriesTally, error) {
	var out []truth.SeriesTally
	err := eachTally(ctx, s.db.Read(), func(series predlog.Series, t *truth.Tally) {
		if n := len(out); n == 0 || out[n-1].Series != series {
			out = append(out, truth.SeriesTally{Series: series})
		}
		out[len(out)-1].Add(t)
	}, `WHERE hour_ms >= ? ORDER BY endpoint, model, version, hour_ms`, hourOf(max(fromMS, 0)))
	return out, sqldb.Classify(err)
}

// Expire implements truth.Store. It removes the oldest labels by the minute, so that a statement stays small.
func (s *Truth) Expire(ctx context.Context, beforeMS int64, batch int) (more bool, err error) {
	err = s.change(ctx, func(tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM sluice_truth_tallies WHERE hour_ms < ?`, hourOf(max(beforeMS, 0))); err != nil {
			return err
		}
		until := beforeMS
		rows, err := tx.QueryContext(ctx, `SELECT arrived_ms FROM sluice_truth_labels WHERE arrived_ms < ? ORDER BY arrived_ms LIMIT 1 OFFSET `+strconv.Itoa(batch), beforeMS)
		if err != nil {
			return err
		}
		if more = rows.Next(); more {
			err = rows.Scan(&until)
			until++ // all labels of one call came at one time
		}
		if err := firstError(err, rows.Err(), rows.Close()); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM sluice_truth_labels WHERE arrived_ms < ?`, until)
		return err
	})
	return more, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// waitingID tells waiting items apart: by endpoint, key and row.
func waitingID(w *truth.Waiting) string {
	sum := sha256.Sum256([]byte(w.Endpoint + "\x00" + string(w.Key.Kind) + "\x00" + w.Key.Text + "\x00" + strconv.Itoa(w.Row)))
	return hex.EncodeToString(sum[:])
}

// Defer implements truth.Store.
func (s *Truth) Defer(ctx context.Context, items []truth.Waiting, max int) ([]truth.Standing, error) {
	var out []truth.Standing
	err := s.change(ctx, func(tx *sqldb.Tx) error {
		out = make([]truth.Standing, len(items))
		for i := range items {
			var err error
			if out[i], err = deferItem(ctx, tx, &items[i]); err != nil {
				return err
			}
		}
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sluice_truth_waiting`).Scan(&n); err != nil {
			return err
		}
		if n > max {
			return mlflow.Errorf(mlflow.ResourceExhausted, "%d items wait for their predictions already: send them again later", max)
		}
		return nil
	})
	return out, err
}

func deferItem(ctx context.Context, tx *sqldb.Tx, w *truth.Waiting) (truth.Standing, error) {
	text, err := json.Marshal(w.Item)
	if err != nil {
		return 0, err
	}
	id := waitingID(w)
	res, err := tx.ExecContext(ctx, tx.Dialect().InsertIgnore("sluice_truth_waiting", []string{"id"}, "id", "endpoint", "item", "arrived_ms", "seen_ms"),
		id, w.Endpoint, string(text), w.ArrivedMS, w.SeenMS)
	if err != nil {
		return 0, err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return truth.Fresh, err
	}
	var there string
	if err := tx.QueryRowContext(ctx, `SELECT item FROM sluice_truth_waiting WHERE id = ?`, id).Scan(&there); err != nil {
		return 0, err
	}
	var other truth.Item
	if err := json.Unmarshal([]byte(there), &other); err != nil {
		return 0, fmt.Errorf("stored ground truth %s: %w", id, err)
	}
	if other.Same(&w.Item) {
		return truth.Same, nil
	}
	return truth.Other, nil
}

// Waiting implements truth.Store.
func (s *Truth) Waiting(ctx context.Context, after truth.WaitingCursor, limit int) ([]truth.Waiting, truth.WaitingCursor, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, endpoint, item, arrived_ms, seen_ms FROM sluice_truth_waiting
		WHERE arrived_ms > ? OR (arrived_ms = ? AND id > ?) ORDER BY arrived_ms, id LIMIT ?`, after.ArrivedMS, after.ArrivedMS, after.ID, limit)
	if err != nil {
		return nil, after, sqldb.Classify(err)
	}
	defer rows.Close()
	var out []truth.Waiting
	for rows.Next() {
		var w truth.Waiting
		var id, item string
		if err := rows.Scan(&id, &w.Endpoint, &item, &w.ArrivedMS, &w.SeenMS); err != nil {
			return nil, after, sqldb.Classify(err)
		}
		if err := json.Unmarshal([]byte(item), &w.Item); err != nil {
			return nil, after, fmt.Errorf("stored ground truth %s: %w", id, err)
		}
		out = append(out, w)
		after = truth.WaitingCursor{ArrivedMS: w.ArrivedMS, ID: id}
	}
	return out, after, sqldb.Classify(rows.Err())
}

// Seen implements truth.Store.
func (s *Truth) Seen(ctx context.Context, items []truth.Waiting, seenMS int64) error {
	return s.eachWaiting(ctx, items, `UPDATE sluice_truth_waiting SET seen_ms = ? WHERE id = ?`, seenMS)
}

// Forget implements truth.Store.
func (s *Truth) Forget(ctx context.Context, items []truth.Waiting) error {
	return s.eachWaiting(ctx, items, `DELETE FROM sluice_truth_waiting WHERE id = ?`)
}

// eachWaiting runs the statement, whose last argument is the item's id, for every item.
func (s *Truth) eachWaiting(ctx context.Context, items []truth.Waiting, statement string, args ...any) error {
	if len(items) == 0 {
		return nil
	}
	return s.change(ctx, func(tx *sqldb.Tx) error {
		for i := range items {
			if _, err := tx.ExecContext(ctx, statement, append(args[:len(args):len(args)], waitingID(&items[i]))...); err != nil {
				return err
			}
		}
		return nil
	})
}
