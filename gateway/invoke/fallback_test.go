package invoke

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway/admit"
	"sluice/gateway/breaker"
	"sluice/gateway/outcome"
	"sluice/gateway/payload"
	"sluice/gateway/route"
	"sluice/runtime/batch"
)

const anyCause = route.Breaker | route.Failure | route.Timeout | route.Overload

// falling is endpoint "wine" with all traffic on version 1, which falls back.
func falling(fallbacks ...route.Fallback) route.Endpoint {
	e := split(10000, 0)
	e.Fallbacks = fallbacks
	return e
}

const constant = `{"predictions":[0]}`

// TestFallback: whoever answers in an arm's place, the header and the log say so, and the failure is counted where it happened.
func TestFallback(t *testing.T) {
	toArm := route.Fallback{From: "prod", Instead: "next", On: anyCause &^ route.Timeout}
	toConstant := route.Fallback{From: "prod", Answer: constant, On: anyCause}
	quick := route.Fallback{From: "prod", Instead: "next", On: route.Timeout, Timeout: 20 * time.Millisecond}
	broken := func(context.Context) error { return errBroken }
	slow := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, c := range map[string]struct {
		endpoint route.Endpoint
		fails    func(context.Context) error
		body     string
		status   int
		answer   string
		arm      string
		header   string
	}{
		"none needed":                  {falling(toArm), nil, goodBody, 200, goodAnswer, "prod", ""},
		"error: another arm":           {falling(toArm), broken, goodBody, 200, goodAnswer, "next", "prod; cause=error"},
		"error: a constant":            {falling(toConstant), broken, goodBody, 200, constant, "", "prod; cause=error; answer=constant"},
		"error: not a cause":           {falling(quick), broken, goodBody, 500, "", "prod", ""},
		"timeout: another arm":         {falling(quick), slow, goodBody, 200, goodAnswer, "next", "prod; cause=timeout"},
		"timeout: a constant":          {falling(route.Fallback{From: "prod", Answer: constant, On: route.Timeout, Timeout: 20 * time.Millisecond}), slow, goodBody, 200, constant, "", "prod; cause=timeout; answer=constant"},
		"bad input is the caller's":    {falling(toConstant), nil, `{"dataframe_split":{"columns":["x"],"data":[[1]]}}`, 400, "", "prod", ""},
		"its target is passed over":    {falling(route.Fallback{From: "prod", Instead: "absent", On: anyCause}, route.Fallback{From: "absent", Answer: constant, On: anyCause}), broken, goodBody, 200, constant, "", "prod; cause=error; answer=constant"},
		"its target is absent, no way": {falling(route.Fallback{From: "prod", Instead: "absent", On: anyCause}), broken, goodBody, 500, "", "prod", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigOptions{batch: &batch.Options{Slots: 4}})
			r.publish(t, "", c.endpoint)
			r.backends[1].failWith(c.fails)
			a := r.ask(t, "POST", "/invocations", c.body)
			if a.status != c.status || c.answer != "" && a.body != c.answer || a.header.Get(HeaderArm) != c.arm || a.header.Get(HeaderFallback) != c.header {
				t.Errorf("%d %s, arm %q, fallback %q; want %d %s, %q, %q", a.status, a.body, a.header.Get(HeaderArm), a.header.Get(HeaderFallback), c.status, c.answer, c.arm, c.header)
			}
			if a.header.Get(HeaderEndpoint) != "wine" {
				t.Errorf("endpoint %q", a.header.Get(HeaderEndpoint))
			}
			rule := ""
			if c.header != "" {
				rule = "fallback: " + c.header
				if n := r.counted(func(k outcome.Key) bool { return k.Arm == "prod" && k.Code >= 500 }); n != 1 {
					t.Errorf("the failure was counted %d times under its arm", n)
				}
			}
			if records := r.log.all(); len(records) != 1 || records[0].Rule != rule || records[0].Status != c.status {
				t.Errorf("log: %+v, want rule %q", records, rule)
			}
		})
	}
}

// TestFallbackChain: an arm's fallback may fall back itself.
func TestFallbackChain(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "", falling(route.Fallback{From: "prod", Instead: "next", On: route.Failure}, route.Fallback{From: "next", Answer: constant, On: route.Failure}))
	for v := 1; v <= 2; v++ {
		r.backends[v].failWith(func(context.Context) error { return errBroken })
	}
	a := r.ask(t, "POST", "/invocations", goodBody)
	if a.status != 200 || a.body != constant || a.header.Get(HeaderFallback) != "next; cause=error; answer=constant" {
		t.Errorf("%d %s %q", a.status, a.body, a.header.Get(HeaderFallback))
	}
}

func TestFallbackWhenNothingIsReady(t *testing.T) {
	r := newRig(t, rigOptions{})
	e := route.Endpoint{Name: "wine", Reason: "nothing is loaded", Fallbacks: []route.Fallback{{Answer: constant, On: route.Failure}}}
	r.publish(t, "", e)
	a := r.ask(t, "POST", "/invocations", goodBody)
	if a.status != 200 || a.body != constant || a.header.Get(HeaderFallback) != "(none); cause=error; answer=constant" {
		t.Errorf("%d %s %q", a.status, a.body, a.header.Get(HeaderFallback))
	}
}

func TestFallbackOnBreaker(t *testing.T) {
	r := newRig(t, rigOptions{breaker: &breaker.Options{OpenFor: time.Hour}})
	r.publish(t, "", falling(route.Fallback{From: "prod", Instead: "next", On: route.Breaker}))
	r.backends[1].failWith(func(context.Context) error { return errBroken })
	for range 100 {
		if a := r.ask(t, "POST", "/invocations", goodBody); a.header.Get(HeaderFallback) == "prod; cause=breaker" {
			if a.status != 200 || a.header.Get(HeaderArm) != "next" {
				t.Errorf("%d, arm %q", a.status, a.header.Get(HeaderArm))
			}
			return
		}
	}
	t.Error("the breaker never opened")
}

func TestFallbackOnOverload(t *testing.T) {
	r := newRig(t, rigOptions{options: &Options{Admission: admit.New(&admit.Options{MaxInFlight: 1})}})
	r.publish(t, "", falling(route.Fallback{From: "prod", Answer: constant, On: route.Overload}))
	entered, release := make(chan struct{}), make(chan struct{})
	r.backends[1].failWith(func(context.Context) error { close(entered); <-release; return nil })
	first := make(chan int, 1)
	go func() { first <- r.ask(t, "POST", "/invocations", goodBody).status }()
	<-entered
	a := r.ask(t, "POST", "/invocations", goodBody)
	if a.status != 200 || a.body != constant || a.header.Get("Retry-After") != "" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	close(release)
	if status := <-first; status != 200 {
		t.Errorf("the first: %d", status)
	}
}

// TestNamedVersionsDoNotFallBack: who names a version gets that one or an error.
func TestNamedVersionsDoNotFallBack(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "", falling(route.Fallback{From: "prod", Instead: "next", On: anyCause &^ route.Timeout}))
	r.backends[1].failWith(func(context.Context) error { return errBroken })
	if a := r.ask(t, "POST", "/models/wine/versions/1/invocations", goodBody); a.status != 500 || a.header.Get(HeaderFallback) != "" {
		t.Errorf("%d %q", a.status, a.header.Get(HeaderFallback))
	}
}

// TestRetryBudget: R17. With a model that fails always and a breaker that never opens, what is executed is at most 1.1 times what was asked,
// but for the one execution that a budget begins with.
func TestRetryBudget(t *testing.T) {
	r := newRig(t, rigOptions{breaker: &breaker.Options{ConsecutiveFailures: 1 << 30, FailureRatio: 2}})
	r.publish(t, "", falling(route.Fallback{From: "prod", Instead: "next", On: route.Failure}))
	var executed atomic.Int64
	for v := 1; v <= 2; v++ {
		r.backends[v].failWith(func(context.Context) error { executed.Add(1); return errBroken })
	}
	const asked = 1000
	refused := 0
	for range asked {
		if a := r.ask(t, "POST", "/invocations", goodBody); strings.HasSuffix(a.header.Get(HeaderFallback), "refused=budget") {
			refused++
		}
	}
	if n := executed.Load(); n > asked*11/10+1 || n < asked*11/10-1 {
		t.Errorf("%d executions of %d requests, want 1.1 times as many", n, asked)
	}
	if refused < asked*89/100 {
		t.Errorf("%d were told that the budget is empty", refused)
	}
}

func TestBudgetIsBounded(t *testing.T) {
	b := newBudget()
	for range 10_000 {
		b.deposit()
	}
	n := 0
	for b.spend() {
		n++
	}
	if n != budgetMost/budgetOne {
		t.Errorf("saved up %d executions, want %d", n, budgetMost/budgetOne)
	}
}

// TestInferenceFallsBack: a request of the Open Inference Protocol is answered by another arm, or a constant, in its protocol; a constant of MLflow's
// protocol is no answer to it, and the other way round.
func TestInferenceFallsBack(t *testing.T) {
	const body = `{"id":"7","inputs":[{"name":"a","datatype":"FP64","shape":[1,1],"data":[1]},{"name":"b","datatype":"FP64","shape":[1,1],"data":[2]}]}`
	r := newRig(t, rigOptions{})
	r.publish(t, "", falling(route.Fallback{From: "prod", Instead: "next", On: route.Failure}))
	r.backends[1].failWith(func(context.Context) error { return errBroken })
	if a := r.ask(t, "POST", "/v2/models/wine/infer", body); a.status != 200 || !strings.Contains(a.body, `"id":"7"`) || !strings.Contains(a.body, `"2"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	r.publish(t, "", falling(route.Fallback{From: "prod", Answer: constant, On: route.Failure}))
	if a := r.ask(t, "POST", "/v2/models/wine/infer", body); a.status != 500 {
		t.Errorf("%d %s", a.status, a.body)
	}
	outputs, err := payload.InferConstant([]byte(`{"outputs":[{"name":"score","datatype":"FP32","shape":[2],"data":[0.5,-1]},{"name":"label","datatype":"BYTES","shape":[1],"data":["none"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.publish(t, "", falling(route.Fallback{From: "prod", Infer: outputs, On: route.Failure}))
	a := r.ask(t, "POST", "/v2/models/wine/infer", body)
	want := `{"model_name":"wine","model_version":"","id":"7","outputs":[{"name":"score","datatype":"FP32","shape":[2],"data":[0.5,-1.0]},{"name":"label","datatype":"BYTES","shape":[1],"data":["none"]}]}`
	if a.status != 200 || a.body != want || a.header.Get(HeaderFallback) != "prod; cause=error; answer=constant" {
		t.Errorf("%d %s, %q", a.status, a.body, a.header.Get(HeaderFallback))
	}
	asBytes := strings.Replace(body, `{"id"`, `{"outputs":[{"name":"score","parameters":{"binary_data":true}}],"id"`, 1)
	a = r.ask(t, "POST", "/v2/models/wine/infer", asBytes)
	if n, _ := strconv.Atoi(a.header.Get(HeaderInferLength)); a.status != 200 || n == 0 || a.body[n:] != "\x00\x00\x00\x3f\x00\x00\x80\xbf" {
		t.Errorf("as bytes: %d %q", a.status, a.body)
	}
	absent := strings.Replace(body, `{"id"`, `{"outputs":[{"name":"absent"}],"id"`, 1)
	if a := r.ask(t, "POST", "/v2/models/wine/infer", absent); a.status != 500 {
		t.Errorf("an output that the constant lacks: %d %s", a.status, a.body)
	}
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 500 {
		t.Errorf("MLflow's protocol got %d %s", a.status, a.body)
	}
	e := route.Endpoint{Name: "wine", Reason: "nothing is loaded", Fallbacks: []route.Fallback{{Infer: outputs, On: route.Failure}}}
	r.publish(t, "", e)
	if a := r.ask(t, "POST", "/v2/models/wine/infer", body); a.status != 200 || !strings.Contains(a.body, `"label"`) {
		t.Errorf("an unread request: %d %s", a.status, a.body)
	}
}
