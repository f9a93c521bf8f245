package sqlstore

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"sluice/gateway/auth"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/wire"
)

// Keys implements auth.Store.
func (s *Store) Keys(ctx context.Context) (keys []auth.Key, revision int64, err error) {
	err = s.db.ReadTx(ctx, func(q sqldb.Querier) error {
		if err := q.QueryRowContext(ctx, selectRevision).Scan(&revision); err != nil {
			return err
		}
		rows, err := q.QueryContext(ctx, `SELECT id, name, hash, permissions, created_ms, last_used_ms, revoked_ms FROM sluice_keys ORDER BY created_ms, id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			k, err := scanKey(rows.Scan)
			if err != nil {
				return err
			}
			keys = append(keys, k)
		}
		return rows.Err()
	})
	return keys, revision, err
}

const selectRevision = `SELECT revision FROM sluice_key_revision WHERE id = 1`

func scanKey(scan func(...any) error) (auth.Key, error) {
	var k auth.Key
	var hash, permissions string
	if err := scan(&k.ID, &k.Name, &hash, &permissions, &k.CreatedMS, &k.LastUsedMS, &k.RevokedMS); err != nil {
		return k, err
	}
	sum, err := hex.DecodeString(hash)
	if err != nil || len(sum) != len(k.Hash) {
		return k, fmt.Errorf("stored hash of key %q is not a SHA-256", k.Name)
	}
	k.Hash = auth.Hash(sum)
	for p := range strings.SplitSeq(permissions, ",") {
		k.Permissions = append(k.Permissions, wire.Permission(p))
	}
	return k, nil
}

// KeyRevision implements auth.Store.
func (s *Store) KeyRevision(ctx context.Context) (int64, error) {
	var revision int64
	err := s.db.Read().QueryRowContext(ctx, selectRevision).Scan(&revision)
	return revision, sqldb.Classify(err)
}

// CreateKey implements auth.Store.
func (s *Store) CreateKey(ctx context.Context, k auth.Key) error {
	permissions := make([]string, len(k.Permissions))
	for i, p := range k.Permissions {
		permissions[i] = string(p)
	}
	return s.change(ctx, func(tx *sqldb.Tx) error {
		var all, same int
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN name = ? AND revoked_ms = 0 THEN 1 ELSE 0 END), 0) FROM sluice_keys`, k.Name).Scan(&all, &same)
		switch {
		case err != nil:
			return err
		case same > 0:
			return mlflow.Errorf(mlflow.ResourceAlreadyExists, "a key named %q exists already", k.Name)
		case all >= auth.MaxKeys:
			return mlflow.Errorf(mlflow.ResourceExhausted, "there are %d keys already, which is the most", all)
		}
		_, err = tx.ExecContext(ctx, tx.Dialect().Insert("sluice_keys", "id", "name", "hash", "permissions", "created_ms", "last_used_ms", "revoked_ms"),
			k.ID, k.Name, hex.EncodeToString(k.Hash[:]), strings.Join(permissions, ","), k.CreatedMS, k.LastUsedMS, k.RevokedMS)
		if err != nil {
			return err
		}
		return raiseRevision(ctx, tx)
	})
}

func raiseRevision(ctx context.Context, tx *sqldb.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE sluice_key_revision SET revision = revision + 1 WHERE id = 1`)
	return err
}

// RevokeKey implements auth.Store.
func (s *Store) RevokeKey(ctx context.Context, idOrName string, nowMS int64) error {
	return s.change(ctx, func(tx *sqldb.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE sluice_keys SET revoked_ms = ? WHERE (id = ? OR name = ?) AND revoked_ms = 0`, nowMS, idOrName, idOrName)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return cmpErr(err, mlflow.Missingf("no valid key has the id or name %q", idOrName))
		}
		return raiseRevision(ctx, tx)
	})
}

// TouchKeys implements auth.Store.
func (s *Store) TouchKeys(ctx context.Context, usedMS map[string]int64) error {
	if len(usedMS) == 0 {
		return nil
	}
	return s.change(ctx, func(tx *sqldb.Tx) error {
		for id, ms := range usedMS {
			if _, err := tx.ExecContext(ctx, `UPDATE sluice_keys SET last_used_ms = ? WHERE id = ? AND last_used_ms < ?`, ms, id, ms); err != nil {
				return err
			}
		}
		return nil
	})
}
