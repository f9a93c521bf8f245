package outcome

import (
	"testing"
	"time"
)

func TestWhatWasNotExecutedIsCountedAndNotObserved(t *testing.T) {
	book := NewBook(nil)
	book.Watch([]string{"wine"})
	s := book.Series(Key{Endpoint: "wine", Code: 200})
	s.Record(time.Second)
	for range 9 {
		s.RecordCached(time.Millisecond)
	}
	if got := s.Snapshot(); got.Count() != 10 || got.Sum != time.Second+9*time.Millisecond {
		t.Errorf("%d requests of %v in all, want 10 of 1.009s", got.Count(), got.Sum)
	}
	observed := book.Observe("wine")
	if len(observed) != 1 || observed[0].Count != 1 || observed[0].Latency.Count() != 1 {
		t.Fatalf("observed %+v, want one request", observed)
	}
	if q := observed[0].Latency.Quantile(0.01); q < 900*time.Millisecond {
		t.Errorf("the fastest took %v: answers that were cached are among them", q)
	}
}
