// Package sqlindex keeps the index of prediction segments in the SQL database that tracking opened.
//
// It owns the tables sluice_prediction_segments, one row for each segment and none for a record, and sluice_prediction_gaps, and their migrations. It is called through
// predictions.Index; it must not know what a segment holds beyond its Summary, nor HTTP. An Index is safe for concurrent use.
package sqlindex

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/tracking/sqldb"
)

const (
	component = "predictions"
	table     = "sluice_prediction_segments"
)

// Index implements predictions.Index over SQL.
type Index struct{ db *sqldb.DB }

var _ predictions.Index = (*Index)(nil)

// New returns an index over db after it brought its table up to date. The database stays the caller's to close.
func New(ctx context.Context, db *sqldb.DB) (*Index, error) {
	if err := db.Migrate(ctx, component, migrations); err != nil {
		return nil, err
	}
	return &Index{db}, nil
}

// migrations of the component "predictions"; steps are never edited after a release. Ids are compared by the ms in them, so that no
// collation matters. The filters stand last: a row is read without them where they are not asked for.
var migrations = []sqldb.Migration{{ID: 1, Name: "segments of the prediction log", SQL: []string{
	`CREATE TABLE sluice_prediction_segments (
		seq BIGINT NOT NULL PRIMARY KEY,
		id VARCHAR(64) NOT NULL,
		endpoint VARCHAR(256) NOT NULL,
		model VARCHAR(256) NOT NULL,
		version INTEGER NOT NULL,
		run_id VARCHAR(36) NOT NULL,
		artifact_uri TEXT NOT NULL,
		path VARCHAR(256) NOT NULL,
		first_id CHAR(36) NOT NULL,
		last_id CHAR(36) NOT NULL,
		first_id_ms BIGINT NOT NULL,
		last_id_ms BIGINT NOT NULL,
		first_us BIGINT NOT NULL,
		last_us BIGINT NOT NULL,
		row_count BIGINT NOT NULL,
		byte_count BIGINT NOT NULL,
		client_ids INTEGER NOT NULL,
		id_filter BLOB NOT NULL,
		client_filter BLOB NOT NULL
	)`,
	`CREATE UNIQUE INDEX sluice_prediction_segments_id ON sluice_prediction_segments (id)`,
	`CREATE INDEX sluice_prediction_segments_ids ON sluice_prediction_segments (first_id_ms, last_id_ms)`,
	`CREATE INDEX sluice_prediction_segments_series ON sluice_prediction_segments (endpoint, model, version, seq)`,
	`CREATE INDEX sluice_prediction_segments_time ON sluice_prediction_segments (last_us)`,
}}, gapMigration}

// columns are those of a predictions.Segment.
const columns = "seq, id, endpoint, model, version, run_id, artifact_uri, path, first_id, last_id, first_us, last_us, row_count, byte_count"

// Add implements predictions.Index. Those who add take turns, so that a Seq that is seen has no lower one coming after it.
func (x *Index) Add(ctx context.Context, e predictions.Entry) error {
	return x.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, component); err != nil {
			return err
		}
		var known, last int64
		err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+table+` WHERE id = ?`, e.ID).Scan(&known)
		if err != nil || known > 0 {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM `+table).Scan(&last); err != nil {
			return err
		}
		insert := tx.Dialect().Insert(table, append(strings.Split(columns, ", "), "first_id_ms", "last_id_ms", "client_ids", "id_filter", "client_filter")...)
		_, err = tx.ExecContext(ctx, insert,
			max(last+1, e.Last.UnixMilli()), e.ID, e.Endpoint, e.Model, e.Version, e.RunID, e.ArtifactURI, e.Place.Path,
			uuid.UUID(e.FirstID).String(), uuid.UUID(e.LastID).String(), e.First.UnixMicro(), e.Last.UnixMicro(), e.Rows, e.Bytes,
			predlog.IDTime(e.FirstID).UnixMilli(), predlog.IDTime(e.LastID).UnixMilli(), min(len(e.ClientIDs), 1), blob(e.IDs), blob(e.ClientIDs))
		return err
	})
}

// blob is a filter as a value that is not null.
func blob(f predlog.Filter) []byte {
	if f == nil {
		return []byte{}
	}
	return f
}

// Segments implements predictions.Index.
func (x *Index) Segments(ctx context.Context, q predictions.Query, after int64, limit int) ([]predictions.Segment, error) {
	where, args := conditions(q, after)
	selected, order := columns, " ORDER BY seq"
	if q.Newest {
		order += " DESC"
	}
	clientIDs := q.AnyClientID
	if q.ClientID != "" {
		clientIDs = []string{q.ClientID}
	}
	if len(clientIDs) == 0 {
		order, args = order+" LIMIT ?", append(args, limit)
	} else { // how many are left out by their filters is not known before
		selected += ", client_filter"
	}
	return x.read(ctx, `SELECT `+selected+` FROM `+table+where+order, args, func(s predictions.Segment, clients predlog.Filter) (keep, more bool) {
		keep = len(clientIDs) == 0 || slices.ContainsFunc(clientIDs, func(id string) bool { return clients.MayHold([]byte(id)) })
		if keep {
			limit--
		}
		return keep, limit > 0
	}, len(clientIDs) > 0)
}

// conditions is the WHERE of a query, as far as a segment tells.
func conditions(q predictions.Query, after int64) (where string, args []any) {
	var all []string
	and := func(condition string, arg any) { all, args = append(all, condition), append(args, arg) }
	if q.Endpoint != "" {
		and("endpoint = ?", q.Endpoint)
	}
	if q.Model != "" {
		and("model = ?", q.Model)
	}
	if q.Version != 0 {
		and("version = ?", q.Version)
	}
	if !q.From.IsZero() {
		and("last_us >= ?", q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		and("first_us < ?", q.To.UnixMicro())
	}
	if q.ClientID != "" || len(q.AnyClientID) > 0 {
		and("client_ids = ?", 1)
	}
	switch {
	case after > 0 && q.Newest:
		and("seq < ?", after)
	case after > 0:
		and("seq > ?", after)
	}
	if len(all) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(all, " AND "), args
}

// Holding implements predictions.Index.
func (x *Index) Holding(ctx context.Context, id [16]byte) ([]predictions.Segment, error) {
	ms := predlog.IDTime(id).UnixMilli()
	query := `SELECT ` + columns + `, id_filter FROM ` + table + ` WHERE first_id_ms <= ? AND last_id_ms >= ? ORDER BY seq`
	return x.read(ctx, query, []any{ms, ms}, func(_ predictions.Segment, ids predlog.Filter) (keep, more bool) {
		return ids.MayHold(id[:]), true
	}, true)
}

// Segment implements predictions.Index.
func (x *Index) Segment(ctx context.Context, seq int64) (predictions.Segment, error) {
	found, err := x.read(ctx, `SELECT `+columns+` FROM `+table+` WHERE seq = ?`, []any{seq}, all, false)
	if err != nil {
		return predictions.Segment{}, err
	}
	if len(found) == 0 {
		return predictions.Segment{}, predictions.ErrNotFound
	}
	return found[0], nil
}

func all(predictions.Segment, predlog.Filter) (keep, more bool) { return true, true }

// read reads segments, each with a filter if the query selects one, as long as take wants more.
func (x *Index) read(ctx context.Context, query string, args []any, take func(predictions.Segment, predlog.Filter) (keep, more bool), filtered bool) ([]predictions.Segment, error) {
	rows, err := x.db.Read().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, sqldb.Classify(err)
	}
	defer rows.Close()
	var out []predictions.Segment
	for more := true; more && rows.Next(); {
		var filter []byte
		s, err := scan(rows, &filter, filtered)
		if err != nil {
			return nil, err
		}
		var keep bool
		if keep, more = take(s, filter); keep {
			out = append(out, s)
		}
	}
	return out, sqldb.Classify(rows.Err())
}

func scan(rows *sql.Rows, filter *[]byte, filtered bool) (predictions.Segment, error) {
	var s predictions.Segment
	var firstID, lastID string
	var first, last int64
	into := []any{
		&s.Seq, &s.ID, &s.Endpoint, &s.Model, &s.Version, &s.RunID, &s.ArtifactURI, &s.Place.Path, &firstID, &lastID, &first, &last, &s.Rows, &s.Bytes,
	}
	if filtered {
		into = append(into, filter)
	}
	if err := rows.Scan(into...); err != nil {
		return s, sqldb.Classify(err)
	}
	s.First, s.Last = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
	a, err := uuid.Parse(firstID)
	b, otherErr := uuid.Parse(lastID)
	s.FirstID, s.LastID = a, b
	return s, errors.Join(err, otherErr)
}

// idsAtOnce bounds the parameters of one statement.
const idsAtOnce = 200

// Known implements predictions.Index.
func (x *Index) Known(ctx context.Context, ids []string) (map[string]bool, error) {
	known := map[string]bool{}
	for some := range slices.Chunk(ids, idsAtOnce) {
		rows, err := x.db.Read().QueryContext(ctx, `SELECT id FROM `+table+` WHERE id IN (`+sqldb.Placeholders(len(some))+`)`, texts(some)...)
		if err != nil {
			return nil, sqldb.Classify(err)
		}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				rows.Close()
				return nil, sqldb.Classify(err)
			}
			known[id] = true
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, sqldb.Classify(err)
		}
	}
	return known, nil
}

// Remove implements predictions.Index.
func (x *Index) Remove(ctx context.Context, ids []string) error {
	return x.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		for some := range slices.Chunk(ids, idsAtOnce) {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE id IN (`+sqldb.Placeholders(len(some))+`)`, texts(some)...); err != nil {
				return err
			}
		}
		return nil
	})
}

func texts(ids []string) []any {
	out := make([]any, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}
