package invoke

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/route"
)

// ruled is endpoint "wine" with all traffic on version 1, and rules that send to version 2.
func ruled() route.Endpoint {
	e := split(10000, 0)
	group := route.Condition{Part: route.Part{Source: route.Header, Name: "X-Group"}, Values: []string{"beta", "staff"}}
	e.Rules = []route.Rule{
		{Name: "both", When: []route.Condition{group, {Part: route.Part{Source: route.Query, Name: "v"}, Values: []string{"2"}}}, Arm: "next"},
		{Name: "pin", When: []route.Condition{{Part: route.Part{Source: route.Header, Name: "X-Pin"}, Values: []string{"2"}}}, Arm: "next", Permission: "manage"},
		{Name: "absent", When: []route.Condition{{Part: route.Part{Source: route.Cookie, Name: "pin"}, Values: []string{"3"}}}, Arm: "not-ready"},
	}
	return e
}

// TestRules: the first rule that matches decides before the weights do; explain says the same, and why.
func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		query   string
		headers []string
		may     bool
		status  int
		arm     string
		rule    string
		by, why string
	}{
		"no rule matches":        {"", nil, true, 200, "prod", "", "weights", "drawn anew"},
		"a sticky key":           {"", []string{HeaderStickyKey, "ann"}, true, 200, "prod", "", "sticky_key", "bucket"},
		"one of two conditions":  {"", []string{"X-Group", "beta"}, true, 200, "prod", "", "weights", ""},
		"another value":          {"?v=3", []string{"X-Group", "beta"}, true, 200, "prod", "", "weights", ""},
		"both conditions":        {"?v=2", []string{"X-Group", "staff"}, false, 200, "next", "both", "rule", "both"},
		"with the permission":    {"", []string{"X-Pin", "2"}, true, 200, "next", "pin", "rule", "pin"},
		"without the permission": {"", []string{"X-Pin", "2"}, false, 403, "", "pin", "rule", "needs the permission"},
		"its arm is not ready":   {"", []string{"Cookie", "pin=3"}, true, 503, "", "absent", "rule", "not ready"},
		"the first rule decides": {"?v=2", []string{"X-Group", "beta", "X-Pin", "2"}, false, 200, "next", "both", "rule", "both"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			r.h.deps.May = func(_ *fiber.Ctx, permission string) bool {
				if permission != "manage" {
					t.Errorf("asked for %q", permission)
				}
				return c.may
			}
			r.publish(t, "", ruled())
			a := r.ask(t, "POST", "/invocations"+c.query, goodBody, c.headers...)
			if a.status != c.status || a.header.Get(HeaderArm) != c.arm {
				t.Errorf("%d %s, arm %q; want %d, %q", a.status, a.body, a.header.Get(HeaderArm), c.status, c.arm)
			}
			records := r.log.all()
			if len(records) != 1 || records[0].Rule != c.rule || (c.rule != "") != (records[0].Bucket == -1) {
				t.Errorf("log: %+v, want rule %q", records, c.rule)
			}
			for _, method := range []string{"GET", "POST"} {
				checkExplained(t, r.ask(t, method, "/api/2.0/serving-endpoints/wine/explain"+c.query, "", c.headers...), c.by, c.why, c.arm, c.status)
			}
			if len(r.log.all()) != 1 {
				t.Error("explain was logged")
			}
		})
	}
}

func checkExplained(t *testing.T, a *answer, by, why, arm string, status int) {
	t.Helper()
	var got struct {
		DecidedBy string `json:"decided_by"`
		Why       string
		Arm       struct{ Name string } `json:"served_entity"`
		Refused   struct{ Status int }
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 {
		t.Fatalf("explain: %d %s (%v)", a.status, a.body, err)
	}
	if by == "weights" {
		arm = "" // chance decides
	}
	if got.DecidedBy != by || !strings.Contains(got.Why, why) || got.Arm.Name != arm || status != 200 && got.Refused.Status != status {
		t.Errorf("explain: %s; want %q, %q, %q", a.body, by, why, arm)
	}
}

func TestExplainReadsTheBody(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "", halves(route.Part{Source: route.Field, Tokens: []string{"params", "user"}}))
	for i := range 10 {
		body := bodyOf(fmt.Sprintf("user-%d", i))
		arm := r.ask(t, "POST", "/invocations", body).header.Get(HeaderArm)
		checkExplained(t, r.ask(t, "POST", "/api/2.0/serving-endpoints/wine/explain", body), "sticky_key", "body field /params/user", arm, 200)
	}
	if a := r.ask(t, "GET", "/api/2.0/serving-endpoints/nobody/explain", ""); a.status != 404 {
		t.Errorf("an unknown endpoint: %d %s", a.status, a.body)
	}
}
