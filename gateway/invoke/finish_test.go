package invoke

import (
	"context"
	"errors"
	"strings"
	"testing"

	"sluice/gateway/outcome"
	"sluice/gateway/predlog"
	"sluice/gateway/route"
)

func TestEveryOutcomeIsCountedAndLogged(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "wine", only("wine"), route.Endpoint{Name: "empty"})
	r.ask(t, "POST", "/invocations", goodBody, HeaderRequestID, "one", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	r.ask(t, "POST", "/invocations", `{"inputs":`)
	r.backends[1].failWith(func(context.Context) error { return errBroken })
	r.ask(t, "POST", "/invocations", gzipped(goodBody), "Content-Encoding", "gzip")
	r.ask(t, "POST", "/endpoints/empty/invocations", goodBody)
	r.ask(t, "POST", "/endpoints/wine/invocations", goodBody, HeaderTimeout, "soon")
	r.ask(t, "POST", "/endpoints/made-up-by-client/invocations", goodBody)
	r.ask(t, "POST", "/models/made-up/versions/1/invocations", goodBody)

	type want struct {
		key outcome.Key
		n   uint64
	}
	arm := outcome.Key{Endpoint: "wine", Model: "wine", Version: 1, Stage: "Production", Arm: "prod"}
	with := func(k outcome.Key, code int) outcome.Key { k.Code = code; return k }
	for _, w := range []want{
		{with(arm, 200), 1}, {with(arm, 400), 2}, {with(arm, 500), 1},
		{outcome.Key{Endpoint: "empty", Code: 503}, 1}, {outcome.Key{Endpoint: UnknownEndpoint, Code: 404}, 2},
	} {
		if n := r.counted(func(k outcome.Key) bool { return k == w.key }); n != w.n {
			t.Errorf("%+v counted %d times, want %d", w.key, n, w.n)
		}
	}
	if n := r.counted(func(outcome.Key) bool { return true }); n != 7 {
		t.Errorf("%d requests counted, want 7", n)
	}

	logged := r.log.all()
	if len(logged) != 5 {
		t.Fatalf("%d records, want 5: all but those to endpoints that do not exist", len(logged))
	}
	ok := logged[0]
	if ok.RequestID != "one" || ok.Endpoint != "wine" || ok.Model != "wine" || ok.Version != 1 || ok.Stage != "Production" || ok.Arm != "prod" ||
		ok.Status != 200 || ok.ErrorCode != "" || ok.Rows != 2 || string(ok.Request) != goodBody || string(ok.Response) != goodAnswer ||
		ok.ContentType != "application/json" || ok.Bucket < 0 || ok.LatencyNS <= 0 || ok.TraceID[0] != 0x0a || ok.PredictionID[6]>>4 != 7 {
		t.Errorf("record %+v", ok)
	}
	check := func(i, status int, code string, request string) {
		l := logged[i]
		if l.Status != status || l.ErrorCode != code || string(l.Request) != request || !strings.Contains(string(l.Response), code) {
			t.Errorf("record %d: %d %s %q %q; want %d %s %q", i, l.Status, l.ErrorCode, l.Request, l.Response, status, code, request)
		}
	}
	check(1, 400, "BAD_REQUEST", `{"inputs":`)
	check(2, 500, "INTERNAL_ERROR", goodBody) // as it stood after decompression
	check(3, 503, "TEMPORARILY_UNAVAILABLE", "")
	check(4, 400, "INVALID_PARAMETER_VALUE", "")
	if logged[3].Model != "" || logged[3].Version != 0 || logged[3].Bucket != -1 {
		t.Errorf("a request that reached no arm is logged as %+v", logged[3])
	}
	ids := map[[16]byte]bool{}
	for _, l := range logged {
		ids[l.PredictionID] = true
	}
	if len(ids) != len(logged) {
		t.Error("two records share a prediction id")
	}
}

func TestPredictionsAreAnsweredAndLoggedWithoutCounting(t *testing.T) {
	r := newRig(t, rigOptions{uncounted: true})
	r.publish(t, "wine", only("wine"))
	for path, want := range map[string]int{"/invocations": 200, "/endpoints/made-up/invocations": 404} {
		if got := r.ask(t, "POST", path, goodBody); got.status != want {
			t.Errorf("%s: %d, want %d", path, got.status, want)
		}
	}
	if n := len(r.log.all()); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}

func TestDefaultWithNothingReadyIsCountedAsItself(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "", route.Endpoint{Name: "wine", Reason: "still loading"})
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 503 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if n := r.counted(func(k outcome.Key) bool { return k == outcome.Key{Endpoint: "wine", Code: 503} }); n != 1 || len(r.log.all()) != 1 {
		t.Errorf("counted %d times, logged %d times; want once each", n, len(r.log.all()))
	}
}

type panicLog struct{}

func (panicLog) Record(*predlog.Record) { panic("log") }
func (panicLog) Skip(predlog.Series)    {}

func TestPanicReleasesEverything(t *testing.T) {
	r := newRig(t, rigOptions{log: panicLog{}})
	r.publish(t, "", only("wine"))
	if a := r.ask(t, "POST", "/invocations", goodBody); a.status != 500 {
		t.Errorf("status %d, want 500", a.status)
	}
	if r.h.InFlight() != 0 || r.versions[1].held() != 0 {
		t.Errorf("%d in flight, %d handles held", r.h.InFlight(), r.versions[1].held())
	}
}

func TestClassifyKeepsCauses(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := &call{requestID: []byte("id")}
	got := r.h.classify(c, errBroken)
	if !errors.Is(got.Error, errBroken) {
		t.Error("the cause is lost for the log")
	}
}
