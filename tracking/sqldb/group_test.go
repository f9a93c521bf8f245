package sqldb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// grouped runs the functions in one transaction, in their order, and returns what each was told. It is called in a synctest bubble, whose
// time stands still: a group ends by nothing but its members.
func grouped(t *testing.T, db *DB, fns ...func(tx *Tx) error) []error {
	t.Helper()
	entered, release := make(chan struct{}), make(chan struct{})
	told, done := make([]error, len(fns)), make(chan struct{})
	var once atomic.Bool
	launch := func(i int, fn func(tx *Tx) error) {
		go func() {
			defer func() {
				if p := recover(); p != nil {
					told[i] = fmt.Errorf("panic: %v", p)
				}
				done <- struct{}{}
			}()
			told[i] = db.WithTx(t.Context(), fn)
		}()
	}
	launch(0, func(tx *Tx) error {
		if once.CompareAndSwap(false, true) {
			close(entered)
			<-release
		}
		return fns[0](tx)
	})
	<-entered
	for i, fn := range fns[1:] {
		launch(i+1, fn)
		synctest.Wait() // it stands in the queue, behind the others
	}
	close(release)
	for range fns {
		<-done
	}
	return told
}

func openGroups(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "a.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	tables := statements(t.Context(), "CREATE TABLE sluice_group (id INTEGER PRIMARY KEY)", "CREATE TABLE sluice_child (id INTEGER REFERENCES sluice_group (id))")
	if err := db.WithTx(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	return db
}

// statements makes a function that runs statements.
func statements(ctx context.Context, list ...string) func(tx *Tx) error {
	return func(tx *Tx) error {
		for _, s := range list {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
}

func ids(t *testing.T, db *DB) []int {
	t.Helper()
	rows, err := db.Read().QueryContext(t.Context(), "SELECT id FROM sluice_group ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	list := []int{}
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		list = append(list, id)
	}
	return list
}

// TestAMemberFails: of a transaction that five share the third fails, in each of the ways there are, and nothing but his work is missing.
func TestAMemberFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	insert := func(ctx context.Context, id int) func(tx *Tx) error {
		return statements(ctx, fmt.Sprintf("INSERT INTO sluice_group (id) VALUES (%d)", id))
	}
	cases := []struct {
		name  string
		fails func(ctx context.Context, tx *Tx) error
		says  string
		again bool // the others have to run again
	}{
		{"after an insert", func(ctx context.Context, tx *Tx) error { return errors.Join(insert(ctx, 3)(tx), broken) }, "broken", true},
		{"after a query that writes", func(ctx context.Context, tx *Tx) error {
			var id int
			return errors.Join(tx.QueryRowContext(ctx, "INSERT INTO sluice_group (id) VALUES (3) RETURNING id").Scan(&id), broken)
		}, "broken", true},
		{"after it made a table", func(ctx context.Context, tx *Tx) error {
			return errors.Join(statements(ctx, "CREATE TABLE sluice_more (id INTEGER)", "INSERT INTO sluice_group (id) VALUES (3)")(tx), broken)
		}, "broken", true},
		{"by a panic", func(ctx context.Context, tx *Tx) error { _ = insert(ctx, 3)(tx); panic("of the caller") }, "panic: of the caller", true},
		{"before it wrote", func(context.Context, *Tx) error { return broken }, "broken", false},
		{"by a statement", func(ctx context.Context, tx *Tx) error { return insert(ctx, 2)(tx) }, "UNIQUE", false},
		{"after changing no row", func(ctx context.Context, tx *Tx) error {
			return errors.Join(statements(ctx, "DELETE FROM sluice_group WHERE id = 77", "INSERT INTO sluice_group (id) VALUES (1) ON CONFLICT DO NOTHING")(tx), broken)
		}, "broken", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				db := openGroups(t)
				var runs [6]int // how often each function ran; they take turns
				fns := make([]func(tx *Tx) error, 5)
				for i := range fns {
					fn := insert(t.Context(), i+1)
					if i == 2 {
						fn = func(tx *Tx) error { return c.fails(t.Context(), tx) }
					}
					fns[i] = func(tx *Tx) error { runs[i]++; return fn(tx) }
				}
				told := grouped(t, db, fns...)
				for i, err := range told {
					if i == 2 {
						if err == nil || !strings.Contains(err.Error(), c.says) {
							t.Errorf("the one that fails is told %v, want %q", err, c.says)
						}
					} else if err != nil {
						t.Errorf("member %d: %v", i+1, err)
					}
				}
				if got := ids(t, db); !slices.Equal(got, []int{1, 2, 4, 5}) {
					t.Errorf("rows %v", got)
				}
				want := [6]int{1, 1, 1, 1, 1}
				if c.again {
					want[0], want[1] = 2, 2
				}
				if runs != want {
					t.Errorf("runs %v, want %v", runs, want)
				}
			})
		})
	}
}

// TestFailingAgainAndAgain: members who fail one after the other make no other one run more than twice, and the next ones once.
func TestFailingAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := openGroups(t)
		broken := errors.New("broken")
		runs := make([]int, 60)
		next := func() (fns []func(tx *Tx) error) {
			for i := range runs {
				fns = append(fns, func(tx *Tx) error {
					runs[i]++
					err := statements(t.Context(), fmt.Sprintf("INSERT INTO sluice_group (id) VALUES (%d)", i))(tx)
					if i%2 == 1 {
						err = errors.Join(err, broken)
					}
					return err
				})
			}
			return fns
		}
		for _, most := range []int{2, 1} {
			clear(runs)
			for i, err := range grouped(t, db, next()...) {
				if runs[i] > most || (i%2 == 1) != errors.Is(err, broken) || i%2 == 0 && err != nil {
					t.Errorf("member %d ran %d times and was told %v", i, runs[i], err)
				}
			}
			if got := ids(t, db); len(got) != len(runs)/2 {
				t.Errorf("%d rows", len(got))
			}
			if err := db.WithTx(t.Context(), statements(t.Context(), "DELETE FROM sluice_group")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestLeavingWhileItRunsAgain: whose context has ended when its function should run again is told so, and nothing of it is left.
func TestLeavingWhileItRunsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := openGroups(t)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		entered, queued := make(chan struct{}), make(chan struct{})
		go func() {
			left <- db.WithTx(ctx, func(tx *Tx) error {
				close(entered) // a second run would panic
				<-queued
				return statements(ctx, "INSERT INTO sluice_group (id) VALUES (1)")(tx)
			})
		}()
		<-entered
		failed := make(chan error, 1)
		broken := errors.New("broken")
		go func() {
			failed <- db.WithTx(t.Context(), func(tx *Tx) error {
				cancel()
				return errors.Join(statements(t.Context(), "INSERT INTO sluice_group (id) VALUES (2)")(tx), broken)
			})
		}()
		synctest.Wait()
		close(queued)
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the one who left is told %v", err)
		}
		if err := <-failed; !errors.Is(err, broken) {
			t.Errorf("the one who failed is told %v", err)
		}
		if got := ids(t, db); len(got) != 0 {
			t.Errorf("rows %v", got)
		}
	})
}

// TestACommitFails: when what many share can't be committed all of them are told, nothing is left, and the writer goes on.
func TestACommitFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := openGroups(t)
		insert := func(id int) func(tx *Tx) error {
			return statements(t.Context(), fmt.Sprintf("INSERT INTO sluice_group (id) VALUES (%d)", id))
		}
		orphan := statements(t.Context(), "PRAGMA defer_foreign_keys = ON", "INSERT INTO sluice_child (id) VALUES (99)") // is found at the commit
		for i, err := range grouped(t, db, insert(1), orphan, insert(2)) {
			if err == nil || !strings.Contains(err.Error(), "FOREIGN KEY") {
				t.Errorf("member %d is told %v", i, err)
			}
		}
		if got := ids(t, db); len(got) != 0 {
			t.Errorf("rows %v", got)
		}
		if err := db.WithTx(t.Context(), insert(3)); err != nil {
			t.Error("the writer goes on:", err)
		}
	})
}
