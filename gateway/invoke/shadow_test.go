package invoke

import (
	"context"
	"strconv"
	"testing"
	"time"

	"sluice/gateway/breaker"
	"sluice/gateway/outcome"
	"sluice/gateway/predlog"
	"sluice/gateway/route"
	"sluice/gateway/shadow"
)

// shadowing is endpoint "wine" with all traffic on version 1, and version 2 as its shadow.
func shadowing(share int) route.Endpoint {
	e := split(10000, 0)
	e.Shadows = []route.Shadow{{Arm: "next", Share: share}}
	return e
}

// newShadowRig is a rig with shadows, whose book is asked by series.
func newShadowRig(t testing.TB, share int, o rigOptions) *rig {
	t.Helper()
	r := newRig(t, o)
	r.publish(t, "", shadowing(share))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.h.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if n := r.h.shadows.bytes.Load(); n != 0 {
			t.Errorf("copies of %d bytes are left", n)
		}
	})
	return r
}

// series waits until the only shadow's series satisfies check.
func (r *rig) series(t testing.TB, check func(*shadow.Series) bool) *shadow.Series {
	t.Helper()
	var last []shadow.Series
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if last = r.h.shadows.book.Snapshot(); len(last) == 1 && check(&last[0]) {
			return &last[0]
		}
	}
	t.Fatalf("the book has %+v", last)
	return nil
}

// records waits for so many records.
func (r *rig) records(t testing.TB, n int) []predlog.Record {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if all := r.log.all(); len(all) >= n {
			return all
		}
	}
	t.Fatalf("there are %d records, want %d", len(r.log.all()), n)
	return nil
}

// A copy is executed, compared and logged under the request's id, and counts nowhere else.
func TestShadow(t *testing.T) {
	r := newShadowRig(t, route.FullWeight, rigOptions{})
	if a := r.ask(t, "POST", "/invocations", goodBody, "X-Request-Id", "both", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"); a.status != 200 || a.body != goodAnswer || a.header.Get(HeaderArm) != "prod" {
		t.Fatalf("got %+v", a)
	}
	s := r.series(t, func(s *shadow.Series) bool { return s.Executed() == 1 })
	if s.Arm != "next" || s.Servable.Version != 2 || s.Results[shadow.Answered] != 1 || s.Distance.Count != 1 || s.Distance.Sum != 0 || s.Delay.Count != 1 {
		t.Errorf("got %+v", s)
	}
	all := r.records(t, 2)
	given, copied := all[0], all[1]
	if given.Shadow || !copied.Shadow || copied.RequestID != "both" || copied.TraceID != given.TraceID || copied.PredictionID == given.PredictionID ||
		copied.Arm != "next" || copied.Version != 2 || copied.Status != 200 || string(copied.Request) != goodBody || string(copied.Response) != goodAnswer || copied.Rows != 2 {
		t.Errorf("given %+v\ncopied %+v", given, copied)
	}
	if n := r.counted(func(k outcome.Key) bool { return k.Arm == "next" }); n != 0 {
		t.Errorf("%d copies were counted as requests", n)
	}
}

// What is not answered by a model, and who names a version, is not copied.
func TestNotShadowed(t *testing.T) {
	r := newShadowRig(t, route.FullWeight, rigOptions{})
	r.ask(t, "POST", "/invocations", `{"dataframe_split":{"columns":["x"],"data":[[1]]}}`)
	r.ask(t, "POST", "/models/wine/versions/1/invocations", goodBody)
	r.ask(t, "POST", "/v2/models/wine/versions/2/infer", `{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1]},{"name":"b","shape":[1],"datatype":"FP64","data":[2]}]}`)
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 200 {
		t.Fatalf("got %+v", a)
	}
	if s := r.series(t, func(s *shadow.Series) bool { return s.Executed() > 0 }); s.Executed() != 1 {
		t.Errorf("got %+v", s)
	}
}

// Copies are of every protocol and of compressed bodies.
func TestShadowOfEveryProtocol(t *testing.T) {
	r := newShadowRig(t, route.FullWeight, rigOptions{})
	r.ask(t, "POST", "/v2/models/wine/infer", `{"inputs":[{"name":"a","shape":[1],"datatype":"FP64","data":[1]},{"name":"b","shape":[1],"datatype":"FP64","data":[2]}]}`)
	if reply := r.h.InferMessage(t.Context(), &Message{Body: twoNumbers(t, "wine", "", 1, 2.5), May: everything}); reply.Err != nil {
		t.Fatal(reply.Err)
	}
	r.ask(t, "POST", "/invocations", gzipped(goodBody), "Content-Encoding", "gzip")
	r.ask(t, "POST", "/invocations", "a,b\n1,2\n", "Content-Type", "text/csv")
	if s := r.series(t, func(s *shadow.Series) bool { return s.Executed() == 4 }); s.Results[shadow.Answered] != 4 || s.Distance.Sum != 0 {
		t.Errorf("got %+v", s)
	}
	for _, record := range r.records(t, 8) {
		if record.Shadow && record.Status != 200 {
			t.Errorf("%+v", record)
		}
	}
}

// A shadow that fails does nothing to the breaker or the outcomes of its version.
func TestFailingShadow(t *testing.T) {
	r := newShadowRig(t, route.FullWeight, rigOptions{breaker: &breaker.Options{ConsecutiveFailures: 2}})
	r.backends[2].failWith(func(context.Context) error { return errBroken })
	const n = 30
	for range n {
		if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 200 || a.body != goodAnswer {
			t.Fatalf("got %+v", a)
		}
	}
	r.series(t, func(s *shadow.Series) bool { return s.Results[shadow.Failed] == n })
	for _, record := range r.records(t, 2*n) {
		if record.Shadow && (record.Status != 500 || record.ErrorCode != "INTERNAL_ERROR") {
			t.Errorf("%+v", record)
		}
	}
	r.backends[2].failWith(nil)
	if a := r.ask(t, "POST", "/models/wine/versions/2/invocations", goodBody); a.status != 200 {
		t.Errorf("the breaker heard of it: %+v", a)
	}
	if n := r.counted(func(k outcome.Key) bool { return k.Arm == "next" && k.Code != 200 }); n != 0 {
		t.Errorf("%d failures were counted", n)
	}
}

// A shadow that hangs holds nobody up: what its queue cannot take is dropped and counted, and what waited for too long is not executed.
func TestHangingShadow(t *testing.T) {
	r := newShadowRig(t, route.FullWeight, rigOptions{options: &Options{ShadowTimeout: time.Hour}})
	hung := make(chan struct{}, laneWorkers)
	r.backends[2].failWith(func(ctx context.Context) error {
		select {
		case hung <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return ctx.Err()
	})
	r.ask(t, "POST", "/invocations", goodBody)
	<-hung
	const extra = 20
	for range laneQueue + laneWorkers + extra {
		if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 200 || a.body != goodAnswer { // would hang, if anybody waited
			t.Fatalf("got %+v", a)
		}
	}
	s := r.series(t, func(s *shadow.Series) bool { return s.Drops[shadow.QueueFull] >= extra })
	if s.Executed() != 0 || s.Drops[shadow.QueueFull] > extra+laneWorkers {
		t.Errorf("got %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.h.Close(ctx); err == nil {
		t.Error("nothing was cut off")
	}
	s = r.series(t, func(s *shadow.Series) bool { return s.Drops[shadow.Leaving] > 0 })
	if total := s.Executed() + s.Drops[shadow.Leaving] + s.Drops[shadow.QueueFull]; total != 1+laneQueue+laneWorkers+extra {
		t.Errorf("%d copies are accounted for: %+v", total, s)
	}
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 200 {
		t.Errorf("after the shadows left: %+v", a)
	}
}

// A copy that waited for too long is not executed.
func TestExpiredShadow(t *testing.T) {
	r := newShadowRig(t, route.FullWeight, rigOptions{options: &Options{ShadowTimeout: time.Nanosecond}})
	r.ask(t, "POST", "/invocations", goodBody)
	r.series(t, func(s *shadow.Series) bool { return s.Drops[shadow.Expired] == 1 })
}

// Series of shadows that are no longer routed are forgotten.
func TestShadowsAreForgotten(t *testing.T) {
	r := newShadowRig(t, route.FullWeight, rigOptions{})
	r.ask(t, "POST", "/invocations", goodBody)
	r.series(t, func(s *shadow.Series) bool { return s.Executed() == 1 })
	r.publish(t, "", shadowing(route.FullWeight))
	r.series(t, func(s *shadow.Series) bool { return s.Executed() == 1 })
	r.publish(t, "", split(10000, 0))
	if all := r.h.shadows.book.Snapshot(); len(all) != 0 {
		t.Errorf("kept %+v", all)
	}
}

// A share of the keys is copied, always the same ones.
func TestShadowShareByKey(t *testing.T) {
	r := newShadowRig(t, 3000, rigOptions{})
	const keys = 60
	ask := func() {
		for i := range keys {
			r.ask(t, "POST", "/invocations", goodBody, HeaderStickyKey, strconv.Itoa(i), "X-Request-Id", strconv.Itoa(i))
		}
	}
	copies := func() map[string]int {
		out := map[string]int{}
		for _, record := range r.log.all() {
			if record.Shadow {
				out[record.RequestID]++
			}
		}
		return out
	}
	ask()
	want := 0
	for i := range keys {
		d, err := r.h.Table().Pick("wine", strconv.Itoa(i), 0)
		if err != nil {
			t.Fatal(err)
		}
		if d.Shadow(0) != nil {
			want++
		}
	}
	r.records(t, keys+want)
	first := copies()
	ask()
	r.records(t, 2*(keys+want))
	for id, n := range copies() {
		if n != 2*first[id] {
			t.Errorf("key %s was copied %d times, then %d", id, first[id], n)
		}
	}
	if len(first) != want || want == 0 || want == keys {
		t.Errorf("%d of %d keys were copied, want %d", len(first), keys, want)
	}
}

// BenchmarkShadow is one request with no shadow, with one that answers, and with one that hangs: the caller's own costs.
func BenchmarkShadow(b *testing.B) {
	for name, c := range map[string]struct {
		share int
		hangs bool
	}{"none": {0, false}, "answers": {route.FullWeight, false}, "hangs": {route.FullWeight, true}} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, rigOptions{log: discard{}})
			r.publish(b, "", shadowing(c.share))
			if c.hangs {
				r.backends[2].failWith(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			}
			x := newExchange(b, r, oneRow)
			b.ReportAllocs()
			for b.Loop() {
				x.once(b)
			}
			b.StopTimer()
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = r.h.Close(ctx) // cuts off what hangs
		})
	}
}
