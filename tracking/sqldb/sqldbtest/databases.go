package sqldbtest

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"testing"

	"sluice/tracking/sqldb"
)

// uri returns the address of a database, with a driver that MLflow finds in the repository's environment.
func (s *server) uri(database string) string {
	if s.dialect == sqldb.Postgres {
		return s.postgresURI(database, "postgresql+psycopg2")
	}
	return s.mysqlURI(database, "mysql+pymysql")
}

// create makes a database without tables and returns its name; it goes with the server.
// The collation is MySQL's; "" means the server's.
func (s *server) create(t testing.TB, collation string) string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock() // PostgreSQL copies its template, which nobody else may use meanwhile
	s.made++
	name := "sluice_" + strconv.Itoa(s.made)
	if collation != "" {
		collation = " COLLATE " + collation
	}
	if _, err := s.admin.Exec("CREATE DATABASE " + name + collation); err != nil {
		t.Fatalf("%s: %v", s.dialect, err)
	}
	return name
}

// lend returns the name of a database with MLflow's schema and no rows, taken back at the end of the test: making the tables
// anew would cost more than most tests.
func (s *server) lend(t testing.TB, collation string) string {
	t.Helper()
	name := s.takeFree(collation)
	if name == "" {
		name = s.create(t, collation)
		db, err := sqldb.Open(t.Context(), s.uri(name), nil)
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	t.Cleanup(func() {
		s.wipe(t, name)
		s.mu.Lock()
		s.free[collation] = append(s.free[collation], name)
		s.mu.Unlock()
	})
	return name
}

func (s *server) takeFree(collation string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.free[collation]
	if len(free) == 0 {
		return ""
	}
	last := len(free) - 1
	s.free[collation] = free[:last]
	return free[last]
}

// wipe makes a database as it was when it was fresh.
func (s *server) wipe(t testing.TB, name string) {
	pool, err := s.connect(name)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx := context.Background() // the test's own has ended
	conn, err := pool.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, stmt := range s.wiping(s.tablesOf(ctx, t, conn)) {
		if _, err := conn.ExecContext(ctx, stmt); err != nil {
			t.Fatalf("%s: %s: %v", s.dialect, stmt, err)
		}
	}
}

// wiping returns the statements that leave MLflow's tables with the rows of a fresh database, and none of ours.
func (s *server) wiping(tables []string) []string {
	out := []string{"SET FOREIGN_KEY_CHECKS = 0", "ALTER TABLE experiments AUTO_INCREMENT = 1"}
	if s.dialect == sqldb.Postgres {
		out = []string{"SET session_replication_role = replica", "ALTER SEQUENCE experiments_experiment_id_seq RESTART"}
	}
	for _, table := range tables {
		switch {
		case table == "sluice_locks", table == "alembic_version", table == "workspaces":
		case strings.HasPrefix(table, "sluice_"):
			out = append(out, "DROP TABLE "+table)
		default:
			out = append(out, "DELETE FROM "+s.dialect.Quote(table))
		}
	}
	return append(out, "DELETE FROM workspaces WHERE name <> 'default'", "UPDATE alembic_version SET version_num = '"+sqldb.HeadRevision()+"'")
}

func (s *server) tablesOf(ctx context.Context, t testing.TB, conn *sql.Conn) []string {
	schema := "DATABASE()"
	if s.dialect == sqldb.Postgres {
		schema = "current_schema()"
	}
	rows, err := conn.QueryContext(ctx, "SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema = "+schema)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			t.Fatal(err)
		}
		out = append(out, table)
	}
	return out
}
