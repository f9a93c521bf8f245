package ottercache

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/gateway/respcache"
	"sluice/gateway/respcache/respcachetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, maxBytes int64, now func() time.Time) *Store {
	t.Helper()
	s, err := New(maxBytes, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSuite(t *testing.T) {
	respcachetest.Run(t, func(t *testing.T) respcache.Store { return open(t, 1<<20, nil) })
}

func TestMemoryIsBounded(t *testing.T) {
	const bound = 1 << 20
	s := open(t, bound, nil)
	value := strings.Repeat("x", 10_000)
	for i := range 2000 { // 20 times the bound
		if err := s.Put(t.Context(), respcachetest.Key(1, i), value, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Bytes(); n > bound || n < bound/2 {
		t.Errorf("%d bytes are held, want nearly %d and not more", n, bound)
	}
	n := s.Entries()
	if n > bound/10_000 {
		t.Errorf("%d entries are held", n)
	}
	if got := s.Evicted(); got != uint64(2000-n) {
		t.Errorf("%d evicted, want all but %d of 2000", got, n)
	}
}

func TestWhatIsLargerThanTheBoundIsNotKept(t *testing.T) {
	s := open(t, 10_000, nil)
	if err := s.Put(t.Context(), respcachetest.Key(1, 1), strings.Repeat("x", 20_000), time.Hour); err != nil {
		t.Fatal(err)
	}
	if n := s.Bytes(); n > 10_000 {
		t.Errorf("%d bytes are held", n)
	}
}

func TestValuesEndByTheClock(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := open(t, 1<<20, func() time.Time { return now })
	for i, step := range []struct {
		later time.Duration
		found bool
	}{{0, true}, {59 * time.Second, true}, {time.Second, false}} {
		if i == 0 {
			if err := s.Put(t.Context(), respcachetest.Key(1, 1), "one", time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(step.later)
		if got, _ := s.Get(t.Context(), respcachetest.Key(1, 1)); (got != "") != step.found {
			t.Errorf("step %d: found %q, want found %v", i, got, step.found)
		}
	}
}

func TestKeepFreesWhatNobodyOwns(t *testing.T) {
	s := open(t, 1<<20, nil)
	for i := range 100 {
		for owner := range 2 {
			if err := s.Put(t.Context(), respcachetest.Key(owner, i), "value", time.Hour); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 5 { // however often, and at once
		s.Keep(func(o respcache.Owner) bool { return o == 1 })
	}
	for deadline := time.Now().Add(30 * time.Second); s.Entries() > 100; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d entries after 30 s, want 100", s.Entries())
		}
	}
	for i := range 100 {
		if got, _ := s.Get(t.Context(), respcachetest.Key(1, i)); got == "" {
			t.Fatalf("key %d of the owner that is left is gone", i)
		}
	}
}

func TestCloseEndsASweep(t *testing.T) {
	s := open(t, 1<<20, nil)
	if err := s.Put(t.Context(), respcachetest.Key(1, 1), "value", time.Hour); err != nil {
		t.Fatal(err)
	}
	s.Keep(func(respcache.Owner) bool { return false })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Keep(func(respcache.Owner) bool { t.Error("asked after Close"); return true })
}

// TestOverhead fills a store and compares the heap with what the store believes.
func TestOverhead(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const n = 20_000
	before := heap()
	s := open(t, 1<<30, nil)
	for i := range n {
		if err := s.Put(t.Context(), respcachetest.Key(1, i), fmt.Sprintf("%0128d", i), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	took := float64(heap()-before) / n
	t.Logf("an entry of 128 bytes takes %.0f, counted as %d", took, 128+overhead)
	if took > 128+overhead {
		t.Errorf("an entry of 128 bytes takes %.0f, more than the %d that are counted", took, 128+overhead)
	}
	runtime.KeepAlive(s)
}

func BenchmarkGet(b *testing.B) {
	s := open(b, 1<<24, nil)
	keys := make([]*respcache.Key, 1024)
	for i := range keys {
		keys[i] = respcachetest.Key(1, i)
		if err := s.Put(b.Context(), keys[i], "a value of some bytes", time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if v, _ := s.Get(b.Context(), keys[i&1023]); v == "" {
			b.Fatal("nothing found")
		}
		i++
	}
}

func BenchmarkPut(b *testing.B) {
	s := open(b, 1<<20, nil)
	keys := make([]*respcache.Key, 1<<16)
	for i := range keys {
		keys[i] = respcachetest.Key(1, i)
	}
	value := strings.Repeat("x", 512)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := s.Put(b.Context(), keys[i&(1<<16-1)], value, time.Hour); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
