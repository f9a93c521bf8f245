package invoke

import (
	"bufio"
	"bytes"
	"net"
	"strconv"
	"testing"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/predlog"
	"sluice/gateway/route"
)

// discard takes records and forgets them.
type discard struct{}

func (discard) Record(*predlog.Record) {}
func (discard) Skip(predlog.Series)    {}

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
	status  string // of every answer
}

func newExchange(t testing.TB, r *rig, body string) *exchange {
	t.Helper()
	conn, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &exchange{conn: conn, read: bufio.NewReaderSize(conn, 64<<10), request: wireRequest(body), status: "200"}
}

// once asks once and reads the whole answer, which must have the status and a Content-Length.
func (x *exchange) once(t testing.TB) {
	if _, err := x.conn.Write(x.request); err != nil {
		t.Fatal(err)
	}
	line, err := x.read.ReadSlice('\n')
	if err != nil || len(line) < 12 || string(line[9:12]) != x.status {
		t.Fatalf("%s %v", line, err)
	}
	length := 0
	for len(line) > 2 { // until the empty line
		if line, err = x.read.ReadSlice('\n'); err != nil {
			t.Fatal(err)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length = 0
			for _, c := range value[:len(value)-2] {
				length = length*10 + int(c-'0')
			}
		}
	}
	if _, err := x.read.Discard(length); err != nil {
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
	if n := testing.AllocsPerRun(2000, func() { x.once(t) }); n > 0 {
		t.Errorf("%v allocations per request, want none", n)
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

// BenchmarkEngine is what the same exchange costs when the handler does nothing: the floor.
func BenchmarkEngine(b *testing.B) {
	r := &rig{h: New(Deps{}, nil)}
	r.handler = func(c *fiber.Ctx) error { return c.SendString(goodAnswer) }
	r.serve(b, rigOptions{})
	x := newExchange(b, r, oneRow)
	b.ReportAllocs()
	for b.Loop() {
		x.once(b)
	}
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
		if err := r.h.pick(c, r.h.view.Load()); err != nil {
			b.Fatal(err)
		}
		if err := r.h.acquire(ctx, c); err != nil {
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
