package loadtest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestClosedLoopCountsEveryAnswer(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != "hello" || r.Header.Get("X-Test") != "yes" {
			t.Errorf("got body %q, header %q", body, r.Header.Get("X-Test"))
		}
		if served.Add(1)%10 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	defer server.Close()
	got, err := Run(t.Context(), Request{URL: server.URL + "/x", Header: map[string]string{"X-Test": "yes"}, Body: []byte("hello")},
		Options{Connections: 4, Duration: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got.Answered == 0 || got.Answered != served.Load() || got.Sent != got.Answered || got.Latency.TotalCount() != got.Answered {
		t.Errorf("answered %d, sent %d, served %d, in the histogram %d", got.Answered, got.Sent, served.Load(), got.Latency.TotalCount())
	}
	if got.Failed != got.ByStatus[429] || got.Failed != served.Load()/10 {
		t.Errorf("failed %d, by status %v, served %d", got.Failed, got.ByStatus, served.Load())
	}
}

func TestOpenLoopChargesAStallToTheRequestsThatWereDue(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if n.Add(1) == 1 {
			time.Sleep(300 * time.Millisecond)
		}
	}))
	defer server.Close()
	got, err := Run(context.Background(), Request{URL: server.URL}, Options{Connections: 1, Duration: 400 * time.Millisecond, Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	// One connection stalls for 300 ms: about 30 requests are due meanwhile and must be charged for it.
	if got.Answered < 35 || got.Quantile(0.5) < 20*time.Millisecond {
		t.Errorf("answered %d of 40 due, median %v: the stall was not charged", got.Answered, got.Quantile(0.5))
	}
}

func TestAnUnreachableServerIsAnError(t *testing.T) {
	if _, err := Run(t.Context(), Request{URL: "http://127.0.0.1:1/"}, Options{Duration: time.Second}); err == nil {
		t.Error("no error")
	}
	if _, err := Run(t.Context(), Request{URL: "https://127.0.0.1:1/"}, Options{Duration: time.Second}); err == nil {
		t.Error("https was accepted")
	}
	if _, err := Run(t.Context(), Request{URL: "http://127.0.0.1:1/"}, Options{}); err == nil {
		t.Error("no duration was accepted")
	}
}

func TestProcessFigures(t *testing.T) {
	for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
	}
	cpu, err := ProcessCPU(os.Getpid())
	if err != nil || cpu <= 0 {
		t.Errorf("CPU %v, error %v", cpu, err)
	}
	rss, err := ProcessRSS(os.Getpid())
	if err != nil || rss < 1<<20 {
		t.Errorf("RSS %d, error %v", rss, err)
	}
}

func TestRequestsAreInOriginForm(t *testing.T) {
	out, to, err := (&Request{URL: "http://localhost/v2/a%20b?x=1", Body: []byte("hi")}).encode()
	if err != nil || to.host != "localhost:80" {
		t.Fatal(to, err)
	}
	if text := string(out.wire); !strings.HasPrefix(text, "POST /v2/a%20b?x=1 HTTP/1.1\r\n") || !strings.Contains(text, "Host: localhost\r\n") || !strings.HasSuffix(text, "\r\n\r\nhi") {
		t.Errorf("%q", text)
	}
}

func TestOpenLoopIsOnTime(t *testing.T) {
	a, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	best := time.Hour // a busy machine is late now and then, but not always
	for range 200 {
		began := time.Now()
		a.sleep(2 * time.Millisecond)
		late := time.Since(began) - 2*time.Millisecond
		if late < 0 {
			t.Fatalf("woken %v early", -late)
		}
		best = min(best, late)
	}
	if best > time.Millisecond {
		t.Errorf("never less than %v late", best)
	}
}

func TestHTTPS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
		}
	}))
	defer server.Close()
	trusted := server.Client().Transport.(*http.Transport).TLSClientConfig
	got, err := Run(t.Context(), Request{URL: server.URL}, Options{Connections: 2, Duration: 100 * time.Millisecond, TLS: trusted})
	if err != nil || got.Answered == 0 || got.Failed != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Run(t.Context(), Request{URL: server.URL}, Options{Connections: 1, Duration: 100 * time.Millisecond}); err == nil {
		t.Error("a certificate of nobody's was trusted")
	}
}

func TestConnectionsAreMadeAgain(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch served.Add(1) % 3 {
		case 0:
			w.Header().Set("Connection", "close") // politely
		case 1:
			panic(http.ErrAbortHandler) // without an answer
		}
	}))
	defer server.Close()
	got, err := Run(t.Context(), Request{URL: server.URL}, Options{Connections: 1, Duration: time.Second, Rate: 30})
	if err != nil || got.Answered < 6 || got.Failed < 3 || got.Failed+got.Answered != got.Sent || served.Load() != got.Sent {
		t.Errorf("%d sent, %d answered, %d failed (%s), %d served, %v", got.Sent, got.Answered, got.Failed, got.FirstFailure, served.Load(), err)
	}
}
