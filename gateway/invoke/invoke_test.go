package invoke

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/breaker"
	"sluice/gateway/route"
	"sluice/runtime/batch"
	"sluice/runtime/servable"
)

var uuid7Form = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestAnswerAndItsHeaders(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "", only("wine"))
	a := r.ask(t, "POST", "/invocations", goodBody, "X-Request-Id", "req-1")
	if a.status != 200 || a.body != goodAnswer {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", HeaderEndpoint: "wine", HeaderVersion: "1", HeaderArm: "prod", HeaderRevision: "1; config=0", HeaderRequestID: "req-1",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if id := a.header.Get(HeaderPrediction); !uuid7Form.MatchString(id) {
		t.Errorf("prediction id %q is no UUIDv7", id)
	}
	if st := a.header.Get(HeaderServerTiming); !regexp.MustCompile(`^queue;dur=\d+\.\d{3}, batch;desc="rows=2", execute;dur=\d+\.\d{3}, total;dur=\d+\.\d{3}$`).MatchString(st) {
		t.Errorf("Server-Timing %q", st)
	}
	if tp := a.header.Get("Traceparent"); tp != "" {
		t.Errorf("traceparent %q out of nowhere", tp)
	}
}

func TestWaysToName(t *testing.T) {
	r := newRig(t, rigOptions{})
	wine, spaced := split(route.FullWeight, 0), only("red wine/ü")
	cases := []struct {
		name      string
		def       string
		endpoints []route.Endpoint
		path      string
		headers   []string
		status    int
		endpoint  string // of the answer
		version   string
		says      []string
	}{
		{name: "the only endpoint", endpoints: []route.Endpoint{wine}, path: "/invocations", status: 200, endpoint: "wine", version: "1"},
		{name: "the default", def: "wine", endpoints: []route.Endpoint{wine, spaced}, path: "/invocations", status: 200, endpoint: "wine", version: "1"},
		{name: "by header", endpoints: []route.Endpoint{wine, only("other")}, path: "/invocations", headers: []string{HeaderEndpoint, "other"}, status: 200, endpoint: "other", version: "1"},
		{name: "nobody named", endpoints: []route.Endpoint{wine, only("other")}, path: "/invocations", status: 400, says: []string{`\"wine\"`, `\"other\"`, HeaderEndpoint}},
		{name: "no endpoint at all", path: "/invocations", status: 400, says: []string{"there is none"}},
		{name: "unknown by header", endpoints: []route.Endpoint{wine}, path: "/invocations", headers: []string{HeaderEndpoint, "beer"}, status: 404, says: []string{`\"beer\"`, `\"wine\"`}},
		{name: "two headers", endpoints: []route.Endpoint{wine}, path: "/invocations", headers: []string{HeaderEndpoint, "wine", HeaderEndpoint, "beer"}, status: 400, says: []string{HeaderEndpoint}},
		{name: "by path", endpoints: []route.Endpoint{wine}, path: "/endpoints/wine/invocations", status: 200, endpoint: "wine", version: "1"},
		{name: "the Databricks path", endpoints: []route.Endpoint{wine}, path: "/serving-endpoints/wine/invocations", status: 200, endpoint: "wine", version: "1"},
		{name: "the path beats the header", endpoints: []route.Endpoint{wine}, path: "/endpoints/wine/invocations", headers: []string{HeaderEndpoint, "beer"}, status: 200, endpoint: "wine", version: "1"},
		{name: "an encoded name", endpoints: []route.Endpoint{spaced}, path: "/endpoints/red%20wine%2F%C3%BC/invocations", status: 200, endpoint: "red%20wine%2F%C3%BC", version: "1"},
		{name: "decoded once only", endpoints: []route.Endpoint{wine}, path: "/endpoints/%2577ine/invocations", status: 404},
		{name: "a control character", endpoints: []route.Endpoint{wine}, path: "/endpoints/wi%00ne/invocations", status: 400},
		{name: "a broken escape", endpoints: []route.Endpoint{wine}, path: "/endpoints/wi%FFne/invocations", status: 400},
		{name: "unknown by path", endpoints: []route.Endpoint{wine}, path: "/endpoints/beer/invocations", status: 404, says: []string{`\"beer\"`}},
		{name: "a version of weight 0", endpoints: []route.Endpoint{wine}, path: "/models/wine/versions/2/invocations", status: 200, endpoint: "wine", version: "2"},
		{name: "a stage", endpoints: []route.Endpoint{wine}, path: "/models/wine/stages/Staging/invocations", status: 200, endpoint: "wine", version: "2"},
		{name: "an alias", endpoints: []route.Endpoint{wine}, path: "/models/wine/aliases/champion/invocations", status: 200, endpoint: "wine", version: "1"},
		{name: "a version that is not routed", endpoints: []route.Endpoint{wine}, path: "/models/wine/versions/9/invocations", status: 404, says: []string{`\"9\"`}},
		{name: "a model that is not served", endpoints: []route.Endpoint{wine}, path: "/models/beer/versions/1/invocations", status: 404, says: []string{`\"beer\"`}},
		{name: "an endpoint with nothing ready", endpoints: []route.Endpoint{{Name: "wine", Reason: "version 3: not an ONNX file"}}, path: "/invocations", status: 503, says: []string{"not an ONNX file"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r.publish(t, c.def, c.endpoints...)
			a := r.ask(t, "POST", c.path, goodBody, c.headers...)
			if a.status != c.status {
				t.Fatalf("status %d, want %d: %s", a.status, c.status, a.body)
			}
			if got := a.header.Get(HeaderEndpoint); got != c.endpoint {
				t.Errorf("%s %q, want %q", HeaderEndpoint, got, c.endpoint)
			}
			if got := a.header.Get(HeaderVersion); got != c.version {
				t.Errorf("%s %q, want %q", HeaderVersion, got, c.version)
			}
			for _, text := range c.says {
				if !strings.Contains(a.body, text) {
					t.Errorf("answer %s does not say %s", a.body, text)
				}
			}
			if a.status != 200 && a.code() == "" {
				t.Errorf("no error_code in %s", a.body)
			}
		})
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func TestBodies(t *testing.T) {
	const limit = 2000
	r := newRig(t, rigOptions{options: &Options{MaxBodyBytes: limit}, breaker: &breaker.Options{ConsecutiveFailures: 2}})
	r.publish(t, "", only("wine"))
	cases := []struct {
		name    string
		body    string
		headers []string
		status  int
		says    string
	}{
		{"split", goodBody, nil, 200, goodAnswer},
		{"records", `{"dataframe_records":[{"a":1,"b":2},{"b":4,"a":3}]}`, nil, 200, goodAnswer},
		{"instances", `{"instances":[{"a":1,"b":2},{"a":3,"b":4}]}`, nil, 200, goodAnswer},
		{"inputs", `{"inputs":[{"a":1,"b":2},{"a":3,"b":4}]}`, nil, 200, goodAnswer},
		{"CSV", "a,b\n1,2\n3,4\n", []string{"Content-Type", "text/csv"}, 200, goodAnswer},
		{"gzip", gzipped(goodBody), []string{"Content-Encoding", "gzip"}, 200, goodAnswer},
		{"identity", goodBody, []string{"Content-Encoding", "identity"}, 200, goodAnswer},
		{"NaN in a float column", `{"dataframe_split":{"columns":["a","b"],"data":[[NaN,2],[null,4]]}}`, nil, 200, `{"predictions": [{"y": null}, {"y": null}]}`},
		{"malformed", `{"dataframe_split":`, nil, 400, ""},
		{"not an object", `[1,2]`, nil, 400, ""},
		{"two input keys", `{"instances":[[1,2]],"inputs":[[1,2]]}`, nil, 400, ""},
		{"no input key", `{"data":[[1,2]]}`, nil, 400, ""},
		{"empty", ``, nil, 400, ""},
		{"a missing column", `{"dataframe_split":{"columns":["a"],"data":[[1]]}}`, nil, 400, "b"},
		{"a wrong type", `{"dataframe_split":{"columns":["a","b"],"data":[["x",2]]}}`, nil, 400, "a"},
		{"an unknown content type", `a`, []string{"Content-Type", "image/png"}, 415, "image/png"},
		{"an unknown charset", goodBody, []string{"Content-Type", "application/json; charset=latin1"}, 415, "latin1"},
		{"an unknown encoding", goodBody, []string{"Content-Encoding", "br"}, 415, "br"},
		{"a body over the limit", `{"inputs":[` + strings.Repeat(" ", limit) + `]}`, nil, 413, strconv.Itoa(limit)},
		{"a bomb", gzipped(strings.Repeat(" ", 1_000_000)), []string{"Content-Encoding", "gzip"}, 413, strconv.Itoa(limit)},
		{"damaged gzip", "\x1f\x8b garbage", []string{"Content-Encoding", "gzip"}, 400, "gzip"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := r.ask(t, "POST", "/invocations", c.body, c.headers...)
			if a.status != c.status {
				t.Fatalf("status %d, want %d: %s", a.status, c.status, a.body)
			}
			if c.status == 200 && a.body != c.says {
				t.Errorf("answer %s, want %s", a.body, c.says)
			}
			if c.status != 200 && (a.code() == "" || !strings.Contains(a.body, c.says)) {
				t.Errorf("answer %s does not say %q with a code", a.body, c.says)
			}
			if a.header.Get(HeaderEndpoint) != "wine" {
				t.Error("the answer does not say which endpoint it is from")
			}
		})
	}
	// None of it was the model's failure.
	if s := r.h.deps.Breakers.States()[0].State; s != breaker.Closed {
		t.Errorf("breaker %v after bad input, want closed", s)
	}
}

func TestStreamedBodies(t *testing.T) {
	const limit = 100_000
	r := newRig(t, rigOptions{options: &Options{MaxBodyBytes: limit}, fiber: fiber.Config{StreamRequestBody: true, BodyLimit: 100}})
	r.publish(t, "", only("wine"))
	rows := strings.Repeat("[1,2],", 10_000)
	big := `{"dataframe_split":{"columns":["a","b"],"data":[` + rows[:len(rows)-1] + `]}}`
	if a := r.ask(t, "POST", "/invocations", big); a.status != 200 || strings.Count(a.body, "6.0") != 10_000 {
		t.Errorf("a streamed body: status %d, %d bytes", a.status, len(a.body))
	}
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 200 || a.body != goodAnswer {
		t.Errorf("a short body: %d %s", a.status, a.body)
	}
	chunked := func(n int) int {
		var b strings.Builder
		b.WriteString("POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
		body := `{"dataframe_split":{"columns":["a","b"],"data":[[1,2]]` + strings.Repeat(" ", n) + `}}`
		for len(body) > 0 {
			m := min(len(body), 5000)
			fmt.Fprintf(&b, "%x\r\n%s\r\n", m, body[:m])
			body = body[m:]
		}
		b.WriteString("0\r\n\r\n")
		return r.raw(t, b.String()).StatusCode
	}
	if got := chunked(1000); got != 200 {
		t.Errorf("a chunked body: status %d, want 200", got)
	}
	if got := chunked(limit); got != 413 {
		t.Errorf("a chunked body over the limit: status %d, want 413 (S12)", got)
	}
}

func TestWhatBackendsDo(t *testing.T) {
	cases := []struct {
		name   string
		fails  func(context.Context) error
		status int
		code   string
		retry  bool
		hides  string
	}{
		{"refuses the input", func(context.Context) error { return fmt.Errorf("input \"a\": rank 3: %w", servable.ErrBadInput) }, 400, "BAD_REQUEST", false, ""},
		{"breaks", func(context.Context) error { return errBroken }, 500, "INTERNAL_ERROR", false, "Gemm_3"},
		{"panics", func(context.Context) error { panic("secret") }, 500, "INTERNAL_ERROR", false, "secret"},
		{"is too slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 504, "DEADLINE_EXCEEDED", false, ""},
		{"has a full queue", func(context.Context) error { return fmt.Errorf("wine: %w", batch.ErrQueueFull) }, 429, "RESOURCE_EXHAUSTED", true, ""},
		{"loses its workers", func(context.Context) error { return fmt.Errorf("%w: killed", servable.ErrLost) }, 503, "TEMPORARILY_UNAVAILABLE", true, ""},
		{"is being unloaded", func(context.Context) error { return batch.ErrClosed }, 503, "TEMPORARILY_UNAVAILABLE", true, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			r.publish(t, "", only("wine"))
			r.backends[1].failWith(c.fails)
			a := r.ask(t, "POST", "/invocations", goodBody, HeaderTimeout, "200")
			if a.status != c.status || a.code() != c.code {
				t.Fatalf("%d %s, want %d %s", a.status, a.body, c.status, c.code)
			}
			if got := a.header.Get("Retry-After") != ""; got != c.retry {
				t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
			if c.hides != "" && strings.Contains(a.body, c.hides) {
				t.Errorf("the answer tells internals: %s", a.body)
			}
			if a.header.Get(HeaderVersion) != "1" || !uuid7Form.MatchString(a.header.Get(HeaderPrediction)) {
				t.Errorf("headers of a failed request: %v", a.header)
			}
			r.backends[1].failWith(nil)
			if again := r.ask(t, "POST", "/invocations", goodBody); again.status != 200 || again.body != goodAnswer {
				t.Errorf("the next request: %d %s", again.status, again.body)
			}
		})
	}
}

func TestBreakerOpensOnModelFailuresOnly(t *testing.T) {
	r := newRig(t, rigOptions{breaker: &breaker.Options{ConsecutiveFailures: 3, OpenFor: 90 * time.Second}})
	r.publish(t, "", only("wine"))
	bad := `{"dataframe_split":{"columns":["a"],"data":[[1]]}}`
	for range 20 {
		if a := r.ask(t, "POST", "/invocations", bad); a.status != 400 {
			t.Fatalf("status %d", a.status)
		}
	}
	r.backends[1].failWith(func(context.Context) error { return errBroken })
	for range 3 {
		if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 500 {
			t.Fatalf("status %d", a.status)
		}
	}
	r.backends[1].failWith(nil)
	a := r.ask(t, "POST", "/invocations", goodBody)
	if a.status != 503 || a.code() != "TEMPORARILY_UNAVAILABLE" || a.header.Get("Retry-After") != "90" {
		t.Errorf("%d %s, Retry-After %q; want 503 with 90", a.status, a.body, a.header.Get("Retry-After"))
	}
	// Bad input is still told as such: the body is read before the breaker is asked.
	if a := r.ask(t, "POST", "/invocations", bad); a.status != 400 {
		t.Errorf("bad input with an open breaker: status %d, want 400", a.status)
	}
	// A table that still routes the version keeps the breaker; one that routes it elsewhere does not share it.
	r.publish(t, "", only("wine"), only("other"))
	if a := r.ask(t, "POST", "/endpoints/wine/invocations", goodBody); a.status != 503 {
		t.Errorf("after a new table: status %d, want 503", a.status)
	}
	if a := r.ask(t, "POST", "/endpoints/other/invocations", goodBody); a.status != 200 {
		t.Errorf("another endpoint: status %d, want 200", a.status)
	}
}

func TestTimeouts(t *testing.T) {
	r := newRig(t, rigOptions{breaker: &breaker.Options{ConsecutiveFailures: 1000}})
	short := only("wine")
	short.Timeout = 150 * time.Millisecond
	r.publish(t, "", short)
	var left time.Duration
	r.backends[1].failWith(func(ctx context.Context) error {
		at, _ := ctx.Deadline()
		left = time.Until(at)
		return nil
	})
	cases := []struct {
		header string
		status int
		most   time.Duration
	}{
		{"", 200, 150 * time.Millisecond},
		{"100", 200, 100 * time.Millisecond},
		{"60000", 200, 150 * time.Millisecond}, // lowers, never raises
		{"0", 400, 0}, {"-5", 400, 0}, {"1.5", 400, 0}, {"1e3", 400, 0}, {"99999999999999999999", 400, 0}, {" ", 200, 150 * time.Millisecond},
	}
	for _, c := range cases {
		t.Run("timeout "+c.header, func(t *testing.T) {
			left = 0
			a := r.ask(t, "POST", "/invocations", goodBody, HeaderTimeout, c.header)
			if a.status != c.status {
				t.Fatalf("status %d, want %d: %s", a.status, c.status, a.body)
			}
			if left > c.most {
				t.Errorf("the backend had %v left, want at most %v", left, c.most)
			}
		})
	}
	r.backends[1].failWith(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	began := time.Now()
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 504 {
		t.Errorf("status %d, want 504", a.status)
	} else if d := time.Since(began); d < 140*time.Millisecond {
		t.Errorf("504 after %v, before the deadline", d)
	}
}

// A client that gives the model no time is not a model that fails; one that takes the endpoint's whole time is.
func TestImpatienceIsNotTheModelsFault(t *testing.T) {
	r := newRig(t, rigOptions{breaker: &breaker.Options{ConsecutiveFailures: 2}})
	short := only("wine")
	short.Timeout = 2 * time.Second
	r.publish(t, "", short)
	r.backends[1].failWith(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	for range 5 {
		if a := r.ask(t, "POST", "/invocations", goodBody, HeaderTimeout, "5"); a.status != 504 {
			t.Fatalf("status %d, want 504: %s", a.status, a.body)
		}
	}
	r.backends[1].failWith(nil)
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 200 {
		t.Fatalf("after impatient clients: status %d, want 200: %s", a.status, a.body)
	}
	short.Timeout = 60 * time.Millisecond
	r.publish(t, "", short)
	r.backends[1].failWith(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	for range 2 {
		if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 504 {
			t.Fatalf("status %d, want 504: %s", a.status, a.body)
		}
	}
	r.backends[1].failWith(nil)
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 503 {
		t.Errorf("after a model that took all its time: status %d, want 503: %s", a.status, a.body)
	}
}

func TestTimeInTheQueueIsNotTheModelsFault(t *testing.T) {
	r := newRig(t, rigOptions{breaker: &breaker.Options{ConsecutiveFailures: 1}, batch: &batch.Options{Slots: 1}})
	r.publish(t, "", only("wine"))
	entered, release := make(chan struct{}), make(chan struct{})
	r.backends[1].failWith(func(context.Context) error { close(entered); <-release; return nil })
	first := make(chan int, 1)
	go func() { first <- r.ask(t, "POST", "/invocations", goodBody).status }()
	<-entered
	if a := r.ask(t, "POST", "/invocations", goodBody, HeaderTimeout, "50"); a.status != 504 {
		t.Errorf("queued past its deadline: status %d, want 504", a.status)
	}
	r.backends[1].failWith(nil)
	close(release)
	if status := <-first; status != 200 {
		t.Errorf("the one that ran: status %d, want 200", status)
	}
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 200 {
		t.Errorf("the breaker counted time in the queue: status %d", a.status)
	}
}

// TestSmuggling: S28. What two servers could read differently is refused, or the connection ends.
// TestHeaderInjection: S08. No name and no header of a client ends a header line of the answer.
func TestSplitAndStickiness(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "", split(7000, 3000))
	const n = 2000
	got := map[string]int{}
	for range n {
		got[r.ask(t, "POST", "/invocations", goodBody).header.Get(HeaderArm)]++
	}
	want, sigma := 0.3*n, math.Sqrt(n*0.3*0.7)
	if d := math.Abs(float64(got["next"]) - want); d > 4*sigma {
		t.Errorf("canary got %d of %d, more than 4 σ from %.0f", got["next"], n, want)
	}
	for i := range 50 {
		key := "customer-" + strconv.Itoa(i)
		first := r.ask(t, "POST", "/invocations", goodBody, HeaderStickyKey, key).header.Get(HeaderArm)
		for range 3 {
			if again := r.ask(t, "POST", "/invocations", goodBody, HeaderStickyKey, key).header.Get(HeaderArm); again != first {
				t.Fatalf("key %s moved from %s to %s", key, first, again)
			}
		}
	}
}

func TestTablesSwapUnderLoad(t *testing.T) {
	r := newRig(t, rigOptions{})
	stop := make(chan struct{})
	done := make(chan error, 4)
	for range cap(done) {
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				a := r.ask(t, "POST", "/endpoints/wine/invocations", goodBody)
				v := a.header.Get(HeaderVersion)
				if a.status != 200 || a.body != goodAnswer || v != "1" && v != "2" {
					done <- fmt.Errorf("%d %s (version %s)", a.status, a.body, v)
					return
				}
			}
		}()
	}
	for i := range 200 {
		w := i * 50
		r.publish(t, "", split(route.FullWeight-w, w))
	}
	close(stop)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestNotLoadedIs503(t *testing.T) {
	r := newRig(t, rigOptions{})
	e := only("wine")
	e.Arms[0].Servable.Version = 7
	r.publish(t, "", e)
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "7") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestWhatIsComingIs503: whoever asks for a version that is being loaded, or made known just now, is told to come again; never 404.
func TestWhatIsComingIs503(t *testing.T) {
	var behind atomic.Bool
	r := newRig(t, rigOptions{behind: behind.Load, demand: func(context.Context, servable.ID) (Handle, error) {
		return nil, fmt.Errorf("%w: wine/9 is %w: installing", servable.ErrNotAvailable, servable.ErrPreparing)
	}})
	coming := route.Arm{Name: "prod", Servable: servable.ID{Model: "cider", Version: 3}, Stage: "Production", Aliases: []string{"champion"}}
	r.publish(t, "", only("wine"), route.Endpoint{Name: "cider", Coming: []route.Arm{coming}, Reason: "prod: version 3 is being loaded (resolving 4 requirements)"})
	for _, path := range []string{
		"/endpoints/cider/invocations", "/serving-endpoints/cider/invocations", "/models/cider/stages/Production/invocations",
		"/models/cider/aliases/champion/invocations", "/models/cider/versions/3/invocations", "/v2/models/cider/infer", "/v2/models/cider/versions/3/infer",
	} {
		if a := r.ask(t, "POST", path, goodBody); a.status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "resolving 4 requirements") {
			t.Errorf("%s: %d, Retry-After %q, %s", path, a.status, a.header.Get("Retry-After"), a.body)
		}
	}
	if a := r.ask(t, "POST", "/models/wine/versions/9/invocations", goodBody); a.status != 503 || !strings.Contains(a.body, "installing") {
		t.Errorf("being prepared on demand: %d %s", a.status, a.body)
	}
	for _, path := range []string{"/endpoints/beer/invocations", "/models/beer/stages/Production/invocations", "/models/wine/aliases/next/invocations"} {
		behind.Store(false)
		if a := r.ask(t, "POST", path, goodBody); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		behind.Store(true)
		if a := r.ask(t, "POST", path, goodBody); a.status != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s while the table is behind: %d %s", path, a.status, a.body)
		}
	}
}

func TestSmallRoutes(t *testing.T) {
	r := newRig(t, rigOptions{})
	if a := r.ask(t, "GET", "/ping", ""); a.status != 200 || a.body != "\n" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("/ping: %d %q", a.status, a.body)
	}
	r.publish(t, "")
	if a := r.ask(t, "GET", "/ping", ""); a.status != 404 {
		t.Errorf("/ping without a model: %d, want 404", a.status)
	}
	if a := r.ask(t, "GET", "/invocations", ""); a.status != 405 || a.header.Get("Allow") != "POST" || a.code() == "" {
		t.Errorf("GET /invocations: %d %s, Allow %q", a.status, a.body, a.header.Get("Allow"))
	}
	for _, row := range r.h.Routes() {
		if row.Permission == "" || row.Audit == "" || row.Handler == nil {
			t.Errorf("row %s %s is incomplete", row.Method, row.Path)
		}
	}
}

// panicLog panics: a broken recorder must not leak what a request holds.
