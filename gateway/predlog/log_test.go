package predlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// memorySink keeps what it was given; it is idempotent by segment id as the contract asks, and counts repetitions.
type memorySink struct {
	dir string

	mu       sync.Mutex
	segments map[string]Segment
	repeats  int
	fail     error // returned instead of taking, if set
}

func newMemorySink(t testing.TB) *memorySink {
	return &memorySink{dir: t.TempDir(), segments: map[string]Segment{}}
}

func (m *memorySink) Deliver(ctx context.Context, s Segment) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if _, ok := m.segments[s.ID]; ok {
		m.repeats++
		return nil
	}
	data, err := os.ReadFile(s.Path)
	if err != nil {
		return err
	}
	s.Path = filepath.Join(m.dir, s.First.Format(time.DateOnly), s.ID+segmentSuffix)
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(s.Path, data, 0o600); err != nil {
		return err
	}
	m.segments[s.ID] = s
	return nil
}

func (m *memorySink) setFail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// rows returns every row delivered, by prediction id; an id twice is an error.
func (m *memorySink) rows(t testing.TB) map[[16]byte]Row {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[[16]byte]Row{}
	for _, s := range m.segments {
		n := int64(0)
		for r, err := range Scan(s.Path) {
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := out[r.PredictionID]; ok {
				t.Fatalf("prediction id %x stands in two rows", r.PredictionID)
			}
			if (Series{r.Endpoint, r.Model, r.Version}) != s.Series {
				t.Fatalf("segment %v holds a row of %s/%s/%d", s, r.Endpoint, r.Model, r.Version)
			}
			out[r.PredictionID] = r
			n++
		}
		if n != s.Rows {
			t.Fatalf("segment %s has %d rows, says %d", s.ID, n, s.Rows)
		}
	}
	return out
}

func newID(t testing.TB) [16]byte {
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sample(t testing.TB, i int) *Record {
	return &Record{
		PredictionID: newID(t), RequestID: fmt.Sprintf("client-%d", i), Time: time.Unix(1_790_000_000, int64(i)*1_000_000).UTC(),
		Endpoint: "wine", Model: "wine", Version: 1 + i%2, Stage: "Production", Arm: "stable", Bucket: i % 10000,
		Status: 200, LatencyNS: 350_000 + int64(i%1000), QueueNS: 10_000, ExecuteNS: 40_000, Rows: 1,
		ContentType: "application/json", ResponseContentType: "application/json",
		Request:  fmt.Appendf(nil, `{"dataframe_split":{"columns":["a","b","c","d"],"data":[[%d.1,3.5,1.4,%d.2]]}}`, i, i%7),
		Response: fmt.Appendf(nil, `{"predictions":[%d]}`, i%3),
	}
}

func open(t testing.TB, dir string, sink Sink, opts *Options) *Log {
	t.Helper()
	l, err := Open(dir, sink, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		l.Close(ctx)
	})
	return l
}

// soon is a deadline that only a broken test meets.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until done holds.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// checkSum checks the promise: offered = rows delivered + drops.
func checkSum(t testing.TB, l *Log, rows int) {
	t.Helper()
	s := l.Stats()
	if int64(rows)+s.Dropped.Total() != s.Offered {
		t.Fatalf("%d rows + %d drops ≠ %d offered (%+v)", rows, s.Dropped.Total(), s.Offered, s)
	}
	var bySeries int64
	for _, d := range l.DroppedBySeries() {
		bySeries += d.Total()
	}
	if bySeries != s.Dropped.Total() {
		t.Fatalf("drops by series are %d, all drops %d", bySeries, s.Dropped.Total())
	}
}

func TestEveryFieldComesBack(t *testing.T) {
	t.Parallel()
	sink := newMemorySink(t)
	l := open(t, t.TempDir(), sink, &Options{MaxBodyBytes: 1000})
	plain := &Record{PredictionID: newID(t), Endpoint: "bare", Status: 404, ErrorCode: "ENDPOINT_NOT_FOUND", Bucket: -1,
		Time: time.UnixMicro(-1_500_001).UTC()}
	whole := &Record{
		PredictionID: newID(t), RequestID: "req é", TraceID: [16]byte{1, 2, 3}, Time: time.UnixMicro(1_790_000_000_123_456).UTC(),
		Endpoint: "wine", Model: "wine-model", Version: 7, Stage: "Staging", Arm: "canary", Rule: "beta", Bucket: 9999, Shadow: true, Cached: true,
		SamplingFraction: 0.1, Status: 200, LatencyNS: 5_000_001, QueueNS: 2, ExecuteNS: 3, Rows: 4,
		ContentType: "text/csv", ResponseContentType: "application/json", Request: []byte("a,b\n1,é\n"), Response: []byte(`{"predictions":[1]}`),
	}
	binary := &Record{PredictionID: newID(t), Endpoint: "wine", Model: "wine-model", Version: 7, Status: 200, Time: whole.Time,
		ContentType: "application/vnd.apache.parquet", Request: []byte{'P', 'A', 'R', '1', 0xff, 0}, Response: []byte("{}"), RequestID: "bad \xff id"}
	cut := &Record{PredictionID: newID(t), Endpoint: "wine", Model: "wine-model", Version: 7, Status: 200, Time: whole.Time,
		RequestID: strings.Repeat("r", 5000), Request: []byte(strings.Repeat("x", 999) + "é tail"), Response: []byte(strings.Repeat("y", 5000))}
	for _, r := range []*Record{plain, whole, binary, cut} {
		l.Record(r)
	}
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	rows := sink.rows(t)
	checkSum(t, l, len(rows))
	if got := l.Stats().Truncated; got != 1 {
		t.Errorf("truncated = %d, want 1", got)
	}
	check := func(name string, r *Record, change func(want *Row)) {
		t.Helper()
		want := Row{Record: *r}
		if want.SamplingFraction == 0 {
			want.SamplingFraction = 1
		}
		if want.ContentType == "" {
			want.ContentType = "application/json"
		}
		if want.ResponseContentType == "" {
			want.ResponseContentType = "application/json"
		}
		change(&want)
		if got := rows[r.PredictionID]; fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
	check("a request that never reached a version", plain, func(*Row) {})
	check("every field set", whole, func(*Row) {})
	check("a binary body and a broken request id", binary, func(w *Row) { w.RequestID = "bad \uFFFD id" })
	check("cut inside a character", cut, func(w *Row) {
		w.Truncated, w.RequestID = true, strings.Repeat("r", maxText)
		w.Request, w.Response = []byte(strings.Repeat("x", 999)), []byte(strings.Repeat("y", 1000))
	})
}

func TestConcurrentRecordsAddUp(t *testing.T) {
	t.Parallel()
	sink := newMemorySink(t)
	// A queue of two small chunks, so that some records are dropped.
	l := open(t, t.TempDir(), sink, &Options{QueueBytes: 512 << 10, MaxBodyBytes: 4 << 10, SpoolRows: 500})
	const goroutines, each = 8, 1500
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				r := sample(t, g*each+i)
				l.Record(r)
				clear(r.Request) // the log keeps nothing of it
			}
		})
	}
	wg.Wait()
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	rows := sink.rows(t)
	if got := l.Stats().Offered; got != goroutines*each {
		t.Fatalf("offered = %d", got)
	}
	checkSum(t, l, len(rows))
	for id, r := range rows {
		if !strings.HasPrefix(string(r.Request), `{"dataframe_split"`) {
			t.Fatalf("row %x: request %q", id, r.Request)
		}
	}
}

func TestFailingSinkKeepsSegmentsUntilItTakesThem(t *testing.T) {
	t.Parallel()
	dir, sink := t.TempDir(), newMemorySink(t)
	sink.setFail(errors.New("tracking is down"))
	opts := &Options{RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond}
	l := open(t, dir, sink, opts)
	for i := range 10 {
		l.Record(sample(t, i))
	}
	flushing, stop := context.WithCancel(t.Context())
	defer stop()
	flushed := make(chan error, 1)
	go func() { flushed <- l.Flush(flushing) }()
	eventually(t, "two segments pending, and a refusal", func() bool { s := l.Stats(); return s.SegmentsPending == 2 && s.LastError != "" })
	stop()
	if err := <-flushed; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "tracking is down") {
		t.Fatalf("flush: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if lost, err := l.Close(ended); lost != 0 || err == nil {
		t.Fatalf("close: lost %d, %v; want 0 and an error that segments are left", lost, err)
	}

	sink.setFail(nil)
	l = open(t, dir, sink, opts)
	eventually(t, "delivery after a restart", func() bool { return l.Stats().Delivered == 10 })
	if got := len(sink.rows(t)); got != 10 {
		t.Fatalf("%d rows", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(left) != 0 {
		t.Fatalf("left on disk: %v", left)
	}
}

// A sink that accepts and never answers (R39): memory and disk stay bounded, Record returns, drops are counted, and it heals.
func TestStalledSink(t *testing.T) {
	t.Parallel()
	sink, gate := newMemorySink(t), make(chan struct{})
	stalled := SinkFunc(func(ctx context.Context, s Segment) error {
		select {
		case <-gate:
			return sink.Deliver(ctx, s)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	const disk = 256 << 10
	l := open(t, t.TempDir(), stalled, &Options{MaxDiskBytes: disk, SpoolRows: 100, SyncInterval: time.Millisecond})
	for i := 0; l.Stats().Dropped[DiskFull] == 0; i++ {
		l.Record(sample(t, i))
		if s := l.Stats(); s.DiskBytes > disk+disk/2 {
			t.Fatalf("disk bytes %d over the bound", s.DiskBytes)
		}
		if i > 1_000_000 {
			t.Fatal("never dropped")
		}
	}
	close(gate)
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	before := l.Stats().Dropped.Total()
	l.Record(sample(t, 1))
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if after := l.Stats().Dropped.Total(); after != before {
		t.Fatalf("still dropping after the sink is back: %d → %d", before, after)
	}
	checkSum(t, l, len(sink.rows(t)))
}

func TestSegmentsOfOneSeriesComeInOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got, failed := map[Series][]string{}, map[string]bool{}
	sink := SinkFunc(func(_ context.Context, s Segment) error {
		mu.Lock()
		defer mu.Unlock()
		if !failed[s.ID] {
			failed[s.ID] = true
			return errors.New("once")
		}
		got[s.Series] = append(got[s.Series], s.ID)
		return nil
	})
	l := open(t, t.TempDir(), sink, &Options{RetryMin: time.Millisecond, RetryMax: time.Millisecond})
	for i := range 4 {
		l.Record(sample(t, 0))
		l.Record(sample(t, 1))
		if err := l.Flush(soon(t)); err != nil {
			t.Fatal(i, err)
		}
	}
	for s, ids := range got {
		for i := 1; i < len(ids); i++ {
			if ids[i-1] >= ids[i] {
				t.Errorf("%v: %v", s, ids)
			}
		}
	}
	if len(got) != 2 {
		t.Errorf("series: %v", got)
	}
}

// Every hand-over between the goroutines happens many times, so that a lost wake-up would show.
func TestFlushOverAndOver(t *testing.T) {
	t.Parallel()
	dir, sink := t.TempDir(), newMemorySink(t)
	disk := &smallDisk{root: dir, capacity: 1 << 40}
	l := open(t, dir, sink, &Options{files: disk.files()})
	for i := range 100 {
		l.Record(sample(t, i))
		if err := l.Flush(soon(t)); err != nil {
			t.Fatal(i, err)
		}
	}
	checkSum(t, l, len(sink.rows(t)))
}

func TestAgeEndsASpool(t *testing.T) {
	t.Parallel()
	sink := newMemorySink(t)
	l := open(t, t.TempDir(), sink, &Options{SyncInterval: time.Millisecond, SpoolAge: 20 * time.Millisecond})
	l.Record(sample(t, 1))
	eventually(t, "delivery by age", func() bool { return l.Stats().Delivered == 1 })
}

func TestCloseCountsWhatComesAfter(t *testing.T) {
	t.Parallel()
	sink := newMemorySink(t)
	l := open(t, t.TempDir(), sink, nil)
	l.Record(sample(t, 1))
	if lost, err := l.Close(soon(t)); lost != 0 || err != nil {
		t.Fatalf("close: %d, %v", lost, err)
	}
	l.Record(sample(t, 2))
	if got := l.Stats().Dropped[Closed]; got != 1 {
		t.Fatalf("dropped after close = %d", got)
	}
	checkSum(t, l, len(sink.rows(t)))
	if err := l.Flush(soon(t)); err == nil {
		t.Fatal("flush after close gave no error")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	sink := newMemorySink(t)
	dir := t.TempDir()
	open(t, dir, sink, nil)
	if _, err := Open(dir, sink, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("second open of a directory: %v", err)
	}
	for name, o := range map[string]*Options{
		"negative":             {SpoolRows: -1},
		"queue below a chunk":  {QueueBytes: 1000},
		"retries upside down":  {RetryMin: time.Minute, RetryMax: time.Second},
		"bodies beyond frames": {MaxBodyBytes: 1 << 30, QueueBytes: 8 << 30},
	} {
		if _, err := Open(t.TempDir(), sink, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Open(t.TempDir(), nil, nil); err == nil {
		t.Error("no sink: no error")
	}
}

// Requests that sampling leaves out are counted, by Series, and no drops: rows + drops + sampled out = requests.
func TestSkip(t *testing.T) {
	t.Parallel()
	sink := newMemorySink(t)
	l := open(t, t.TempDir(), sink, nil)
	series := Series{Endpoint: "wine", Model: "wine", Version: 2}
	for i := range 30 {
		if i%3 == 0 {
			r := sample(t, i)
			r.SamplingFraction = 0.3
			l.Record(r)
		} else {
			l.Skip(series)
		}
	}
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	rows, s := sink.rows(t), l.Stats()
	if len(rows) != 10 || s.SampledOut != 20 || s.Offered != 10 || s.Dropped.Total() != 0 {
		t.Errorf("%d rows, %+v", len(rows), s)
	}
	for _, r := range rows {
		if r.SamplingFraction != 0.3 {
			t.Errorf("a row says %v", r.SamplingFraction)
		}
	}
	if got := l.SampledOutBySeries(); len(got) != 1 || got[series] != 20 || len(l.DroppedBySeries()) != 0 {
		t.Errorf("by series: %v, drops %v", got, l.DroppedBySeries())
	}
}
