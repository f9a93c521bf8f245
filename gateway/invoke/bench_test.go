package invoke

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"

	"sluice/gateway/predlog"
	"sluice/gateway/route"
)

// discard takes records and forgets them.
type discard struct{}

func (discard) Record(*predlog.Record) {}

// wireRequest is a request as a client writes it.
func wireRequest(body string) []byte {
	return []byte("POST /invocations HTTP/1.1\r\nHost: sluice\r\nUser-Agent: bench\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

const oneRow = `{"dataframe_split":{"columns":["a","b"],"data":[[1.5,2.25]]}}`

// exchange is one keep-alive connection that asks the same thing again and again without allocating.
type exchange struct {
	conn    net.Conn
	read    *bufio.Reader
	request []byte
	length  int // of the answer, known after the first
	buf     []byte
}

func newExchange(t testing.TB, r *rig, body string) *exchange {
	t.Helper()
	conn, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	x := &exchange{conn: conn, read: bufio.NewReaderSize(conn, 64<<10), request: wireRequest(body)}
	if _, err := conn.Write(x.request); err != nil {
		t.Fatal(err)
	}
	// The first answer is parsed, the others only measured: all have the same length but for Server-Timing's digits.
	resp, err := http.ReadResponse(x.read, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, text)
	}
	x.length = len(text)
	return x
}

// once asks once and reads the whole answer.
func (x *exchange) once(t testing.TB) {
	if _, err := x.conn.Write(x.request); err != nil {
		t.Fatal(err)
	}
	line, err := x.read.ReadSlice('\n')
	if err != nil || len(line) < 12 || string(line[9:12]) != "200" {
		t.Fatalf("%s %v", line, err)
	}
	for len(line) > 2 { // until the empty line
		if line, err = x.read.ReadSlice('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.read.Discard(x.length); err != nil {
		t.Fatal(err)
	}
}

// TestSteadyStateAllocations is the budget of the whole way: engine, routing, breaker, decoding, execution, encoding, counting, logging.
func TestSteadyStateAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: the budget is checked without it")
		return
	}
	r := newRig(t, rigOptions{log: discard{}})
	r.publish(t, "", split(9000, 1000))
	x := newExchange(t, r, oneRow)
	for range 100 {
		x.once(t)
	}
	if n := testing.AllocsPerRun(2000, func() { x.once(t) }); n > 1 {
		t.Errorf("%v allocations per request, want at most 1", n)
	}
}

func BenchmarkInvocations(b *testing.B) {
	r := newRig(b, rigOptions{log: discard{}})
	r.publish(b, "", split(9000, 1000))
	b.Run("one connection", func(b *testing.B) {
		x := newExchange(b, r, oneRow)
		b.ReportAllocs()
		for b.Loop() {
			x.once(b)
		}
	})
}

// BenchmarkPredict is the part without HTTP, on a call that is already read.
func BenchmarkPredict(b *testing.B) {
	r := newRig(b, rigOptions{log: discard{}})
	table, err := route.NewTable(1, []route.Endpoint{split(9000, 1000)}, "")
	if err != nil {
		b.Fatal(err)
	}
	r.h.Publish(table)
	body := []byte(oneRow)
	contentType := []byte("application/json")
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		c := r.h.begin()
		if err := r.h.pick(c, r.h.view.Load(), ""); err != nil {
			b.Fatal(err)
		}
		if err := r.h.acquire(c); err != nil {
			b.Fatal(err)
		}
		c.body, c.contentType, c.status = body, contentType, 200
		if err := r.h.predict(ctx, c); err != nil {
			b.Fatal(err)
		}
		latency := r.h.opts.Now().Sub(c.start)
		r.h.count(c, latency)
		r.h.log(c, latency)
		r.h.release(c)
	}
}
