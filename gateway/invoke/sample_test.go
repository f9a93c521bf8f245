package invoke

import (
	"fmt"
	"math"
	"testing"

	"sluice/gateway/predlog"
	"sluice/gateway/route"
	"sluice/gateway/shadow"
	"sluice/runtime/servable"
)

var _ Recorder = (*predlog.Log)(nil)

// TestSampling (R43): of each request both the arm that answered, whichever it was, and the shadow are logged, or neither; what is left out is
// counted, and rows and what was left out are all requests.
func TestSampling(t *testing.T) {
	const users, fraction = 150, 0.3
	r := newShadowRig(t, route.FullWeight, rigOptions{})
	e := shadowing(route.FullWeight)
	e.Arms[0].Weight, e.Arms[1].Weight = 5000, 5000
	e.Arms = append(e.Arms, route.Arm{Name: "third", Servable: servable.ID{Model: "wine", Version: 1}})
	e.Shadows = []route.Shadow{{Arm: "third", Share: route.FullWeight}}
	e.SamplingFraction = fraction
	r.publish(t, "", e)
	for i := range users {
		for try := range 2 {
			header := []string{"X-Request-Id", fmt.Sprintf("request-%d", i)}
			if i%2 == 0 { // by user, whatever the request
				header = []string{"X-Request-Id", fmt.Sprintf("request-%d-%d", i, try), HeaderStickyKey, fmt.Sprintf("user-%d", i)}
			}
			if a := r.ask(t, "POST", "/invocations", goodBody, header...); a.status != 200 {
				t.Fatalf("got %+v", a)
			}
		}
	}
	bad := r.ask(t, "POST", "/invocations", `{"dataframe_split":{"columns":["x"],"data":[[1]]}}`, "X-Request-Id", "request-1")
	if bad.status != 400 {
		t.Fatalf("got %+v", bad)
	}
	var dropped uint64
	r.series(t, func(s *shadow.Series) bool {
		dropped = 0
		for _, n := range s.Drops {
			dropped += n
		}
		return s.Executed()+dropped == 2*users
	})
	if err := r.h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	answered, copies, skipped := map[string]int{}, map[string]int{}, 0
	for _, record := range r.log.all() {
		if record.SamplingFraction != fraction {
			t.Errorf("%s says %v", record.RequestID, record.SamplingFraction)
		}
		switch {
		case record.Shadow:
			copies[record.RequestID]++
		case record.Status == 200:
			answered[record.RequestID]++
		}
	}
	for s, n := range r.log.skipped {
		if s.Endpoint != "wine" || s.Model != "wine" {
			t.Errorf("left out under %+v", s)
		}
		skipped += n
	}
	if got, want := len(r.log.all())+skipped, 4*users+1-int(dropped); got != want {
		t.Errorf("%d records and %d left out, want %d", len(r.log.all()), skipped, want)
	}
	var kept float64
	for i := range users {
		ids := []string{fmt.Sprintf("request-%d", i), fmt.Sprintf("request-%d", i)}
		want := 2
		if i%2 == 0 {
			ids, want = []string{fmt.Sprintf("request-%d-0", i), fmt.Sprintf("request-%d-1", i)}, 1
		}
		for _, id := range ids {
			if n := answered[id]; n != 0 && n != want || n != copies[id] && dropped == 0 {
				t.Errorf("%s: %d answers and %d copies logged", id, n, copies[id])
			}
		}
		if answered[ids[0]] != answered[ids[1]] {
			t.Errorf("of one user: %d and %d", answered[ids[0]], answered[ids[1]])
		}
		if answered[ids[0]] > 0 {
			kept++
		}
	}
	if sigma := math.Sqrt(users * fraction * (1 - fraction)); math.Abs(kept-users*fraction) > 3*sigma {
		t.Errorf("%v of %d users are logged, want %v ± %v", kept, users, users*fraction, 3*sigma)
	}
}
