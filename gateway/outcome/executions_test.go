package outcome

import (
	"sync"
	"testing"
	"time"
)

func TestExecutionsAreSummedOverCodes(t *testing.T) {
	b := NewBook(nil)
	k := Key{Endpoint: "e", Model: "m", Version: 2, Stage: "Production", Arm: "stable", Code: 200}
	b.Series(k).Executed(time.Millisecond, 2*time.Millisecond, 3, 8)
	b.Series(k).Executed(-time.Second, 2*time.Millisecond, 1, 8)
	k.Code = 500
	b.Series(k).Executed(time.Millisecond, time.Second, 1, 1)
	k.Code = 429
	b.Series(k).Record(time.Microsecond) // turned away: nothing was executed
	k.Arm, k.Code = "canary", 200
	b.Series(k).Executed(0, 0, 1, 1)

	got := b.Executions()
	if len(got) != 2 || got[0].Arm != "canary" || got[1].Arm != "stable" || got[1].Code != 0 {
		t.Fatalf("executions %+v, want those of two arms in order", got)
	}
	stable := got[1]
	if stable.Rows != 5 || stable.ExecutedRows != 17 || stable.Queue.Count() != 3 || stable.Execute.Count() != 3 {
		t.Errorf("%d rows, %d executed, %d and %d observations", stable.Rows, stable.ExecutedRows, stable.Queue.Count(), stable.Execute.Count())
	}
	if stable.Queue.Sum != 2*time.Millisecond || stable.Execute.Sum != time.Second+4*time.Millisecond {
		t.Errorf("sums %v and %v", stable.Queue.Sum, stable.Execute.Sum)
	}
}

func TestExecutionsLoseNothingBetweenGoroutines(t *testing.T) {
	b := NewBook(nil)
	s := b.Series(Key{Endpoint: "e", Model: "m", Version: 1, Code: 200})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				s.Executed(time.Millisecond, time.Millisecond, 2, 2)
			}
		})
	}
	wg.Wait()
	if got := b.Executions(); len(got) != 1 || got[0].Queue.Count() != 8000 || got[0].Rows != 16000 {
		t.Errorf("executions %+v", got)
	}
}

func TestTheLastTracedRequestStandsForItsBucket(t *testing.T) {
	b := NewBook(nil)
	s := b.Series(Key{Endpoint: "e", Code: 200})
	if got := s.Snapshot().Exemplars; got != nil {
		t.Errorf("exemplars %v before any was traced", got)
	}
	s.Trace(Exemplar{Trace: [16]byte{1}, Latency: 2 * time.Second, TimeMS: 1})
	s.Trace(Exemplar{Trace: [16]byte{2}, Latency: 3 * time.Millisecond, TimeMS: 2})
	s.Trace(Exemplar{Trace: [16]byte{3}, Latency: 4 * time.Millisecond, TimeMS: 3})
	got := s.Snapshot().Exemplars
	if len(got) != 2 || got[0].Trace[0] != 3 || got[1].Trace[0] != 1 {
		t.Errorf("exemplars %v, want the third of the quick bucket and the first of the slow one", got)
	}
}

func BenchmarkExecuted(b *testing.B) {
	s := NewBook(nil).Series(Key{Endpoint: "e", Code: 200})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Executed(10*time.Microsecond, 3*time.Millisecond, 1, 4)
		}
	})
}
