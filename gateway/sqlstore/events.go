package sqlstore

import (
	"context"
	"strings"

	"sluice/gateway"
	"sluice/tracking/sqldb"
)

// AddEvents implements gateway.EventStore.
func (s *Store) AddEvents(ctx context.Context, events []gateway.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.change(ctx, func(tx *sqldb.Tx) error { return addEvents(ctx, tx, events) })
}

// addEvent numbers the event behind the endpoint's newest and drops what is past the bound.
func addEvent(ctx context.Context, tx *sqldb.Tx, e gateway.Event) error {
	var seq int64
	err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) + 1 FROM sluice_endpoint_events WHERE endpoint = ?`, e.Endpoint).Scan(&seq)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, tx.Dialect().Insert("sluice_endpoint_events", "endpoint", "seq", "kind", "arm", "version", "reason", "time_ms"),
		e.Endpoint, seq, string(e.Kind), e.Arm, e.Version, clip(e.Reason), e.TimeMS)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM sluice_endpoint_events WHERE endpoint = ? AND seq <= ?`, e.Endpoint, seq-gateway.MaxEvents)
	return err
}

func clip(reason string) string {
	if len(reason) <= gateway.MaxEventReasonLength {
		return reason
	}
	return strings.ToValidUTF8(reason[:gateway.MaxEventReasonLength], "")
}

// Events implements gateway.EventStore.
func (s *Store) Events(ctx context.Context, endpoint string, limit int) ([]gateway.Event, error) {
	rows, err := s.db.Read().QueryContext(ctx,
		`SELECT kind, arm, version, reason, time_ms FROM sluice_endpoint_events WHERE endpoint = ? ORDER BY seq DESC LIMIT ?`, endpoint, limit)
	if err != nil {
		return nil, sqldb.Classify(err)
	}
	defer rows.Close()
	var out []gateway.Event
	for rows.Next() {
		e := gateway.Event{Endpoint: endpoint}
		if err := rows.Scan(&e.Kind, &e.Arm, &e.Version, &e.Reason, &e.TimeMS); err != nil {
			return nil, sqldb.Classify(err)
		}
		out = append(out, e)
	}
	return out, sqldb.Classify(rows.Err())
}
