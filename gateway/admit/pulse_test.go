package admit

import (
	"math"
	"testing"
	"time"
)

// wrist is a made-up runtime whose goroutines wait as long as the test says.
type wrist struct {
	counts [3]uint64 // below 1 ms, below 200 ms, above
}

func (w *wrist) read(l *Latencies) {
	l.Counts, l.Bounds = append(l.Counts[:0], w.counts[:]...), []float64{math.Inf(-1), 0.001, 0.2, math.Inf(1)}
}

// beats lets n beats pass in which goroutines waited in the given bucket, and returns the share of a class refused in the last.
func beats(c *Controller, w *wrist, at *time.Time, n, bucket int, class Class) float64 {
	g, refused := c.Gate(), 0
	for range n {
		w.counts[bucket] += 1000
		*at = at.Add(beat + time.Millisecond)
		refused = 0
		for i := range uint64(whole) {
			t, r := g.Enter(*at, time.Minute, class, i)
			switch r {
			case Admitted:
				g.Leave(t, 0, true)
			case Scheduler:
				refused++
			}
		}
	}
	return float64(refused) / whole
}

func TestPulse(t *testing.T) {
	start := time.Now()
	w := &wrist{}
	c := New(&Options{Now: func() time.Time { return start }, Latencies: w.read})
	at := start
	if share := beats(c, w, &at, 10, 1, Interactive); share != 0 {
		t.Errorf("a wait below the limit refuses %.2f", share)
	}
	if share := beats(c, w, &at, 3, 2, Interactive); share != 0 {
		t.Errorf("a wait above it refuses %.2f before patience is over", share)
	}
	if d := c.SchedulerDelay(); d != 200*time.Millisecond {
		t.Errorf("delay %v", d)
	}
	beats(c, w, &at, 3, 2, Interactive)
	if shadow, batch := beats(c, w, &at, 1, 2, Shadow), beats(c, w, &at, 1, 2, Batch); shadow <= batch {
		t.Errorf("shadows are refused first: %.2f of them, %.2f of batch", shadow, batch)
	}
	share := beats(c, w, &at, 100, 2, Interactive)
	if share < 0.5 || share > 0.99 {
		t.Errorf("after 2.6 s %.2f of the highest class are refused: most, but never all", share)
	}
	beats(c, w, &at, int(1900*time.Millisecond/beat), 0, Interactive)
	if share := beats(c, w, &at, 1, 0, Interactive); share != 0 {
		t.Errorf("2 s after the wait is over %.2f are refused", share)
	}
	// Nobody comes by for a while: what is refused then is over, whatever the last beat said.
	beats(c, w, &at, 100, 2, Interactive)
	at = at.Add(4 * time.Second)
	if share := beats(c, w, &at, 1, 0, Interactive); share != 0 {
		t.Errorf("after a pause %.2f are refused", share)
	}
}

func TestTheRuntimeTellsLatencies(t *testing.T) {
	var l Latencies
	read := runtimeLatencies()
	done := make(chan struct{})
	for range 100 {
		go func() { done <- struct{}{} }()
		<-done
	}
	read(&l)
	if len(l.Counts) == 0 || len(l.Bounds) != len(l.Counts)+1 {
		t.Fatalf("%d counts, %d bounds", len(l.Counts), len(l.Bounds))
	}
	var total uint64
	for _, n := range l.Counts {
		total += n
	}
	if total == 0 {
		t.Error("nobody ever waited")
	}
}
