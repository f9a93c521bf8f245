package invoke

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway/route"
)

// TestRateLimits: the limit of the whole endpoint, those of users, and that a new table does not renew them. Time is the test's.
func TestRateLimits(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	r := newRig(t, rigOptions{options: &Options{Now: clock}})
	r.h.deps.Caller = func(authorization []byte) string { return strings.TrimPrefix(string(authorization), "Bearer ") }
	e := split(10000, 0)
	e.Limits = []route.Limit{{PerMinute: 6}, {PerMinute: 4, ByUser: true}}
	r.publish(t, "", e)
	ask := func(user string) *answer {
		return r.ask(t, "POST", "/invocations", goodBody, "Authorization", "Bearer "+user)
	}
	want := func(user string, n, status int) *answer {
		t.Helper()
		var a *answer
		for i := range n {
			if a = ask(user); a.status != status {
				t.Fatalf("%s, request %d: %d %s, want %d", user, i, a.status, a.body, status)
			}
		}
		return a
	}
	want("ann", 4, 200)
	a := want("ann", 3, 429)
	if a.code() != "REQUEST_LIMIT_EXCEEDED" || a.header.Get("Retry-After") != "15" {
		t.Errorf("%s, Retry-After %q", a.body, a.header.Get("Retry-After"))
	}
	want("bob", 2, 200) // six in all: those of ann that were refused did not count
	if a = want("bob", 1, 429); a.header.Get("Retry-After") != "10" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	e.Salt = "another table"
	r.publish(t, "", e)
	want("bob", 1, 429)
	pass(10 * time.Second)
	want("bob", 1, 200)
	want("bob", 1, 429)
	pass(10 * time.Minute)
	want("cid", 4, 200) // no more than a minute's are saved up
	want("cid", 1, 429)
	e.Limits = nil
	r.publish(t, "", e)
	want("cid", 20, 200)
}

func TestRateLimitUnderRaces(t *testing.T) {
	l := &limiter{limits: []route.Limit{{PerMinute: 100}}}
	now := time.Now()
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if l.take(now, "") == 0 {
					allowed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if allowed.Load() != 100 {
		t.Errorf("%d were allowed, want 100", allowed.Load())
	}
}
