package invoke

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp/fasthttputil"

	"sluice/gateway/breaker"
	"sluice/gateway/outcome"
	"sluice/gateway/predlog"
	"sluice/gateway/respcache"
	"sluice/gateway/route"
	"sluice/runtime/batch"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
	"sluice/tracking/wire"
)

// doubler is a backend: it answers column "y" with twice the sum of the row's numbers, or whatever fails says.
type doubler struct {
	mu    sync.Mutex
	fails func(ctx context.Context) error // guarded by mu; nil: succeeds
}

func (d *doubler) failWith(f func(ctx context.Context) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = f
}

func (d *doubler) Predict(ctx context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
	d.mu.Lock()
	fails := d.fails
	d.mu.Unlock()
	if fails != nil {
		if err := fails(ctx); err != nil {
			return err
		}
	}
	out.Reset(tensor.Table)
	out.Rows = in.Rows
	y := out.AddColumn("y")
	y.Reset(tensor.Float64, int64(in.Rows))
	sums := tensor.Of[float64](y)
	for r := range sums {
		sums[r] = 0
		for i := range in.Columns {
			sums[r] += 2 * tensor.Of[float64](&in.Columns[i].Tensor)[r]
		}
	}
	return nil
}

func (d *doubler) Bytes() int64 { return 1 }
func (d *doubler) Close() error { return nil }

var _ servable.Backend = (*doubler)(nil)

// twoDoubles is a signature of two required double columns, a and b.
func twoDoubles() *mlmodel.Model {
	return &mlmodel.Model{Signature: &mlmodel.Signature{Inputs: &mlmodel.Schema{Columns: []mlmodel.ColumnSpec{
		{Name: "a", Kind: mlmodel.Double, Required: true}, {Name: "b", Kind: mlmodel.Double, Required: true},
	}}}}
}

// loaded is a version in memory, for tests that need no life cycle.
type loaded struct {
	model    *mlmodel.Model
	batcher  *batch.Batcher
	digest   string
	mu       sync.Mutex
	handles  int // guarded by mu
	acquired int // guarded by mu
}

func (l *loaded) Model() *mlmodel.Model { return l.model }

func (l *loaded) Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch, t *batch.Timing) error {
	return l.batcher.Predict(ctx, in, params, out, t)
}

func (l *loaded) Digest() string { return l.digest }

func (l *loaded) acquire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handles++
	l.acquired++
}

func (l *loaded) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handles--
}

// held is how many handles are out.
func (l *loaded) held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.handles
}

// recorder of predictions: keeps copies.
type memoryLog struct {
	mu      sync.Mutex
	records []predlog.Record
	skipped map[predlog.Series]int
}

func (m *memoryLog) Record(r *predlog.Record) {
	kept := *r
	kept.RequestID, kept.ContentType = strings.Clone(r.RequestID), strings.Clone(r.ContentType)
	kept.Request, kept.Response = bytes.Clone(r.Request), bytes.Clone(r.Response)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, kept)
}

func (m *memoryLog) Skip(s predlog.Series) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.skipped == nil {
		m.skipped = map[predlog.Series]int{}
	}
	m.skipped[s]++
}

func (m *memoryLog) all() []predlog.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]predlog.Record(nil), m.records...)
}

// rig is a Handler on a real engine, with model "wine" in versions 1 and 2.
type rig struct {
	h        *Handler
	book     *outcome.Book
	log      *memoryLog
	backends map[int]*doubler
	versions map[int]*loaded
	client   *http.Client
	dial     func() (net.Conn, error)
	handler  fiber.Handler // of /invocations instead of h's; nil: h's
}

// rigOptions change a rig before it starts.
type rigOptions struct {
	options   *Options
	breaker   *breaker.Options
	batch     *batch.Options
	log       Recorder // default: the rig's own
	demand    func(context.Context, servable.ID) (Handle, error)
	behind    func() bool
	answers   *respcache.Cache
	uncounted bool // no outcome book
	fiber     fiber.Config
	// requestID mounts wire's middleware.
	requestID bool
}

func newRig(t testing.TB, o rigOptions) *rig {
	t.Helper()
	r := &rig{book: outcome.NewBook(nil), log: &memoryLog{}, backends: map[int]*doubler{}, versions: map[int]*loaded{}}
	for v := 1; v <= 2; v++ {
		r.backends[v] = &doubler{}
		r.versions[v] = &loaded{model: twoDoubles(), digest: fmt.Sprint("digest of ", v), batcher: batch.New(r.backends[v], o.batch)}
	}
	if o.log == nil {
		o.log = r.log
	}
	deps := Deps{Acquire: r.acquire, Demand: o.demand, Outcomes: r.book, Breakers: breaker.NewGroup(o.breaker), Log: o.log, Behind: o.behind, Answers: o.answers}
	if o.uncounted {
		deps.Outcomes = nil
	}
	r.h = New(deps, o.options)
	r.publish(t, "", split(9000, 1000))
	r.serve(t, o)
	return r
}

// serve starts the engine over r.h.
func (r *rig) serve(t testing.TB, o rigOptions) {
	t.Helper()
	o.fiber.ErrorHandler = wire.ErrorHandler(slog.New(slog.DiscardHandler))
	o.fiber.DisableStartupMessage = true
	app := fiber.New(o.fiber)
	app.Use(wire.Recover(slog.New(slog.DiscardHandler)))
	if o.requestID {
		app.Use(wire.RequestID(nil))
	}
	if r.handler != nil {
		app.Post("/invocations", r.handler)
	}
	for _, row := range r.h.Routes() {
		app.Add(row.Method, row.Path, row.Handler)
	}
	ln := fasthttputil.NewInmemoryListener()
	served := make(chan error, 1)
	go func() { served <- app.Listener(ln) }()
	r.dial = ln.Dial
	r.client = &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() },
	}}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		if err := app.ShutdownWithTimeout(5 * time.Second); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		_ = ln.Close() // shut down already, unless the test ended before the engine began
		<-served
		for v, l := range r.versions {
			if n := l.held(); n != 0 {
				t.Errorf("version %d: %d handles were not released", v, n)
			}
		}
		if n := r.h.InFlight(); n != 0 {
			t.Errorf("%d requests in flight at the end", n)
		}
	})
}

func (r *rig) acquire(_ context.Context, id servable.ID) (Handle, error) {
	l := r.versions[id.Version]
	if l == nil || id.Model != "wine" {
		return (*loaded)(nil), servable.ErrNotAvailable // not a nil interface, as from a function that returns a pointer
	}
	l.acquire()
	return l, nil
}

// split is endpoint "wine" with versions 1 and 2 at the weights.
func split(stable, canary int) route.Endpoint {
	return route.Endpoint{Name: "wine", Arms: []route.Arm{
		{Name: "prod", Servable: servable.ID{Model: "wine", Version: 1}, Stage: "Production", Weight: stable, Aliases: []string{"champion"}},
		{Name: "next", Servable: servable.ID{Model: "wine", Version: 2}, Stage: "Staging", Weight: canary},
	}}
}

// only is an endpoint with version 1 alone.
func only(name string) route.Endpoint {
	return route.Endpoint{Name: name, Arms: []route.Arm{
		{Name: "prod", Servable: servable.ID{Model: "wine", Version: 1}, Stage: "Production", Weight: route.FullWeight},
	}}
}

func (r *rig) publish(t testing.TB, defaultName string, endpoints ...route.Endpoint) {
	t.Helper()
	table, err := route.NewTable(1, endpoints, defaultName)
	if err != nil {
		t.Fatal(err)
	}
	r.h.Publish(table)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// code is the error_code of the body.
func (a *answer) code() string {
	var e struct {
		Code string `json:"error_code"`
	}
	if json.Unmarshal([]byte(a.body), &e) != nil {
		return "(no JSON)"
	}
	return e.Code
}

const goodBody = `{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3,4]]}}`

const goodAnswer = `{"predictions": [{"y": 6.0}, {"y": 14.0}]}`

// ask sends a request; headers are name, value, name, value …; a Content-Type of JSON is added unless one is given.
func (r *rig) ask(t testing.TB, method, path, body string, headers ...string) *answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://sluice"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Content-Type" {
			req.Header.Set(headers[i], headers[i+1])
		} else {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &answer{resp.StatusCode, resp.Header, string(text)}
}

// raw sends bytes as they are on a connection of their own and returns the answer's status and header.
func (r *rig) raw(t testing.TB, request string) *http.Response {
	t.Helper()
	conn, err := r.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp
}

// counted sums the outcomes that match.
func (r *rig) counted(match func(outcome.Key) bool) (n uint64) {
	for _, s := range r.book.Snapshot() {
		if match(s.Key) {
			n += s.Count()
		}
	}
	return n
}

var errBroken = errors.New("node Gemm_3: the model broke")
