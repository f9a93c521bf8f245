package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"sluice/gateway"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

const selectEndpoints = `SELECT name, description, config, config_version, creator, created_ms, updated_ms FROM sluice_endpoints`

// Endpoints implements gateway.EndpointStore.
func (s *Store) Endpoints(ctx context.Context) ([]gateway.Endpoint, error) {
	var out []gateway.Endpoint
	err := s.db.ReadTx(ctx, func(q sqldb.Querier) error {
		var err error
		if out, err = endpoints(ctx, q); err != nil || len(out) == 0 {
			return err
		}
		return addTags(ctx, q, out)
	})
	return out, err
}

func endpoints(ctx context.Context, q sqldb.Querier) ([]gateway.Endpoint, error) {
	rows, err := q.QueryContext(ctx, selectEndpoints+` ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []gateway.Endpoint
	for rows.Next() {
		e, err := scanEndpoint(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

func addTags(ctx context.Context, q sqldb.Querier, to []gateway.Endpoint) error {
	byName := make(map[string]int, len(to))
	for i := range to {
		byName[to[i].Name] = i
	}
	rows, err := q.QueryContext(ctx, `SELECT endpoint, tag_key, tag_value FROM sluice_endpoint_tags ORDER BY endpoint, tag_key`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var t gateway.Tag
		if err := rows.Scan(&name, &t.Key, &t.Value); err != nil {
			return err
		}
		if i, ok := byName[name]; ok {
			to[i].Tags = append(to[i].Tags, t)
		}
	}
	return rows.Err()
}

func scanEndpoint(scan func(...any) error) (gateway.Endpoint, error) {
	var e gateway.Endpoint
	var config string
	if err := scan(&e.Name, &e.Description, &config, &e.ConfigVersion, &e.Creator, &e.CreatedMS, &e.UpdatedMS); err != nil {
		return e, err
	}
	var err error
	e.Config, err = decodeConfig(e.Name, config)
	return e, err
}

// Endpoint implements gateway.EndpointStore.
func (s *Store) Endpoint(ctx context.Context, name string) (gateway.Endpoint, error) {
	var e gateway.Endpoint
	err := s.db.ReadTx(ctx, func(q sqldb.Querier) error {
		var err error
		e, err = endpoint(ctx, q, name)
		return err
	})
	return e, err
}

func endpoint(ctx context.Context, q sqldb.Querier, name string) (gateway.Endpoint, error) {
	e, err := scanEndpoint(q.QueryRowContext(ctx, selectEndpoints+` WHERE name = ?`, name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return e, missing(name)
	}
	if err != nil {
		return e, err
	}
	e.Tags, err = tags(ctx, q, name)
	return e, err
}

func missing(name string) error { return mlflow.Missingf("endpoint %q does not exist", name) }

func tags(ctx context.Context, q sqldb.Querier, name string) ([]gateway.Tag, error) {
	rows, err := q.QueryContext(ctx, `SELECT tag_key, tag_value FROM sluice_endpoint_tags WHERE endpoint = ? ORDER BY tag_key`, name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []gateway.Tag
	for rows.Next() {
		var t gateway.Tag
		if err := rows.Scan(&t.Key, &t.Value); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

// CreateEndpoint implements gateway.EndpointStore.
func (s *Store) CreateEndpoint(ctx context.Context, e gateway.Endpoint) error {
	config, err := encodeConfig(e.Config)
	if err != nil {
		return err
	}
	return s.change(ctx, func(tx *sqldb.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sluice_endpoints`).Scan(&n); err != nil {
			return err
		}
		if n >= gateway.MaxEndpoints {
			return mlflow.Errorf(mlflow.ResourceExhausted, "there are %d endpoints already, which is the most", n)
		}
		if err := noRollout(ctx, tx, e.Name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, tx.Dialect().Insert("sluice_endpoints", "name", "description", "config", "config_version", "creator", "created_ms", "updated_ms"),
			e.Name, e.Description, config, e.ConfigVersion, e.Creator, e.CreatedMS, e.UpdatedMS)
		if sqldb.IsUniqueViolation(err) {
			return mlflow.Errorf(mlflow.ResourceAlreadyExists, "endpoint %q exists already", e.Name)
		}
		if err != nil {
			return err
		}
		return setTags(ctx, tx, e.Name, e.Tags)
	})
}

func setTags(ctx context.Context, tx *sqldb.Tx, name string, set []gateway.Tag) error {
	stmt := tx.Dialect().Insert("sluice_endpoint_tags", "endpoint", "tag_key", "tag_value") +
		tx.Dialect().Upsert([]string{"endpoint", "tag_key"}, "tag_value")
	for _, t := range set {
		if _, err := tx.ExecContext(ctx, stmt, name, t.Key, t.Value); err != nil {
			return err
		}
	}
	return nil
}

// UpdateConfig implements gateway.EndpointStore.
func (s *Store) UpdateConfig(ctx context.Context, name string, c gateway.Config, ifVersion, nowMS int64) (gateway.Endpoint, error) {
	config, err := encodeConfig(c)
	if err != nil {
		return gateway.Endpoint{}, err
	}
	var e gateway.Endpoint
	err = s.change(ctx, func(tx *sqldb.Tx) error {
		var err error
		if e, err = endpoint(ctx, tx, name); err != nil {
			return err
		}
		if ifVersion != 0 && ifVersion != e.ConfigVersion {
			return gateway.Conflict(name, e.ConfigVersion)
		}
		if err := noRollout(ctx, tx, name); err != nil {
			return err
		}
		e.Config = c
		e.ConfigVersion++
		e.UpdatedMS = nowMS
		_, err = tx.ExecContext(ctx, `UPDATE sluice_endpoints SET config = ?, config_version = ?, updated_ms = ? WHERE name = ?`,
			config, e.ConfigVersion, nowMS, name)
		if err != nil {
			return err
		}
		return keepArms(ctx, tx, e)
	})
	return e, err
}

// writeConfig replaces the configuration of an explicit endpoint.
func writeConfig(ctx context.Context, tx *sqldb.Tx, name string, c gateway.Config, nowMS int64) error {
	e, err := endpoint(ctx, tx, name)
	if err != nil {
		return err
	}
	config, err := encodeConfig(c)
	if err != nil {
		return err
	}
	e.Config = c
	_, err = tx.ExecContext(ctx, `UPDATE sluice_endpoints SET config = ?, config_version = config_version + 1, updated_ms = ? WHERE name = ?`, config, nowMS, name)
	if err != nil {
		return err
	}
	return keepArms(ctx, tx, e)
}

// keepArms removes the records of arms that the configuration no longer has; what an arm served before stays with the arm.
func keepArms(ctx context.Context, tx *sqldb.Tx, e gateway.Endpoint) error {
	args := []any{e.Name}
	for _, s := range e.Config.ServedEntities {
		args = append(args, s.Name, gateway.PreviousArm(s.Name))
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM sluice_arm_state WHERE endpoint = ? AND arm NOT IN (`+sqldb.Placeholders(len(args)-1)+`)`, args...)
	return err
}

// UpdateTags implements gateway.EndpointStore.
func (s *Store) UpdateTags(ctx context.Context, name string, set []gateway.Tag, remove []string, nowMS int64) ([]gateway.Tag, error) {
	var out []gateway.Tag
	err := s.change(ctx, func(tx *sqldb.Tx) error {
		if _, err := endpoint(ctx, tx, name); err != nil {
			return err
		}
		if err := setTags(ctx, tx, name, set); err != nil {
			return err
		}
		for _, key := range remove {
			if _, err := tx.ExecContext(ctx, `DELETE FROM sluice_endpoint_tags WHERE endpoint = ? AND tag_key = ?`, name, key); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE sluice_endpoints SET updated_ms = ? WHERE name = ?`, nowMS, name); err != nil {
			return err
		}
		var err error
		if out, err = tags(ctx, tx, name); err == nil && len(out) > gateway.MaxTags {
			err = mlflow.Invalidf("endpoint %q would have %d tags, more than %d", name, len(out), gateway.MaxTags)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// DeleteEndpoint implements gateway.EndpointStore.
func (s *Store) DeleteEndpoint(ctx context.Context, name string) error {
	return s.change(ctx, func(tx *sqldb.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM sluice_endpoints WHERE name = ?`, name)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return cmpErr(err, missing(name))
		}
		if err := noRollout(ctx, tx, name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM sluice_endpoint_tags WHERE endpoint = ?`, name); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM sluice_arm_state WHERE endpoint = ?`, name)
		return err
	})
}

// cmpErr returns the first error that is not nil.
func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
