package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"sluice/tracking/sqldb"
)

// HasDatasets reports whether the database holds an evaluation dataset; MLflow may have written it.
func (s *Store) HasDatasets(ctx context.Context) (bool, error) {
	return s.hasRows(ctx, "SELECT 1 FROM evaluation_datasets LIMIT 1")
}

// HasScorers reports whether the database holds a scorer; MLflow may have written it.
func (s *Store) HasScorers(ctx context.Context) (bool, error) {
	return s.hasRows(ctx, "SELECT 1 FROM scorers LIMIT 1")
}

func (s *Store) hasRows(ctx context.Context, query string) (bool, error) {
	var one int
	err := s.db.Read().QueryRowContext(ctx, query).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, sqldb.Classify(err)
}
