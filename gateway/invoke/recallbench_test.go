package invoke

import (
	"context"
	"testing"
	"time"
)

// TestHitsAllocateNothing is the budget of an answer from memory, on the whole way.
func TestHitsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: the budget is checked without it")
		return
	}
	r := newCachedRig(t, rigOptions{log: discard{}})
	x := newExchange(t, r.rig, oneRow)
	for range 100 {
		x.once(t)
	}
	if n := testing.AllocsPerRun(2000, func() { x.once(t) }); n > 0 {
		t.Errorf("%v allocations per request, want none", n)
	}
	r.want(t, 1)
}

// BenchmarkCache is a request to an endpoint with a cache, by what becomes of it, beside one without.
func BenchmarkCache(b *testing.B) {
	for _, c := range []struct {
		name  string
		ttl   time.Duration // 0: no cache
		model time.Duration
	}{
		{"off", 0, 0}, {"hit", 1000 * time.Hour, 0}, {"miss", time.Millisecond, 0},
		{"model of 1 ms, off", 0, time.Millisecond}, {"model of 1 ms, hit", 1000 * time.Hour, time.Millisecond}, {"model of 1 ms, miss", time.Millisecond, time.Millisecond},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newCachedRig(b, rigOptions{log: discard{}})
			r.backends[1].failWith(func(context.Context) error {
				for until := time.Now().Add(c.model); c.model > 0 && time.Now().Before(until); {
				}
				return nil
			})
			e := only("wine")
			if c.ttl > 0 {
				e = cached(e)
				e.Cache.TTL = c.ttl
			}
			r.publish(b, "", e)
			x := newExchange(b, r.rig, oneRow)
			b.ReportAllocs()
			for b.Loop() {
				r.now.Add(int64(2 * time.Millisecond))
				x.once(b)
			}
		})
	}
}
