package outcome

import (
	"testing"
	"time"
)

// clock is a clock that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func TestWindowsSeeOnlyTheirSpan(t *testing.T) {
	clk := &clock{time.Unix(1_000_000, 0)}
	book := NewBook(&Options{Now: clk.now})
	ok := book.Series(Key{Endpoint: "e", Model: "m", Version: 1, Arm: "a", Code: 200})
	ok.Record(time.Millisecond) // before the windows began
	w := NewWindows(book, &WindowOptions{Span: time.Minute, Step: 10 * time.Second, Now: clk.now})
	target := Target{"e", "m", 1}

	if got, _ := w.Over(time.Minute); len(got) != 0 {
		t.Fatalf("windows see %v from before they began", got)
	}
	for range 12 { // two minutes, one request every 10 s
		clk.advance(10 * time.Second)
		ok.Record(time.Millisecond)
		w.Tick()
	}
	got, span := w.Over(30 * time.Second)
	if s := got[target]; s.Success != 3 || span != 30*time.Second {
		t.Errorf("over %v: %d requests, want 3 over 30s", span, s.Success)
	}
	got, span = w.Over(time.Hour)
	if s := got[target]; s.Success != 6 || span != time.Minute {
		t.Errorf("over %v: %d requests, want 6 over the whole span of 1m0s", span, s.Success)
	}
	clk.advance(5 * time.Second)
	ok.Record(time.Millisecond)
	w.Tick() // younger than Step: not a mark
	got, span = w.Over(10 * time.Second)
	if s := got[target]; s.Success != 2 || span != 15*time.Second {
		t.Errorf("over %v: %d requests, want 2 over 15s", span, s.Success)
	}
}

func TestWindowsCountByClassAndMergeArms(t *testing.T) {
	clk := &clock{time.Unix(1_000_000, 0)}
	book := NewBook(&Options{Now: clk.now})
	w := NewWindows(book, &WindowOptions{Now: clk.now})
	for code, n := range map[int]int{200: 5, 400: 1, 404: 1, 429: 3, 500: 2, 503: 1} {
		for i := range n {
			arm := []string{"a", "b"}[i%2]
			book.Series(Key{Endpoint: "e", Model: "m", Version: 1, Arm: arm, Code: code}).Record(time.Millisecond)
		}
	}
	got, _ := w.Over(time.Minute)
	s := got[Target{"e", "m", 1}]
	if s.Success != 5 || s.ClientError != 2 || s.Shed != 3 || s.ServerError != 3 {
		t.Errorf("stats %+v", s)
	}
	if s.Requests() != 13 || s.Latency.Count() != 13 {
		t.Errorf("%d requests, %d latencies, want 13 and 13", s.Requests(), s.Latency.Count())
	}
	other := s
	s.Merge(&other)
	if s.Requests() != 26 || s.Latency.Count() != 26 {
		t.Errorf("after a merge with itself %d requests, want 26", s.Requests())
	}
}
