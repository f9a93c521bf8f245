package sqlindex_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go/bloom"

	"sluice/gateway/predictions"
	"sluice/gateway/predictions/sqlindex"
	"sluice/gateway/predlog"
	"sluice/tracking/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { os.Exit(sqldbtest.Main(m)) }

var start = time.UnixMilli(1_790_000_000_000).UTC()

// idAt is a UUIDv7 of the given time.
func idAt(at time.Time, n byte) (id [16]byte) {
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6], id[8], id[15] = 0x70, 0x80, n
	return id
}

func filter(keys ...[]byte) predlog.Filter {
	f := make(bloom.SplitBlockFilter, 4)
	for _, k := range keys {
		f.Insert(xxhash.Sum64(k))
	}
	return f.Bytes()
}

// entry is the n-th minute of a series; it holds the ids of its first and its last second.
func entry(n int, s predlog.Series, clients ...string) predictions.Entry {
	first := start.Add(time.Duration(n) * time.Minute)
	last := first.Add(59 * time.Second)
	e := predictions.Entry{
		Summary: predlog.Summary{
			Segment: predlog.Segment{ID: fmt.Sprintf("%s-%03d", uuid.UUID(idAt(first, byte(len(s.Endpoint)))), n), Series: s, Rows: int64(n + 1), Bytes: 1000, First: first, Last: last},
			FirstID: idAt(first, 1), LastID: idAt(last, 2),
		},
		Place: predictions.Place{RunID: strings.Repeat("a", 32), ArtifactURI: "mlflow-artifacts:/1/" + s.Endpoint, Path: fmt.Sprint("predictions/", n)},
	}
	e.IDs = filter(e.FirstID[:], e.LastID[:])
	if len(clients) > 0 {
		var keys [][]byte
		for _, c := range clients {
			keys = append(keys, []byte(c))
		}
		e.ClientIDs = filter(keys...)
	}
	return e
}

// seq is the Seq of the n-th entry from 1 on.
func seq(n int64) int64 {
	return start.Add(time.Duration(n-1)*time.Minute + 59*time.Second).UnixMilli()
}

func TestIndex(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, open sqldbtest.Opener) {
		db := open(t, nil)
		ctx := t.Context()
		x, err := sqlindex.New(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		one, two := predlog.Series{Endpoint: "wine", Model: "wine", Version: 1}, predlog.Series{Endpoint: "Wine", Model: "wine", Version: 2}
		for n := range 10 {
			s, clients := one, []string(nil)
			if n%2 == 1 {
				s, clients = two, []string{fmt.Sprint("c", n), "shared"}
			}
			for range 2 {
				if err := x.Add(ctx, entry(n, s, clients...)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, c := range []struct {
			name  string
			q     predictions.Query
			after int64
			limit int
			want  []int64
		}{
			{"all", predictions.Query{}, 0, 100, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
			{"a page", predictions.Query{}, 3, 2, []int64{4, 5}},
			{"newest", predictions.Query{Newest: true}, 0, 2, []int64{10, 9}},
			{"newest, next page", predictions.Query{Newest: true}, 9, 2, []int64{8, 7}},
			{"endpoint", predictions.Query{Endpoint: "wine"}, 0, 100, []int64{1, 3, 5, 7, 9}},
			{"model and version", predictions.Query{Model: "wine", Version: 2}, 0, 100, []int64{2, 4, 6, 8, 10}},
			{"from", predictions.Query{From: start.Add(8 * time.Minute)}, 0, 100, []int64{9, 10}},
			{"to", predictions.Query{To: start.Add(2 * time.Minute)}, 0, 100, []int64{1, 2}},
			{"client", predictions.Query{ClientID: "c3"}, 0, 100, []int64{4}},
			{"client in many", predictions.Query{ClientID: "shared", Endpoint: "Wine"}, 2, 2, []int64{4, 6}},
			{"nobody", predictions.Query{ClientID: "nobody"}, 0, 100, nil},
		} {
			if c.after > 0 {
				c.after = seq(c.after)
			}
			found, err := x.Segments(ctx, c.q, c.after, c.limit)
			var got []int64
			for _, s := range found {
				got = append(got, s.Seq)
			}
			for i, n := range c.want {
				c.want[i] = seq(n)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
			}
		}
		e := entry(4, one)
		for _, id := range [][16]byte{e.FirstID, e.LastID} {
			held, err := x.Holding(ctx, id)
			if err != nil || len(held) != 1 || held[0].ID != e.ID || held[0].Place != e.Place || held[0].FirstID != e.FirstID || !held[0].First.Equal(e.First) || held[0].Rows != 5 {
				t.Errorf("holding: %+v, %v", held, err)
			}
		}
		if held, err := x.Holding(ctx, idAt(start.Add(-time.Hour), 1)); err != nil || len(held) != 0 {
			t.Errorf("an id of before: %v, %v", held, err)
		}
		known, err := x.Known(ctx, []string{e.ID, "other"})
		if err != nil || !known[e.ID] || known["other"] {
			t.Errorf("known: %v, %v", known, err)
		}
		if err := x.Remove(ctx, []string{e.ID, "other"}); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Segment(ctx, seq(5)); !errors.Is(err, predictions.ErrNotFound) {
			t.Errorf("a segment that was removed: %v", err)
		}
		if err := x.Add(ctx, entry(4, one)); err != nil { // delivered late
			t.Fatal(err)
		}
		if late, err := x.Segments(ctx, predictions.Query{}, seq(10), 100); err != nil || len(late) != 1 || late[0].ID != e.ID || late[0].Seq != seq(10)+1 {
			t.Errorf("delivered late: %+v, %v", late, err)
		}
		again, err := sqlindex.New(ctx, db)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := again.Segment(ctx, seq(6)); err != nil || s.Endpoint != "Wine" {
			t.Errorf("%+v, %v", s, err)
		}
	})
}
