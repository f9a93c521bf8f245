package invoke

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/admit"
	"sluice/runtime/batch"
)

// full is a rig whose only version has as much to do as it may: one request is held in it until release.
func full(t testing.TB, o rigOptions) (r *rig, release func()) {
	t.Helper()
	o.options = &Options{Admission: admit.New(&admit.Options{MaxInFlight: 1})}
	r = newRig(t, o)
	r.publish(t, "", only("wine"))
	entered, free := make(chan struct{}), make(chan struct{})
	r.backends[1].failWith(func(context.Context) error { close(entered); <-free; return nil })
	first := make(chan int, 1)
	go func() { first <- r.ask(t, "POST", "/invocations", goodBody).status }()
	<-entered
	return r, func() {
		close(free)
		if status := <-first; status != 200 {
			t.Errorf("the first: status %d, want 200", status)
		}
	}
}

func TestARefusalIsAnAnswerLikeOthers(t *testing.T) {
	r, release := full(t, rigOptions{requestID: true})
	defer release()
	a := r.ask(t, "POST", "/invocations", goodBody, HeaderRequestID, "mine")
	if a.status != 429 || a.header.Get("Retry-After") != "1" || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	for name, want := range map[string]string{HeaderEndpoint: "wine", HeaderVersion: "1", HeaderRequestID: "mine"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var told struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &told); err != nil || told.Code != "RESOURCE_EXHAUSTED" || told.Message == "" {
		t.Errorf("%s %v", a.body, err)
	}
	b := r.ask(t, "POST", "/v2/models/wine/infer", `{"inputs":[]}`)
	told.Error = ""
	if err := json.Unmarshal([]byte(b.body), &told); err != nil || b.status != 429 || told.Error != told.Message || b.header.Get("Retry-After") != "1" {
		t.Errorf("of the Open Inference Protocol: %d %s %v", b.status, b.body, err)
	}
	records := r.log.all()
	if len(records) != 2 {
		t.Fatalf("%d records of refused requests, want 2", len(records))
	}
	if rec := records[0]; rec.Status != 429 || rec.ErrorCode != told.Code || string(rec.Response) != a.body || rec.RequestID != "mine" || rec.Version != 1 {
		t.Errorf("recorded as %+v", rec)
	}
	want := admit.Refused{Reason: admit.Full, Class: admit.Interactive, Count: 2}
	if got := r.h.admission.Refusals(); len(got) != 1 || got[0] != want {
		t.Errorf("counted as %v, want %v", got, want)
	}
}

func TestAFullQueueIsCounted(t *testing.T) {
	r := newRig(t, rigOptions{batch: &batch.Options{Slots: 1, MaxQueue: 1}})
	r.publish(t, "", only("wine"))
	entered, free := make(chan struct{}, 8), make(chan struct{})
	r.backends[1].failWith(func(context.Context) error { entered <- struct{}{}; <-free; return nil })
	status := make(chan int, 8)
	ask := func() { status <- r.ask(t, "POST", "/invocations", goodBody, HeaderPriority, "batch").status }
	go ask()
	<-entered
	go ask()
	go ask()
	if got := <-status; got != 429 {
		t.Errorf("one runs, one waits, and the third gets %d", got)
	}
	close(free)
	for range 2 {
		if got := <-status; got != 200 {
			t.Errorf("let in and answered %d", got)
		}
	}
	want := admit.Refused{Reason: admit.Queue, Class: admit.Batch, Count: 1}
	if got := r.h.admission.Refusals(); len(got) != 1 || got[0] != want {
		t.Errorf("counted as %v, want %v", got, want)
	}
	if n := r.h.view.Load().arms[0].plans.gate.Inside(); n != 0 {
		t.Errorf("%d are inside when all have left", n)
	}
}

// TestALongBodyIsRefusedUnread: the answer comes although the body does not.
func TestALongBodyIsRefusedUnread(t *testing.T) {
	r := newRig(t, rigOptions{options: &Options{Admission: admit.New(&admit.Options{Patience: time.Nanosecond, Free: 1, MaxDelay: time.Nanosecond})},
		fiber: fiber.Config{StreamRequestBody: true, BodyLimit: 64 << 10}})
	r.publish(t, "", only("wine"))
	gate := r.h.view.Load().arms[0].plans.gate
	var tickets []admit.Ticket
	for range 20 { // crowd the version, and teach it that each takes its time
		k, _ := gate.Enter(time.Now(), time.Hour, admit.Interactive, 0)
		tickets = append(tickets, k)
	}
	gate.Leave(tickets[19], time.Second, true)
	for range 2 { // the first finds out that there are too many, the next that there still are
		gate.Enter(time.Now(), time.Hour, admit.Interactive, 0)
	}
	conn, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	head := "POST /invocations HTTP/1.1\r\nHost: sluice\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(1<<20) + "\r\n\r\n"
	const first = 80 << 10 // beyond what the engine waits for by itself
	if _, err := conn.Write(append([]byte(head), bytes.Repeat([]byte(" "), first)...)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 12)
	if _, err := conn.Read(got); err != nil || !strings.HasSuffix(string(got), "429") {
		t.Errorf("%q %v", got, err)
	}
}

// TestRefusalAllocations: under overload most requests are refused, on the processors that answer the others.
func TestRefusalAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: the budget is checked without it")
		return
	}
	r, release := full(t, rigOptions{log: discard{}})
	defer release()
	x := newExchange(t, r, oneRow)
	x.status = "429"
	for range 100 {
		x.once(t)
	}
	if n := testing.AllocsPerRun(500, func() { x.once(t) }); n > 1 {
		t.Errorf("%.1f allocations for a refusal, budget 1", n)
	}
}

func BenchmarkRefusal(b *testing.B) {
	r, release := full(b, rigOptions{log: discard{}})
	defer release()
	x := newExchange(b, r, oneRow)
	x.status = "429"
	b.ReportAllocs()
	for b.Loop() {
		x.once(b)
	}
}
