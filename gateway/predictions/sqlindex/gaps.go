package sqlindex

import (
	"context"
	"strings"
	"time"

	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/tracking/sqldb"
)

const gapTable = "sluice_prediction_gaps"

// gapMigration is step 2 of the component.
var gapMigration = sqldb.Migration{ID: 2, Name: "gaps of the prediction log", SQL: []string{
	`CREATE TABLE sluice_prediction_gaps (
		id VARCHAR(36) NOT NULL PRIMARY KEY,
		from_us BIGINT NOT NULL,
		to_us BIGINT NOT NULL,
		at_most BIGINT NOT NULL
	)`,
	`CREATE INDEX sluice_prediction_gaps_time ON sluice_prediction_gaps (to_us, from_us)`,
}}

// AddGap implements predictions.Gaps.
func (x *Index) AddGap(ctx context.Context, g predlog.Gap) error {
	return x.db.WithTx(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, component); err != nil {
			return err
		}
		var known, all int64
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+gapTable+` WHERE id = ?`, g.ID).Scan(&known); err != nil || known > 0 {
			return err
		}
		insert := tx.Dialect().Insert(gapTable, "id", "from_us", "to_us", "at_most")
		if _, err := tx.ExecContext(ctx, insert, g.ID, g.From.UnixMicro(), g.To.UnixMicro(), g.AtMost); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM `+gapTable).Scan(&all); err != nil || all <= predictions.MaxGaps {
			return err
		}
		var oldest string
		if err := tx.QueryRowContext(ctx, `SELECT id FROM `+gapTable+` ORDER BY to_us, id LIMIT 1`).Scan(&oldest); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM `+gapTable+` WHERE id = ?`, oldest)
		return err
	})
}

// Gaps implements predictions.Gaps.
func (x *Index) Gaps(ctx context.Context, from, to time.Time, limit int) ([]predlog.Gap, error) {
	var where []string
	var args []any
	if !from.IsZero() {
		where, args = append(where, "to_us >= ?"), append(args, from.UnixMicro())
	}
	if !to.IsZero() {
		where, args = append(where, "from_us < ?"), append(args, to.UnixMicro())
	}
	query := `SELECT id, from_us, to_us, at_most FROM ` + gapTable
	if len(where) > 0 {
		query += ` WHERE ` + strings.Join(where, " AND ")
	}
	rows, err := x.db.Read().QueryContext(ctx, query+` ORDER BY to_us DESC, id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, sqldb.Classify(err)
	}
	defer rows.Close()
	out := []predlog.Gap{}
	for rows.Next() {
		var g predlog.Gap
		var fromUS, toUS int64
		if err := rows.Scan(&g.ID, &fromUS, &toUS, &g.AtMost); err != nil {
			return nil, sqldb.Classify(err)
		}
		g.From, g.To = time.UnixMicro(fromUS).UTC(), time.UnixMicro(toUS).UTC()
		out = append(out, g)
	}
	return out, sqldb.Classify(rows.Err())
}
