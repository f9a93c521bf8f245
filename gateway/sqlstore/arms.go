package sqlstore

import (
	"context"
	"fmt"

	"sluice/gateway"
	"sluice/tracking/sqldb"
)

// Arms implements gateway.ArmStore.
func (s *Store) Arms(ctx context.Context) ([]gateway.ArmRecord, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT endpoint, arm, model, target, version, updated_ms FROM sluice_arm_state ORDER BY endpoint, arm`)
	if err != nil {
		return nil, sqldb.Classify(err)
	}
	defer rows.Close()
	var out []gateway.ArmRecord
	for rows.Next() {
		var r gateway.ArmRecord
		var target string
		if err := rows.Scan(&r.Endpoint, &r.Arm, &r.Model, &target, &r.Version, &r.UpdatedMS); err != nil {
			return nil, sqldb.Classify(err)
		}
		if r.Target, err = gateway.ParseSelector(target); err != nil {
			return nil, fmt.Errorf("stored arm %q of endpoint %q: %w", r.Arm, r.Endpoint, err)
		}
		out = append(out, r)
	}
	return out, sqldb.Classify(rows.Err())
}

// PutArms implements gateway.ArmStore.
func (s *Store) PutArms(ctx context.Context, records []gateway.ArmRecord) error {
	if len(records) == 0 {
		return nil
	}
	return s.change(ctx, func(tx *sqldb.Tx) error { return putArms(ctx, tx, records) })
}

func putArms(ctx context.Context, tx *sqldb.Tx, records []gateway.ArmRecord) error {
	stmt := tx.Dialect().Insert("sluice_arm_state", "endpoint", "arm", "model", "target", "version", "updated_ms") +
		tx.Dialect().Upsert([]string{"endpoint", "arm"}, "model", "target", "version", "updated_ms")
	for _, r := range records {
		if _, err := tx.ExecContext(ctx, stmt, r.Endpoint, r.Arm, r.Model, r.Target.String(), r.Version, r.UpdatedMS); err != nil {
			return err
		}
	}
	return nil
}

// DeleteArms implements gateway.ArmStore.
func (s *Store) DeleteArms(ctx context.Context, endpoint string) error {
	return s.change(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sluice_arm_state WHERE endpoint = ?`, endpoint)
		return err
	})
}
