package invoke

import (
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
)

func TestAReplayLeavesNoTraceAsLiveTraffic(t *testing.T) {
	r, _ := onDemand(t)
	for _, path := range []string{"/models/wine/versions/3/invocations", "/models/wine/versions/1/invocations"} { // one without a route, one with
		if a := r.ask(t, "POST", path, goodBody, HeaderReplay, "1"); a.status != 200 || a.body != goodAnswer {
			t.Fatalf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := r.ask(t, "POST", "/models/wine/versions/3/invocations", `{"inputs": 1}`, HeaderReplay, "1"); a.status != 400 {
		t.Errorf("a bad body: %d", a.status)
	}
	if n := len(r.log.all()); n != 0 {
		t.Errorf("%d replayed requests were logged", n)
	}
	if s := r.h.deps.Outcomes.Snapshot(); len(s) != 0 {
		t.Errorf("replayed requests were counted: %+v", s)
	}
	if n := r.h.Replayed(); n != 3 {
		t.Errorf("%d replays, want 3", n)
	}
	if a := r.ask(t, "POST", "/models/wine/versions/3/invocations", goodBody); a.status != 200 || len(r.log.all()) != 1 {
		t.Errorf("the next live request: %d, %d records", a.status, len(r.log.all()))
	}
}

func TestWhoMayReplayAndWhere(t *testing.T) {
	for name, c := range map[string]struct {
		path, value string
		may         bool
		status      int
		says        string
	}{
		"an endpoint":            {"/invocations", "1", true, 400, "/models/NAME/versions/N"},
		"a stage":                {"/models/wine/stages/Production/invocations", "1", true, 400, "/models/NAME/versions/N"},
		"another value":          {"/models/wine/versions/1/invocations", "yes", true, 400, HeaderReplay},
		"an empty value":         {"/models/wine/versions/1/invocations", "", true, 400, HeaderReplay},
		"without the permission": {"/models/wine/versions/1/invocations", "1", false, 403, "manage"},
		"with the permission":    {"/models/wine/versions/1/invocations", "1", true, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := onDemand(t)
			r.h.deps.May = func(_ *fiber.Ctx, permission string) bool { return c.may && permission == "manage" }
			if a := r.ask(t, "POST", c.path, goodBody, HeaderReplay, c.value); a.status != c.status || !strings.Contains(a.body, c.says) {
				t.Errorf("%d %s, want %d that says %q", a.status, a.body, c.status, c.says)
			}
		})
	}
}
