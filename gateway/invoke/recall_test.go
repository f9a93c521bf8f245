package invoke

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway/breaker"
	"sluice/gateway/outcome"
	"sluice/gateway/respcache"
	"sluice/gateway/respcache/ottercache"
	"sluice/gateway/route"
)

// cachedRig is a rig whose endpoint "wine" remembers answers; executions counts those of version 1.
type cachedRig struct {
	*rig
	answers    *respcache.Cache
	executions atomic.Int64
	now        atomic.Int64 // ns since the epoch
}

func newCachedRig(t testing.TB, o rigOptions) *cachedRig {
	t.Helper()
	r := &cachedRig{}
	r.now.Store(time.Now().UnixNano())
	now := func() time.Time { return time.Unix(0, r.now.Load()) }
	memory, err := ottercache.New(1<<20, now)
	if err != nil {
		t.Fatal(err)
	}
	r.answers = respcache.New(map[string]respcache.Store{"memory": memory}, now)
	t.Cleanup(func() { _ = r.answers.Close() })
	o.answers = r.answers
	r.rig = newRig(t, o)
	r.backends[1].failWith(func(context.Context) error { r.executions.Add(1); return nil })
	r.publish(t, "", cached(only("wine")))
	return r
}

// cached is the endpoint with answers remembered for a minute.
func cached(e route.Endpoint) route.Endpoint {
	e.Cache = &route.Cache{Store: "memory", TTL: time.Minute, MaxEntryBytes: 1 << 16}
	return e
}

// predict asks the endpoint and wants an answer with the result.
func (r *cachedRig) predict(t testing.TB, want, body string, headers ...string) *answer {
	t.Helper()
	a := r.ask(t, http.MethodPost, "/endpoints/wine/invocations", body, headers...)
	if a.status != http.StatusOK || a.header.Get(HeaderCache) != want {
		t.Fatalf("%d, %s %q, want 200 and %q: %s", a.status, HeaderCache, a.header.Get(HeaderCache), want, a.body)
	}
	return a
}

func (r *cachedRig) want(t testing.TB, executions int64) {
	t.Helper()
	if n := r.executions.Load(); n != executions {
		t.Errorf("%d executions, want %d", n, executions)
	}
}

func TestAnEqualInputIsAnsweredFromTheCache(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	first := r.predict(t, "miss", goodBody)
	r.now.Add(int64(5 * time.Second))
	for name, body := range map[string]string{
		"the same":      goodBody,
		"other spaces":  `{ "dataframe_split" : {"columns":["a","b"], "data":[[1.0,2],[3,4e0]]}}`,
		"records":       `{"dataframe_records":[{"a":1,"b":2},{"b":4,"a":3}]}`,
		"other columns": `{"dataframe_split":{"columns":["b","a"],"data":[[2,1],[4,3]]}}`,
		"inputs":        `{"inputs":{"a":[1,3],"b":[2,4]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			a := r.predict(t, "hit", body)
			if a.body != first.body || a.body != goodAnswer || a.header.Get("Age") != "5" {
				t.Errorf("age %q: %s", a.header.Get("Age"), a.body)
			}
			if a.header.Get(HeaderPrediction) == first.header.Get(HeaderPrediction) || a.header.Get(HeaderVersion) != "1" || strings.Contains(a.header.Get(HeaderServerTiming), "execute") {
				t.Errorf("headers %v", a.header)
			}
		})
	}
	r.want(t, 1)
	r.predict(t, "miss", `{"inputs":{"a":[1,3],"b":[2,5]}}`)
	if first.header.Get("Age") != "" {
		t.Error("an answer that was computed has an age")
	}
}

func TestProtocolsShareAnswers(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	r.predict(t, "miss", goodBody)
	infer := func(id string) *answer {
		body := `{"id":"` + id + `","inputs":[{"name":"a","datatype":"FP64","shape":[2,1],"data":[1,3]},{"name":"b","datatype":"FP64","shape":[2,1],"data":[2,4]}]}`
		return r.ask(t, http.MethodPost, "/v2/models/wine/infer", body)
	}
	for _, id := range []string{"one", "two"} {
		a := infer(id)
		if a.status != 200 || a.header.Get(HeaderCache) != "hit" || !strings.Contains(a.body, `"id":"`+id+`"`) && !strings.Contains(a.body, `"id": "`+id+`"`) || !strings.Contains(a.body, "14") {
			t.Errorf("%s: %d %q %s", id, a.status, a.header.Get(HeaderCache), a.body)
		}
	}
	r.want(t, 1)
}

func TestAnswersGrowOld(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	r.predict(t, "miss", goodBody)
	r.now.Add(int64(59 * time.Second))
	r.predict(t, "hit", goodBody)
	r.now.Add(int64(2 * time.Second))
	r.predict(t, "miss", goodBody)
	short := cached(only("wine"))
	short.Cache.TTL = time.Second
	r.publish(t, "", short)
	r.now.Add(int64(2 * time.Second))
	r.predict(t, "miss", goodBody) // the time of now counts, not the one of when it was kept
	r.want(t, 3)
}

func TestCacheControl(t *testing.T) {
	for _, c := range []struct {
		name, header  string
		first, second string // of a request with the header, and of one without after it
	}{
		{"no-cache executes and remembers", "no-cache", "bypass", "hit"},
		{"no-store executes and forgets", "no-store", "bypass", "miss"},
		{"among others, in any case", "no-transform , No-Store", "bypass", "miss"},
		{"max-age", "max-age=10", "miss", "hit"},
		{"others", "only-if-cached, min-fresh=3", "miss", "hit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newCachedRig(t, rigOptions{})
			r.predict(t, c.first, goodBody, "Cache-Control", c.header)
			r.predict(t, c.second, goodBody)
		})
	}
}

func TestMaxAge(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	r.predict(t, "miss", goodBody)
	r.now.Add(int64(10 * time.Second))
	r.predict(t, "hit", goodBody, "Cache-Control", "max-age=10")
	r.predict(t, "hit", goodBody, "Cache-Control", "max-age=99999999999")
	r.predict(t, "miss", goodBody, "Cache-Control", "max-age=9", "Cache-Control", "max-age=20")
	r.now.Add(int64(time.Second))
	r.predict(t, "miss", goodBody, "Cache-Control", "max-age=0")
	r.now.Add(int64(time.Second))
	r.predict(t, "miss", goodBody, "Cache-Control", "max-age=soon") // not understood: as old as can be
}

func TestErrorsAreNotRemembered(t *testing.T) {
	r := newCachedRig(t, rigOptions{breaker: &breaker.Options{MinRequests: 1000, ConsecutiveFailures: 1000}})
	r.backends[1].failWith(func(context.Context) error { r.executions.Add(1); return errors.New("broken") })
	for range 3 {
		if a := r.ask(t, http.MethodPost, "/endpoints/wine/invocations", goodBody); a.status != 500 || a.header.Get(HeaderCache) != "miss" {
			t.Errorf("%d %q", a.status, a.header.Get(HeaderCache))
		}
	}
	r.want(t, 3)
	if a := r.ask(t, http.MethodPost, "/endpoints/wine/invocations", `{"inputs":{"a":[1]}}`); a.status != 400 || a.header.Get(HeaderCache) != "" {
		t.Errorf("bad input: %d %q", a.status, a.header.Get(HeaderCache))
	}
}

func TestAnotherVersionHasOtherAnswers(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	r.predict(t, "miss", goodBody)
	next := only("wine")
	next.Arms[0].Servable.Version = 2
	r.publish(t, "", cached(next))
	if a := r.predict(t, "miss", goodBody); a.header.Get(HeaderVersion) != "2" {
		t.Errorf("version %s", a.header.Get(HeaderVersion))
	}
	r.publish(t, "", cached(only("wine"))) // back: what is left of its answers is right
	r.ask(t, http.MethodPost, "/endpoints/wine/invocations", goodBody)
	r.versions[1].digest = "the number was given to other files"
	r.predict(t, "miss", goodBody)
	r.versions[1].digest = ""
	r.predict(t, "bypass", goodBody)
	r.predict(t, "bypass", goodBody)
}

func TestEndpointsDoNotShareAnswers(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	other := cached(only("other"))
	r.publish(t, "", cached(only("wine")), other, only("plain"))
	r.predict(t, "miss", goodBody)
	if a := r.ask(t, http.MethodPost, "/endpoints/other/invocations", goodBody); a.header.Get(HeaderCache) != "miss" {
		t.Errorf("%s %q at another endpoint", HeaderCache, a.header.Get(HeaderCache))
	}
	if a := r.ask(t, http.MethodPost, "/endpoints/plain/invocations", goodBody); a.header.Get(HeaderCache) != "" {
		t.Errorf("%s %q at an endpoint without a cache", HeaderCache, a.header.Get(HeaderCache))
	}
}

func TestAStoreThatIsNotThereKeepsNothing(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	e := cached(only("wine"))
	e.Cache.Store = "redis"
	r.publish(t, "", e)
	r.predict(t, "miss", goodBody)
	r.predict(t, "miss", goodBody)
}

func TestLargeAnswersAreNotKept(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	e := cached(only("wine"))
	e.Cache.MaxEntryBytes = 10
	r.publish(t, "", e)
	r.predict(t, "miss", goodBody)
	r.predict(t, "miss", goodBody)
	if s := r.answers.Snapshot(); len(s) != 1 || s[0].TooLarge != 2 {
		t.Errorf("counted %+v", s)
	}
}

func TestHitsAreBooked(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	r.book.Watch([]string{"wine"})
	for i, want := range []string{"miss", "hit", "hit", "hit"} {
		r.predict(t, want, goodBody, "X-Request-Id", fmt.Sprint(i))
	}
	r.predict(t, "bypass", goodBody, "Cache-Control", "no-store")
	records := r.log.all()
	isCached := slices.Collect(func(yield func(bool) bool) {
		for _, rec := range records {
			if !yield(rec.Cached) {
				return
			}
		}
	})
	if !slices.Equal(isCached, []bool{false, true, true, true, false}) {
		t.Errorf("logged as cached: %v", isCached)
	}
	ids := map[[16]byte]bool{}
	for _, rec := range records {
		ids[rec.PredictionID] = true
		if string(rec.Response) != goodAnswer || string(rec.Request) != goodBody || rec.Rows != 2 || rec.Version != 1 {
			t.Errorf("logged %+v", rec)
		}
	}
	if len(ids) != 5 {
		t.Errorf("%d prediction ids of 5 requests", len(ids))
	}
	if n := r.counted(func(k outcome.Key) bool { return k.Endpoint == "wine" && k.Code == 200 }); n != 5 {
		t.Errorf("%d requests counted, want 5", n)
	}
	if o := r.book.Observe("wine"); len(o) != 1 || o[0].Count != 2 || o[0].Latency.Count() != 2 || o[0].Outputs.Count() != 2 {
		t.Errorf("a rollout would see other requests than the 2 that were executed")
	}
	if s := r.answers.Snapshot(); len(s) != 1 || s[0].Results != [respcache.Results]uint64{respcache.Hit: 3, respcache.Miss: 1, respcache.Bypass: 1} {
		t.Errorf("counted %+v", s)
	}
}

func TestHitsAreGivenWhileTheBreakerIsOpen(t *testing.T) {
	r := newCachedRig(t, rigOptions{breaker: &breaker.Options{ConsecutiveFailures: 1}})
	r.predict(t, "miss", goodBody)
	r.backends[1].failWith(func(context.Context) error { return errors.New("broken") })
	for range 20 {
		r.ask(t, http.MethodPost, "/endpoints/wine/invocations", `{"inputs":{"a":[1],"b":[1]}}`)
	}
	if a := r.ask(t, http.MethodPost, "/endpoints/wine/invocations", `{"inputs":{"a":[1],"b":[1]}}`); a.status != 503 {
		t.Fatalf("the breaker is not open: %d", a.status)
	}
	r.predict(t, "hit", goodBody)
}

// together asks n times at once and returns the answers; begun is closed when the version executes, and it goes on when release is.
func (r *cachedRig) together(t *testing.T, n int, fails func(execution int64) error) []*answer {
	t.Helper()
	begun, release := make(chan struct{}), make(chan struct{})
	r.backends[1].failWith(func(ctx context.Context) error {
		i := r.executions.Add(1)
		if i == 1 {
			close(begun)
			<-release
		}
		return fails(i)
	})
	answers := make([]*answer, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { answers[i] = r.ask(t, http.MethodPost, "/endpoints/wine/invocations", goodBody) })
		if i == 0 {
			<-begun
		}
	}
	for deadline := time.Now().Add(30 * time.Second); r.h.InFlight() < int64(n); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the requests did not come together within 30 s")
		}
	}
	close(release)
	all.Wait()
	return answers
}

// results counts answers by status and result.
func results(answers []*answer) map[string]int {
	n := map[string]int{}
	for _, a := range answers {
		n[fmt.Sprint(a.status, " ", a.header.Get(HeaderCache))]++
	}
	return n
}

func TestEqualRequestsAreExecutedOnce(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	answers := r.together(t, 20, func(int64) error { return nil })
	n := results(answers)
	if n["200 miss"] != 1 || n["200 shared"]+n["200 hit"] != 19 {
		t.Errorf("answered %v", n)
	}
	r.want(t, 1)
	for _, a := range answers {
		if a.body != goodAnswer {
			t.Errorf("answered %s", a.body)
		}
	}
	if len(r.log.all()) != 20 {
		t.Errorf("%d of 20 requests are logged", len(r.log.all()))
	}
}

func TestFollowersDoNotFailWithTheirLeader(t *testing.T) {
	r := newCachedRig(t, rigOptions{breaker: &breaker.Options{MinRequests: 1000, ConsecutiveFailures: 1000}})
	answers := r.together(t, 20, func(i int64) error {
		if i == 1 {
			return errors.New("once")
		}
		return nil
	})
	n := results(answers)
	if n["500 miss"] != 1 || n["200 miss"] != 1 || n["200 shared"]+n["200 hit"] != 18 {
		t.Errorf("answered %v", n)
	}
	r.want(t, 2)
}

func TestFollowersOfAModelThatFailsAreNotKeptInLine(t *testing.T) {
	r := newCachedRig(t, rigOptions{breaker: &breaker.Options{MinRequests: 1000, ConsecutiveFailures: 1000}})
	n := results(r.together(t, 20, func(int64) error { return errors.New("always") }))
	if n["500 miss"] != 20 {
		t.Errorf("answered %v", n)
	}
	r.want(t, 20)
}

func TestAFollowerKeepsItsOwnDeadline(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	begun, release := make(chan struct{}), make(chan struct{})
	r.backends[1].failWith(func(context.Context) error { close(begun); <-release; return nil })
	led := make(chan *answer, 1)
	go func() { led <- r.ask(t, http.MethodPost, "/endpoints/wine/invocations", goodBody) }()
	<-begun
	if a := r.ask(t, http.MethodPost, "/endpoints/wine/invocations", goodBody, HeaderTimeout, "20"); a.status != http.StatusGatewayTimeout {
		t.Errorf("a follower whose time is up is answered %d", a.status)
	}
	close(release)
	if a := <-led; a.status != 200 || a.header.Get(HeaderCache) != "miss" {
		t.Errorf("the leader is answered %d %q", a.status, a.header.Get(HeaderCache))
	}
}

func TestAnswersFromTheCacheAreNotCopied(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	e := cached(split(route.FullWeight, 0))
	e.Shadows = []route.Shadow{{Arm: "next", Share: route.FullWeight}}
	r.publish(t, "", e)
	for _, want := range []string{"miss", "hit", "hit"} {
		r.predict(t, want, goodBody)
	}
	if err := r.h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	copies := 0
	for _, rec := range r.log.all() {
		if rec.Shadow {
			copies++
		}
	}
	if copies > 1 {
		t.Errorf("%d copies of one execution", copies)
	}
}

func TestAFallbackHasAnswersOfItsOwn(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	delete(r.versions, 1) // not loaded: nothing is executed for it
	e := cached(split(route.FullWeight, 0))
	e.Fallbacks = []route.Fallback{{From: "prod", Instead: "next", On: route.Failure}}
	r.publish(t, "", e)
	for _, want := range []string{"miss", "hit"} {
		if a := r.predict(t, want, goodBody); a.header.Get(HeaderVersion) != "2" || a.header.Get(HeaderFallback) == "" {
			t.Errorf("%s: version %s, %s %q", want, a.header.Get(HeaderVersion), HeaderFallback, a.header.Get(HeaderFallback))
		}
	}
}

// TestMessagesShareAnswers: what came by JSON is a hit by gRPC, whose metadata are headers.
func TestMessagesShareAnswers(t *testing.T) {
	r := newCachedRig(t, rigOptions{})
	r.predict(t, "miss", `{"inputs":{"a":[1],"b":[2.5]}}`)
	for _, c := range []struct {
		metadata map[string][]string
		want     string
	}{
		{nil, "hit"},
		{map[string][]string{"cache-control": {"no-transform", "no-store"}}, "bypass"},
	} {
		reply := r.h.InferMessage(t.Context(), &Message{Body: twoNumbers(t, "wine", "", 1, 2.5), Metadata: c.metadata, May: everything})
		if reply.Err != nil {
			t.Fatal(reply.Err)
		}
		if got := reply.Headers["x-sluice-cache"]; len(got) != 1 || got[0] != c.want {
			t.Errorf("%v: x-sluice-cache %v, want %s", c.metadata, got, c.want)
		}
		if _, aged := reply.Headers["age"]; aged != (c.want == "hit") {
			t.Errorf("%s: age is there: %v", c.want, aged)
		}
	}
	r.want(t, 2)
}
