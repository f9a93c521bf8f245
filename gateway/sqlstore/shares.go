package sqlstore

import (
	"context"

	"sluice/gateway"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

// shareMigration is a step of the component "gateway": a row for each process that follows an active rollout.
var shareMigration = sqldb.Migration{ID: 3, Name: "shares of rollouts", SQL: []string{
	`CREATE TABLE sluice_rollout_shares (
		rollout_id VARCHAR(36) NOT NULL,
		member VARCHAR(256) NOT NULL,
		seq BIGINT NOT NULL,
		counts TEXT NOT NULL,
		PRIMARY KEY (rollout_id, member)
	)`,
}}

// PutRolloutShare implements gateway.RolloutShareStore.
func (s *Store) PutRolloutShare(ctx context.Context, share gateway.RolloutShare) error {
	return s.change(ctx, func(tx *sqldb.Tx) error {
		if err := shareable(ctx, tx, share); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM sluice_rollout_shares WHERE rollout_id = ? AND member = ?`, share.Rollout, share.Member); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, tx.Dialect().Insert("sluice_rollout_shares", "rollout_id", "member", "seq", "counts"),
			share.Rollout, share.Member, share.Seq, share.Counts)
		return err
	})
}

// shareable refuses a share of a rollout that is not active, or has too many.
func shareable(ctx context.Context, tx *sqldb.Tx, share gateway.RolloutShare) error {
	var others int
	rows, err := queryRollouts(ctx, tx, `WHERE id = ?`, share.Rollout)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return mlflow.Missingf("rollout %s does not exist", share.Rollout)
	}
	if !rows[0].Phase.Active() {
		return lost(rows[0])
	}
	err = tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sluice_rollout_shares WHERE rollout_id = ? AND member <> ?`, share.Rollout, share.Member).Scan(&others)
	if err == nil && others >= gateway.MaxRolloutMembers {
		err = mlflow.Errorf(mlflow.ResourceConflict, "rollout %s has shares of %d processes", share.Rollout, others)
	}
	return err
}

// RolloutShares implements gateway.RolloutShareStore.
func (s *Store) RolloutShares(ctx context.Context, rollout string) ([]gateway.RolloutShare, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT rollout_id, member, seq, counts FROM sluice_rollout_shares WHERE rollout_id = ? ORDER BY member`, rollout)
	if err != nil {
		return nil, sqldb.Classify(err)
	}
	defer rows.Close()
	var out []gateway.RolloutShare
	for rows.Next() {
		var share gateway.RolloutShare
		if err := rows.Scan(&share.Rollout, &share.Member, &share.Seq, &share.Counts); err != nil {
			return nil, sqldb.Classify(err)
		}
		out = append(out, share)
	}
	return out, sqldb.Classify(rows.Err())
}

func dropShares(ctx context.Context, tx *sqldb.Tx, rollout string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM sluice_rollout_shares WHERE rollout_id = ?`, rollout)
	return err
}
