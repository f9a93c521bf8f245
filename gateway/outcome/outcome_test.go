package outcome

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestBoundsAreInSecondsAndAscend(t *testing.T) {
	b := Bounds()
	if len(b) != BucketCount-1 || b[0] != 0.0001 || b[len(b)-1] != 60 || !slices.IsSorted(b) {
		t.Errorf("bounds %v", b)
	}
}

func TestBucketOf(t *testing.T) {
	for i, b := range bounds {
		if got := bucketOf(b); got != i {
			t.Errorf("%v is in bucket %d, want %d: a bound belongs to the bucket below", b, got, i)
		}
		if got := bucketOf(b + 1); got != i+1 {
			t.Errorf("%v is in bucket %d, want %d", b+1, got, i+1)
		}
	}
	if bucketOf(0) != 0 || bucketOf(24*time.Hour) != BucketCount-1 {
		t.Error("the ends are not in the first and last bucket")
	}
}

func TestRecordAndSnapshot(t *testing.T) {
	book := NewBook(nil)
	k := Key{Endpoint: "wine", Model: "wine", Version: 3, Stage: "Production", Arm: "prod", Code: 200}
	s := book.Series(k)
	if book.Series(k) != s {
		t.Fatal("the same key has two series")
	}
	s.Record(3 * time.Millisecond)
	s.Record(3 * time.Millisecond)
	s.Record(-time.Second)
	snap := book.Snapshot()
	if len(snap) != 1 || snap[0].Key != k {
		t.Fatalf("snapshot %+v", snap)
	}
	if n := snap[0].Count(); n != 3 {
		t.Errorf("count %d, want 3", n)
	}
	if snap[0].Sum != 6*time.Millisecond || snap[0].Mean() != 2*time.Millisecond {
		t.Errorf("sum %v, mean %v", snap[0].Sum, snap[0].Mean())
	}
	if snap[0].Buckets[0] != 1 || snap[0].Buckets[bucketOf(3*time.Millisecond)] != 2 {
		t.Errorf("buckets %v", snap[0].Buckets)
	}
}

func TestConcurrentRecordsAllCount(t *testing.T) {
	book := NewBook(nil)
	const workers, each = 8, 5000
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				book.Series(Key{Endpoint: "e", Code: 200 + (w+i)%3}).Record(time.Duration(i) * time.Microsecond)
				if i%500 == 0 {
					book.Snapshot()
				}
			}
		})
	}
	wg.Wait()
	var total uint64
	for _, s := range book.Snapshot() {
		total += s.Count()
	}
	if total != workers*each {
		t.Errorf("%d counted, want %d", total, workers*each)
	}
}

func TestBookIsBounded(t *testing.T) {
	book := NewBook(&Options{MaxSeries: 10})
	for i := range 1000 {
		book.Series(Key{Endpoint: "e", Version: i + 1, Code: 200}).Record(time.Millisecond)
	}
	book.Series(Key{Endpoint: "e", Version: 5000, Code: 500}).Record(time.Millisecond)
	var total, other uint64
	snap := book.Snapshot()
	for _, s := range snap {
		total += s.Count()
		if s.Endpoint == OtherEndpoint {
			other += s.Count()
		}
	}
	if total != 1001 || other != 991 {
		t.Errorf("%d counted, %d of them under %s; want 1001 and 991", total, other, OtherEndpoint)
	}
	if len(snap) > 12 {
		t.Errorf("%d series, want the bound of 10 and one more per code", len(snap))
	}
}

func TestKeepForgetsAfterRetention(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	book := NewBook(&Options{Retention: time.Minute, Now: func() time.Time { return now }})
	live, dead := Key{Endpoint: "a", Code: 200}, Key{Endpoint: "b", Code: 200}
	book.Series(live).Record(1)
	book.Series(dead).Record(1)
	keep := func(k Key) bool { return k.Endpoint == "a" }

	book.Keep(keep)
	if n := len(book.Snapshot()); n != 2 {
		t.Errorf("%d series right after Keep, want 2: readers must see the last counts", n)
	}
	now = now.Add(59 * time.Second)
	book.Keep(keep)
	book.Series(dead) // asked for again: lives on
	now = now.Add(time.Minute)
	book.Keep(keep)
	if n := len(book.Snapshot()); n != 2 {
		t.Errorf("%d series, want 2: a series that is asked for again lives on", n)
	}
	now = now.Add(time.Minute)
	book.Keep(keep)
	if snap := book.Snapshot(); len(snap) != 1 || snap[0].Key != live {
		t.Errorf("series %v, want only %v", snap, live)
	}
}

func TestAddAndSubAreInverse(t *testing.T) {
	random := func(rng *rand.Rand) (h Histogram) {
		for i := range h.Buckets {
			h.Buckets[i] = uint64(rng.IntN(1000))
		}
		h.Sum = time.Duration(rng.IntN(1e9))
		return h
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		a, b := random(rng), random(rng)
		sum := a
		sum.Add(&b)
		if got := sum.Sub(&b); got != a {
			t.Fatalf("(%v + %v) − the latter = %v", a, b, got)
		}
	}
	var small Histogram
	small.Buckets[0] = 1
	big := small
	big.Buckets[0] = 5
	if got := small.Sub(&big); got != small {
		t.Errorf("after a restart the difference is %v, want %v", got, small)
	}
}

func TestQuantileIsInsideItsBucket(t *testing.T) {
	var empty Histogram
	if empty.Quantile(0.5) != 0 {
		t.Error("the quantile of nothing is not 0")
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		var h Histogram
		values := make([]time.Duration, 1+rng.IntN(500))
		for i := range values {
			values[i] = time.Duration(rng.ExpFloat64() * float64(20*time.Millisecond))
			h.Buckets[bucketOf(values[i])]++
		}
		slices.Sort(values)
		for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
			exact := values[max(0, int(q*float64(len(values))+0.9999)-1)]
			got := h.Quantile(q)
			if b, want := bucketOf(got), bucketOf(exact); b != want && b != want-1 {
				t.Fatalf("quantile %v is %v (bucket %d), exactly %v (bucket %d)", q, got, b, exact, want)
			}
		}
	}
	var slow Histogram
	slow.Buckets[BucketCount-1] = 1
	if got := slow.Quantile(0.5); got != time.Minute {
		t.Errorf("quantile in the last bucket %v, want its lower bound 1m0s", got)
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	s := NewBook(nil).Series(Key{Endpoint: "e", Code: 200})
	s.Executed(0, 0, 1, 1) // makes its counters
	if n := testing.AllocsPerRun(1000, func() { s.Record(time.Millisecond); s.Executed(time.Microsecond, time.Millisecond, 1, 4) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	s := NewBook(nil).Series(Key{Endpoint: "e", Code: 200})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Record(3 * time.Millisecond)
		}
	})
}
