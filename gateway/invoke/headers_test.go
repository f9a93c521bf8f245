package invoke

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"sluice/gateway/admit"
	"sluice/runtime/batch"
)

func TestTooManyInFlight(t *testing.T) {
	r := newRig(t, rigOptions{options: &Options{Admission: admit.New(&admit.Options{MaxInFlight: 1})}})
	r.publish(t, "", only("wine"))
	entered, release := make(chan struct{}), make(chan struct{})
	r.backends[1].failWith(func(context.Context) error { close(entered); <-release; return nil })
	first := make(chan int, 1)
	go func() { first <- r.ask(t, "POST", "/invocations", goodBody).status }()
	<-entered
	a := r.ask(t, "POST", "/invocations", goodBody)
	if a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s, Retry-After %q", a.status, a.body, a.header.Get("Retry-After"))
	}
	close(release)
	if status := <-first; status != 200 {
		t.Errorf("the first: status %d, want 200", status)
	}
}

func TestPriorityDecidesWhoIsTurnedAway(t *testing.T) {
	r := newRig(t, rigOptions{options: &Options{Admission: admit.New(&admit.Options{MaxInFlight: 8})}, batch: &batch.Options{Slots: 20}})
	r.publish(t, "", only("wine"))
	if a := r.ask(t, "POST", "/invocations", goodBody, HeaderPriority, "urgent"); a.status != 400 || !strings.Contains(a.body, HeaderPriority) {
		t.Errorf("an unknown priority: %d %s", a.status, a.body)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	r.backends[1].failWith(func(context.Context) error { entered <- struct{}{}; <-release; return nil })
	var held []chan int
	hold := func() {
		done := make(chan int, 1)
		go func() { done <- r.ask(t, "POST", "/invocations", goodBody, HeaderPriority, "interactive").status }()
		<-entered
		held = append(held, done)
	}
	status := func(priority string) int {
		return r.ask(t, "POST", "/invocations", goodBody, HeaderPriority, priority).status
	}
	for _, step := range []struct {
		held    int
		refused string
	}{{2, "shadow"}, {4, "batch"}, {8, ""}} {
		for len(held) < step.held {
			hold()
		}
		if got := status(step.refused); got != 429 {
			t.Errorf("class %q with %d of 8 under way: %d, want 429", step.refused, step.held, got)
		}
	}
	close(release)
	for _, done := range held {
		if got := <-done; got != 200 {
			t.Errorf("a request that was let in: %d", got)
		}
	}
}

func TestHeadersOfOursStandOnce(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "", only("wine"))
	for _, name := range []string{HeaderEndpoint, HeaderTimeout, HeaderStickyKey, HeaderPriority} {
		for _, first := range []string{"", "wine"} {
			a := r.ask(t, "POST", "/invocations", goodBody, name, first, name, "other")
			if a.status != 400 || !strings.Contains(a.body, name) {
				t.Errorf("%s twice: %d %s", name, a.status, a.body)
			}
		}
	}
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	if a := r.ask(t, "POST", "/invocations", goodBody, HeaderTraceparent, parent, HeaderTraceparent, parent); a.status != 200 || a.header.Get(HeaderTraceparent) != "" {
		t.Errorf("two traceparents: %d, %q; want none taken", a.status, a.header.Get(HeaderTraceparent))
	}
}

func TestSmuggling(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "", only("wine"))
	head := "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	size := strconv.Itoa(len(goodBody))
	for name, request := range map[string]string{
		"two lengths":          head + "Content-Length: " + size + "\r\nContent-Length: 3\r\n\r\n" + goodBody,
		"a length and chunks":  head + "Content-Length: " + size + "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a negative length":    head + "Content-Length: -1\r\n\r\n",
		"a blank before colon": head + "Content-Length : " + size + "\r\n\r\n" + goodBody,
		"an unknown coding":    head + "Transfer-Encoding: xchunked\r\n\r\n" + goodBody,
	} {
		t.Run(name, func(t *testing.T) {
			resp := r.raw(t, request)
			if resp.StatusCode < 400 || resp.StatusCode >= 500 {
				t.Errorf("status %d, want a refusal", resp.StatusCode)
			}
		})
	}
}

func TestRequestIDs(t *testing.T) {
	for _, middleware := range []bool{false, true} {
		t.Run(fmt.Sprintf("middleware %v", middleware), func(t *testing.T) {
			r := newRig(t, rigOptions{requestID: middleware})
			r.publish(t, "", only("wine"))
			cases := map[string]bool{ // whether it is kept
				"abc-123": true, "": false, "with blank": false, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "ünïcode": false,
			}
			for id, kept := range cases {
				a := r.ask(t, "POST", "/invocations", goodBody, HeaderRequestID, id)
				got := a.header.Get(HeaderRequestID)
				if a.status != 200 || got == "" || (got == id) != kept {
					t.Errorf("request id %q came back as %q (status %d)", id, got, a.status)
				}
				if l := r.log.all(); l[len(l)-1].RequestID != got {
					t.Errorf("logged as %q, answered as %q", l[len(l)-1].RequestID, got)
				}
			}
		})
	}
}

func TestHeaderInjection(t *testing.T) {
	r := newRig(t, rigOptions{})
	evil := only("wi\r\nX-Evil: 1\x00ne")
	evil.Arms[0].Name = "pr\nX-Evil: 2\rod"
	r.publish(t, "", evil)
	a := r.ask(t, "POST", "/invocations", goodBody)
	if a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if a.header.Get("X-Evil") != "" {
		t.Error("a name became a header")
	}
	if got, want := a.header.Get(HeaderEndpoint), "wi%0D%0AX-Evil:%201%00ne"; got != want {
		t.Errorf("%s %q, want %q", HeaderEndpoint, got, want)
	}
	resp := r.raw(t, "POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: a\tb\x01\r\nX-Sluice-Endpoint: no\x7f\r\nContent-Length: 2\r\n\r\n{}")
	if resp.Header.Get("X-Evil") != "" || strings.ContainsAny(resp.Header.Get(HeaderRequestID), "\t\x01") {
		t.Errorf("answer headers %v", resp.Header)
	}
}
