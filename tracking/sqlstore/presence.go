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

// HasGateway reports whether the database holds anything of MLflow's AI gateway; MLflow may have written it.
func (s *Store) HasGateway(ctx context.Context) (bool, error) {
	for _, table := range []string{"secrets", "model_definitions", "endpoints", "endpoint_bindings"} {
		if found, err := s.hasRows(ctx, "SELECT 1 FROM "+table+" LIMIT 1"); err != nil || found {
			return found, err
		}
	}
	return false, nil
}

// HasMCPServers reports whether the database holds an MCP server; MLflow may have written it. Older schemas have no table of them.
func (s *Store) HasMCPServers(ctx context.Context) (bool, error) {
	return s.hasNewRows(ctx, "mcp_servers")
}

// HasReviewQueues reports whether the database holds a review queue; MLflow may have written it. Older schemas have no table of them.
func (s *Store) HasReviewQueues(ctx context.Context) (bool, error) {
	return s.hasNewRows(ctx, "review_queues")
}

// HasLabelSchemas reports whether the database holds a label schema; MLflow may have written it. Older schemas have no table of them.
func (s *Store) HasLabelSchemas(ctx context.Context) (bool, error) {
	return s.hasNewRows(ctx, "label_schemas")
}

// hasNewRows is hasRows for a table that older schemas lack.
func (s *Store) hasNewRows(ctx context.Context, table string) (bool, error) {
	if !s.db.HasTable(table) {
		return false, nil
	}
	return s.hasRows(ctx, "SELECT 1 FROM "+table+" LIMIT 1")
}

func (s *Store) hasRows(ctx context.Context, query string) (bool, error) {
	var one int
	err := s.db.Read().QueryRowContext(ctx, query).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, sqldb.Classify(err)
}
