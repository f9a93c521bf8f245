package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	_ "github.com/mattn/go-sqlite3" // the driver that fill opens
)

// largeKeys is how many metric keys every run of the large database has.
const largeKeys = 200

// executor runs statements on the database that is filled.
type executor func(query string, args ...any) error

// fill writes rows straight into the database of a data directory, which a first start of the server makes: what HTTP would take
// an hour for takes a minute. Indexes beside the primary keys are dropped and made again, which is faster and leaves the same.
func (b *bench) fill(ctx context.Context, data string, rows func(tx executor) error) (err error) {
	p, err := b.serve(ctx, data)
	if err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	db, err := sql.Open("sqlite3", "file:"+b.database(data)+"?_foreign_keys=off&_synchronous=OFF&_journal_mode=OFF&_cache_size=-1500000")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	run := func(query string, args ...any) error {
		_, err := db.ExecContext(ctx, query, args...)
		if err != nil {
			err = fmt.Errorf("%.80s: %w", query, err)
		}
		return err
	}
	indexes, err := droppedIndexes(ctx, db, run)
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return run("BEGIN") }, func() error { return rows(run) }, func() error { return run("COMMIT") },
		func() error { return run(strings.Join(indexes, ";\n")) }, func() error { return run("PRAGMA journal_mode = WAL") },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("fill %s: %w", data, err)
		}
	}
	return nil
}

// droppedIndexes drops the indexes of the filled tables and returns the statements that make them again.
func droppedIndexes(ctx context.Context, db *sql.DB, run executor) ([]string, error) {
	found, err := db.QueryContext(ctx, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('runs', 'metrics', 'latest_metrics', 'params')")
	if err != nil {
		return nil, err
	}
	var names, statements []string
	for found.Next() {
		var name, text string
		if err := found.Scan(&name, &text); err != nil {
			return nil, errors.Join(err, found.Close())
		}
		names, statements = append(names, name), append(statements, text)
	}
	if err := errors.Join(found.Err(), found.Close()); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := run(`DROP INDEX "` + name + `"`); err != nil {
			return nil, err
		}
	}
	return statements, nil
}

// numbers is a table n(i) of 0 … count−1, whose count is the statement's first parameter.
const numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?) "

const insertRuns = "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, source_version, " +
	"lifecycle_stage, artifact_uri, experiment_id) "

// insertExperiment makes the experiment of the filled runs.
func insertExperiment(tx executor) error {
	return tx("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace) " +
		"VALUES (" + filledExperiment + ", 'filled', 'mlflow-artifacts:/1', 'active', 1700000000000, 1700000000000, 'default')")
}

// fillRuns makes an experiment of 10,000 runs with a metric and a param each, and a run with a long history.
func fillRuns(tx executor) error {
	const values = "SELECT lower(hex(randomblob(16))), 'run ' || i, 'UNKNOWN', '', '', 'bench', 'FINISHED', 1700000000000 + i, '', 'active', 'mlflow-artifacts:/1/x/artifacts', " + filledExperiment + " FROM n"
	return inOrder(
		func() error { return insertExperiment(tx) },
		func() error { return tx(numbers+insertRuns+values, 10_000) },
		func() error {
			return tx("INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) SELECT 'm', (start_time - 1700000000000) / 10000.0, start_time, 0, 0, run_uuid FROM runs")
		},
		func() error {
			return tx("INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) SELECT key, value, timestamp, step, is_nan, run_uuid FROM latest_metrics")
		},
		func() error {
			return tx("INSERT INTO params (key, value, run_uuid) SELECT 'kind', CASE start_time % 2 WHEN 0 THEN 'a' ELSE 'b' END, run_uuid FROM runs")
		},
		func() error {
			return tx(insertRuns+"VALUES (?, 'history', 'UNKNOWN', '', '', 'bench', 'RUNNING', 1700000000000, '', 'active', 'mlflow-artifacts:/1/h/artifacts', "+filledExperiment+")", historyRun)
		},
		func() error {
			return tx(numbers+"INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) SELECT 'loss', i / 1000.0, 1700000000000 + i, i, 0, ? FROM n", historyPoints, historyRun)
		},
		func() error {
			return tx("INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) SELECT key, value, timestamp, step, is_nan, run_uuid FROM metrics WHERE run_uuid = ? ORDER BY step DESC LIMIT 1", historyRun)
		},
	)
}

// fillMetrics makes runs of 1000 metrics each, numbered from the given one.
func fillMetrics(tx executor, runs, from int) error {
	const values = "SELECT printf('%032d', i + ?), 'run', 'UNKNOWN', '', '', 'bench', 'FINISHED', 1700000000000, '', 'active', 'mlflow-artifacts:/0/x/artifacts', 0 FROM n"
	return inOrder(
		func() error { return tx(numbers+insertRuns+values, runs, from) },
		func() error {
			return tx(numbers+"INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) SELECT 'loss', (i % 1000) / 1000.0, i % 1000, i % 1000, 0, printf('%032d', i / 1000 + ?) FROM n", runs*1000, from)
		},
		func() error {
			return tx(numbers+"INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) SELECT 'loss', 0.999, 999, 999, 0, printf('%032d', i + ?) FROM n", runs, from)
		},
	)
}

// fillLarge makes runs that each have the same metric keys, with random values, and a param.
func fillLarge(tx executor, runs, keys int) error {
	const values = "SELECT lower(hex(randomblob(16))), 'run ' || i, 'UNKNOWN', '', '', 'bench', 'FINISHED', 1700000000000 + i, '', 'active', 'mlflow-artifacts:/1/x/artifacts', " + filledExperiment + " FROM n"
	return inOrder(
		func() error { return insertExperiment(tx) },
		func() error { return tx(numbers+insertRuns+values, runs) },
		func() error {
			return tx("INSERT INTO params (key, value, run_uuid) SELECT 'kind', CASE start_time % 2 WHEN 0 THEN 'a' ELSE 'b' END, run_uuid FROM runs")
		},
		func() error {
			return tx(numbers+"INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "+
				"SELECT printf('metric_%03d', n.i), abs(random() % 1000000) / 1000000.0, r.start_time, 0, 0, r.run_uuid FROM runs r CROSS JOIN n", keys)
		},
	)
}

func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
