package invoke

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/gateway/outcome"
	"sluice/runtime/batch"
	"sluice/runtime/servable"
)

// onDemand is a rig that routes version 1 of wine, and has versions 1 to 3 of it.
func onDemand(t *testing.T) (r *rig, third *doubler) {
	t.Helper()
	third = &doubler{}
	extra := &loaded{model: twoDoubles(), batcher: batch.New(third, nil)}
	demand := func(ctx context.Context, id servable.ID) (Handle, error) {
		switch {
		case id == servable.ID{Model: "wine", Version: 3}:
			extra.acquire()
			return extra, nil
		case id == servable.ID{Model: "wine", Version: 4}:
			<-ctx.Done()
			return nil, fmt.Errorf("%w: %w", servable.ErrNotAvailable, context.Cause(ctx))
		case id == servable.ID{Model: "wine", Version: 5}:
			return nil, fmt.Errorf("%w: its files in /secret are gone", servable.ErrNotAvailable)
		}
		return nil, fmt.Errorf("%w: %v", servable.ErrUnknown, id)
	}
	r = newRig(t, rigOptions{demand: demand})
	r.publish(t, "", only("wine"))
	t.Cleanup(func() {
		if n := extra.held(); n != 0 {
			t.Errorf("%d handles were not released", n)
		}
	})
	return r, third
}

func TestAnUnroutedVersionAnswers(t *testing.T) {
	r, _ := onDemand(t)
	const path = "/models/wine/versions/3/invocations"
	for range 3 {
		a := r.ask(t, "POST", path, goodBody)
		if a.status != 200 || a.body != goodAnswer {
			t.Fatalf("%d %s", a.status, a.body)
		}
		for name, want := range map[string]string{HeaderEndpoint: "wine", HeaderVersion: "3", HeaderArm: ArmOnDemand} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		r.publish(t, "", only("wine")) // a new table changes nothing about it
	}
	if a := r.ask(t, "POST", path, `{"inputs": 1}`); a.status != 400 {
		t.Errorf("a bad body: %d", a.status)
	}
	rec := r.log.all()[0]
	if rec.Endpoint != "wine" || rec.Model != "wine" || rec.Version != 3 || rec.Arm != ArmOnDemand || rec.Bucket != -1 || rec.Rows != 2 {
		t.Errorf("recorded as %+v", rec)
	}
	key := outcome.Key{Endpoint: "wine", Model: "wine", Version: 3, Arm: ArmOnDemand, Code: 200}
	if s := r.book.Series(key).Snapshot(); s.Count() != 3 {
		t.Errorf("%d counted", s.Count())
	}
}

func TestOnDemandFailures(t *testing.T) {
	r, _ := onDemand(t)
	for _, c := range []struct {
		path       string
		status     int
		retryAfter bool
		says       string
	}{
		{"/models/wine/versions/9/invocations", 404, false, `version 9 does not exist`},
		{"/models/beer/versions/1/invocations", 404, false, `beer`},
		{"/models/wine/versions/01/invocations", 404, false, `not served`},
		{"/models/wine/versions/x/invocations", 404, false, `not served`},
		{"/models/wine/stages/Staging/invocations", 404, false, `Staging`},
		{"/models/" + strings.Repeat("a", 300) + "/versions/1/invocations", 404, false, `not served`},
		{"/models/wine/versions/4/invocations", 503, true, `takes longer than 20ms`},
		{"/models/wine/versions/5/invocations", 503, true, `cannot be loaded`},
	} {
		a := r.ask(t, "POST", c.path, goodBody, HeaderTimeout, "20")
		if a.status != c.status || (a.header.Get("Retry-After") != "") != c.retryAfter || !strings.Contains(a.body, c.says) {
			t.Errorf("%.60s: %d, Retry-After %q, %s", c.path, a.status, a.header.Get("Retry-After"), a.body)
		}
		if strings.Contains(a.body, "/secret") {
			t.Errorf("%s tells why", a.body)
		}
	}
	if n := len(*r.h.demands.Load()); n != 0 {
		t.Errorf("%d versions are kept that never answered", n)
	}
	for _, s := range r.book.Snapshot() {
		if s.Endpoint != UnknownEndpoint {
			t.Errorf("a name that a caller made up is a series: %+v", s.Key)
		}
	}
}

func TestABreakerStandsBeforeVersionsOnDemandToo(t *testing.T) {
	r, third := onDemand(t)
	third.failWith(func(context.Context) error { return fmt.Errorf("broken") })
	const path = "/models/wine/versions/3/invocations"
	deadline := time.Now().Add(30 * time.Second)
	for r.ask(t, "POST", path, goodBody).status != 503 {
		r.publish(t, "", only("wine")) // the breaker remembers across tables
		if time.Now().After(deadline) {
			t.Fatal("the breaker never opened")
		}
	}
	if a := r.ask(t, "POST", "/models/wine/versions/1/invocations", goodBody); a.status != 200 {
		t.Errorf("the routed version: %d %s", a.status, a.body)
	}
}

func TestAVersionThatBecomesRouted(t *testing.T) {
	r, _ := onDemand(t)
	if a := r.ask(t, "POST", "/models/wine/versions/3/invocations", goodBody); a.status != 200 {
		t.Fatal(a.body)
	}
	// The rig has no version 3 to route; its list of those on demand must lose it all the same.
	e := only("wine")
	e.Arms[0].Servable.Version = 3
	r.publish(t, "", e)
	if n := len(*r.h.demands.Load()); n != 0 {
		t.Errorf("%d kept on demand", n)
	}
}

func TestVersionsOnDemandAreBounded(t *testing.T) {
	r, _ := onDemand(t)
	for v := range maxDemanded + 10 {
		r.h.addDemanded(servable.ID{Model: "wine", Version: 100 + v})
	}
	if n := len(*r.h.demands.Load()); n > maxDemanded {
		t.Errorf("%d kept, at most %d are", n, maxDemanded)
	}
}
