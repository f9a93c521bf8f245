// Package sqlstore is tracking.Store over MLflow's own SQL tables, so that MLflow and we can open one database in turns.
//
// It owns the statements about experiments, runs, metrics, inputs and logged models, written for SQLite, PostgreSQL and MySQL,
// and the compilation of filter trees to parameterised SQL. It is called by tracking's Service and built by cmd; it must not
// know the rules that the Service keeps, the filter language's text, HTTP, or other stores.
//
// # Concurrency
//
// A Store is safe for concurrent use. A write is one transaction; it takes rows in key order, so that two writers to one run
// wait for each other instead of deadlocking. A read of several tables sees one commit.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"strconv"
	"strings"

	"sluice/tracking"
	"sluice/tracking/sqldb"
)

// Store implements tracking.Store. Make it with New; the database stays the caller's to close.
type Store struct {
	db    *sqldb.DB
	newID func() string
}

var _ tracking.Store = (*Store)(nil)

// New returns a Store on db. newID makes the 32 hexadecimal digits that identify datasets and input edges; nil means random.
func New(db *sqldb.DB, newID func() string) *Store {
	if newID == nil {
		newID = randomID
	}
	return &Store{db: db, newID: newID}
}

// chunk is how many ids one IN list has: below every dialect's bound on parameters, and of one size, so that statements repeat.
const chunk = 500

// noLimit is a LIMIT that none reaches, for dialects that know OFFSET only behind LIMIT.
const noLimit = math.MaxInt64

func (s *Store) q(ident string) string { return s.db.Dialect().Quote(ident) }

// experimentID reads an experiment id, which is an integer in SQL stores.
func experimentID(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, tracking.InvalidExperimentID(id)
	}
	return n, nil
}

// storedExperimentID is experimentID for a lookup: an id that the column cannot hold (32 bits on the servers) is unknown.
func storedExperimentID(d sqldb.Dialect, id string) (int64, error) {
	n, err := experimentID(id)
	if err == nil && d != sqldb.SQLite && (n > math.MaxInt32 || n < math.MinInt32) {
		err = tracking.UnknownExperiment(strconv.FormatInt(n, 10))
	}
	return n, err
}

// experimentIDs reads ids as a comma separated list of integers for use in a statement. The list is safe as text: it holds
// digits only, and a list in parameters would meet the bound on their number.
func experimentIDs(ids []string) (string, error) {
	var b strings.Builder
	for i, id := range ids {
		n, err := experimentID(id)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(n, 10))
	}
	return b.String(), nil
}

// each runs a query and calls scan for each row.
func each(ctx context.Context, q sqldb.Querier, query string, args []any, scan func(rows *sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eachOf runs a query whose text has "%s" for the IN list, once for each chunk of ids; args come before the ids.
func eachOf(ctx context.Context, q sqldb.Querier, query string, args []any, ids []string, scan func(rows *sql.Rows) error) error {
	for len(ids) > 0 {
		n := min(chunk, len(ids))
		all := append(append([]any{}, args...), anys(ids[:n])...)
		if err := each(ctx, q, inList(query, n), all, scan); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// found tells whether a single row was there; other errors stay errors.
func found(err error) (bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// insertAll inserts rows of len(columns) values each, laid out flat, with tail behind VALUES (see sqldb.Dialect.Upsert), and
// returns how many rows the database says it changed.
func insertAll(ctx context.Context, tx *sqldb.Tx, table string, columns []string, tail string, flat []any) (int64, error) {
	width := len(columns)
	return tx.Insert(ctx, sqldb.Into{Table: table, Columns: columns, Tail: tail}, len(flat)/width, func(i int, to *sqldb.NewRow) {
		for _, v := range flat[i*width : (i+1)*width] {
			to.Value(v)
		}
	})
}

// inList puts n placeholders in place of the "%s" of a query.
func inList(query string, n int) string {
	return strings.Replace(query, "%s", sqldb.Placeholders(n), 1)
}
