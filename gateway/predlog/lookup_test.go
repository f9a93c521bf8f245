package predlog

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
)

// sealedSegment returns a segment of n samples of one Series, and their prediction ids in order.
func sealedSegment(t testing.TB, n int, change func(i int, r *Record)) (Segment, [][16]byte) {
	t.Helper()
	sink := newMemorySink(t)
	l := open(t, t.TempDir(), sink, nil)
	ids := make([][16]byte, n)
	for i := range n {
		r := sample(t, 2*i) // of one Series
		r.Endpoint, r.Model, r.Version = "wine", "wine", 1
		if change != nil {
			change(i, r)
		}
		ids[i] = r.PredictionID
		l.Record(r)
	}
	if lost, err := l.Close(t.Context()); lost != 0 || err != nil {
		t.Fatal(lost, err)
	}
	if len(sink.segments) != 1 {
		t.Fatalf("%d segments", len(sink.segments))
	}
	for _, s := range sink.segments {
		return s, ids
	}
	panic("unreachable")
}

func TestSegmentFindsItsRows(t *testing.T) {
	t.Parallel()
	const n = 5000
	seg, ids := sealedSegment(t, n, func(i int, r *Record) { r.RequestID = fmt.Sprint("client ", i%1000) })
	sum, err := Summarize(seg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if sum.ID != seg.ID || sum.Rows != n || sum.Bytes != seg.Bytes || !sum.First.Equal(seg.First) || sum.Series != seg.Series {
		t.Errorf("summary %+v of %+v", sum.Segment, seg)
	}
	for _, id := range ids {
		if !sum.IDs.MayHold(id[:]) || bytes.Compare(id[:], sum.FirstID[:]) < 0 || bytes.Compare(id[:], sum.LastID[:]) > 0 {
			t.Fatalf("the summary leaves out %x", id)
		}
	}
	wrong := 0
	for range n {
		if id := uuid.New(); sum.IDs.MayHold(id[:]) {
			wrong++
		}
	}
	if wrong > n/25 {
		t.Errorf("%d of %d unknown ids may be held", wrong, n)
	}
	f, err := os.Open(seg.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	file, err := OpenSegment(f, seg.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 255, 256, n / 2, n - 1} {
		r, ok, err := file.ByID(ids[i])
		if err != nil || !ok || r.PredictionID != ids[i] || r.RequestID != fmt.Sprint("client ", i%1000) {
			t.Fatalf("row %d: %+v, %v, %v", i, r, ok, err)
		}
	}
	if _, ok, err := file.ByID(uuid.New()); ok || err != nil {
		t.Errorf("unknown id: %v, %v", ok, err)
	}
	rows, err := file.ByClientID("client 7", 100)
	if err != nil || len(rows) != n/1000 || rows[1].PredictionID != ids[1007] {
		t.Errorf("by client id: %d rows, %v", len(rows), err)
	}
	if rows, err := file.ByClientID("client 7", 2); err != nil || len(rows) != 2 {
		t.Errorf("by client id, two: %d rows, %v", len(rows), err)
	}
	i := n - 2
	for r, err := range file.Rows(int64(i)) {
		if err != nil || r.PredictionID != ids[i] {
			t.Fatalf("row %d: %v", i, err)
		}
		i++
	}
	if i != n {
		t.Errorf("ended before row %d", i)
	}
	i = 3000
	for r, err := range file.RowsBackwards(int64(i)) {
		if err != nil || r.PredictionID != ids[i] {
			t.Fatalf("backwards, row %d: %v", i, err)
		}
		i--
	}
	if i != -1 {
		t.Errorf("backwards ended after row %d", i)
	}
}

func TestFilterOfDamagedBytes(t *testing.T) {
	t.Parallel()
	for n := range 100 {
		Filter(make([]byte, n)).MayHold([]byte("key"))
	}
	if Filter(nil).MayHold(nil) {
		t.Error("the empty filter holds something")
	}
}

// What is on its way is found wherever it is: in memory, in the spool, sealed and not delivered.
func TestPending(t *testing.T) {
	t.Parallel()
	blocked := SinkFunc(func(ctx context.Context, _ Segment) error { <-ctx.Done(); return ctx.Err() })
	l := open(t, t.TempDir(), blocked, nil)
	want := map[[16]byte]*Record{}
	record := func(from int) {
		for i := range 10 {
			r := sample(t, from+i)
			want[r.PredictionID] = r
			l.Record(r)
		}
	}
	record(0)
	if err := l.flushWriter(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "segments", func() bool { return l.Stats().SegmentsPending == 2 })
	record(10)
	if err := l.flushWriter(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	record(20)
	got := 0
	err := l.Pending(t.Context(), func(r Row) bool {
		w := want[r.PredictionID]
		if w == nil {
			t.Fatalf("unknown or repeated record %x", r.PredictionID)
		}
		delete(want, r.PredictionID)
		if r.Endpoint != w.Endpoint || r.Model != w.Model || r.Version != w.Version || r.Status != w.Status || r.RequestID != w.RequestID ||
			!bytes.Equal(r.Request, w.Request) || !bytes.Equal(r.Response, w.Response) || r.TraceID != w.TraceID || r.LatencyNS != w.LatencyNS {
			t.Errorf("got %+v, want %+v", r, w)
		}
		got++
		return true
	})
	if err != nil || got != 30 {
		t.Errorf("%d records, %v", got, err)
	}
	got = 0
	if err := l.Pending(t.Context(), func(Row) bool { got++; return false }); err != nil || got != 1 {
		t.Errorf("stopped after %d, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Close(ctx); err == nil {
		t.Error("closed with a sink that does not answer")
	}
}

func TestSampleLiesEvenly(t *testing.T) {
	t.Parallel()
	const n = 4000
	seg, _ := sealedSegment(t, n, func(i int, r *Record) { r.Rows = i })
	file, err := os.Open(seg.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f, err := OpenSegment(file, seg.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	rests := 0
	count := func(most int64, stopAfter int) (rows []int) {
		for r, err := range f.Sample(most, func(time.Duration) { rests++ }) {
			if err != nil {
				t.Fatal(err)
			}
			if rows = append(rows, r.Rows); len(rows) == stopAfter {
				break
			}
		}
		return rows
	}
	rows := count(800, -1)
	if len(rows) != 800 || rows[0] != 0 || rows[100] != n/8 || rows[799] != 7*n/8+99 {
		t.Errorf("%d rows from %d to %d", len(rows), rows[0], rows[len(rows)-1])
	}
	if all := count(n, -1); len(all) != n || all[n-1] != n-1 {
		t.Errorf("%d of %d rows", len(all), n)
	}
	if some := count(800, 150); len(some) != 150 {
		t.Errorf("%d rows after the end of interest", len(some))
	}
	if few := count(3, -1); len(few) != 0 {
		t.Errorf("%d rows of a sample smaller than its blocks", len(few))
	}
	if rests == 0 {
		t.Error("no rest")
	}
}
