package invoke

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/gateway/breaker"
	"sluice/gateway/outcome"
	"sluice/gateway/route"
	"sluice/runtime/mlmodel"
	"sluice/runtime/onnx/onnxtest"
	"sluice/runtime/servable"
)

// newONNXRig is a rig over the real servable.Manager and the real ONNX Runtime: endpoint "wine" with both versions of the example model.
func newONNXRig(t testing.TB, o rigOptions) *rig {
	t.Helper()
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	load := func(ctx context.Context, id servable.ID) (*servable.Loaded, error) {
		dir := filepath.Join("..", "..", "deploy", "examples", id.Model, []string{"", "v1", "v2"}[id.Version])
		m, err := mlmodel.Load(dir)
		if err != nil {
			return nil, err
		}
		b, err := rt.Load(ctx, dir, m)
		if err != nil {
			return nil, err
		}
		return &servable.Loaded{Model: m, Backend: b}, nil
	}
	manager := servable.NewManager(load, nil)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := manager.Close(ctx); err != nil {
			t.Errorf("close the manager: %v", err)
		}
	})
	ids := []servable.ID{{Model: "wine", Version: 1}, {Model: "wine", Version: 2}}
	manager.Aspire(ids)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := manager.WaitReady(ctx, ids...); err != nil {
		t.Fatal(err)
	}
	r := &rig{book: outcome.NewBook(nil), log: &memoryLog{}}
	if o.log == nil {
		o.log = r.log
	}
	r.h = New(Deps{
		Acquire:  func(ctx context.Context, id servable.ID) (Handle, error) { return manager.Acquire(id) },
		Outcomes: r.book, Breakers: breaker.NewGroup(o.breaker), Log: o.log,
	}, o.options)
	r.serve(t, o)
	r.publish(t, "", split(9000, 1000))
	return r
}

// example is the request that the example model carries.
func example(t testing.TB) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "..", "deploy", "examples", "wine", "v1", "serving_input_example.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestRealModel(t *testing.T) {
	r := newONNXRig(t, rigOptions{})
	for _, version := range []string{"1", "2"} {
		a := r.ask(t, "POST", "/models/wine/versions/"+version+"/invocations", example(t))
		if a.status != 200 || a.header.Get(HeaderVersion) != version {
			t.Fatalf("version %s: %d %s", version, a.status, a.body)
		}
		var got struct{ Predictions []map[string]any }
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			t.Fatalf("%v in %s", err, a.body)
		}
		if len(got.Predictions) == 0 || len(got.Predictions[0]) == 0 {
			t.Errorf("no records keyed by output name in %s", a.body)
		}
	}
	bad := r.ask(t, "POST", "/invocations", `{"dataframe_split":{"columns":["alcohol"],"data":[[13.2]]}}`)
	if bad.status != 400 || !strings.Contains(bad.body, "malic_acid") {
		t.Errorf("a missing column: %d %s", bad.status, bad.body)
	}
}

func TestRealModelIsGoneIs503(t *testing.T) {
	r := newONNXRig(t, rigOptions{})
	r.publish(t, "", route.Endpoint{Name: "wine", Arms: []route.Arm{
		{Name: "prod", Servable: servable.ID{Model: "wine", Version: 9}, Weight: route.FullWeight},
	}})
	if a := r.ask(t, "POST", "/invocations", example(t)); a.status != 503 {
		t.Errorf("%d %s, want 503", a.status, a.body)
	}
}

// oneWine is one row for the example model.
const oneWine = `{"dataframe_split":{"columns":["alcohol","malic_acid","ash","alcalinity_of_ash","magnesium","total_phenols","flavanoids",` +
	`"nonflavanoid_phenols","proanthocyanins","color_intensity","hue","od280/od315_of_diluted_wines","proline"],` +
	`"data":[[13.9,1.68,2.12,16.0,101.0,3.1,3.39,0.21,2.14,6.1,0.91,3.33,985.0]]}}`

// TestRealModelAllocations is the budget with nothing left out but the disk. Three of the four are the deadline's channel and timer, made
// because the backend asks for them.
func TestRealModelAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates: the budget is checked without it")
		return
	}
	r := newONNXRig(t, rigOptions{log: discard{}})
	x := newExchange(t, r, oneWine)
	for range 100 {
		x.once(t)
	}
	if n := testing.AllocsPerRun(2000, func() { x.once(t) }); n > 0 {
		t.Errorf("%v allocations per request, want none", n)
	}
}

// BenchmarkRealModel is one request for one row over an in-memory connection, client included.
func BenchmarkRealModel(b *testing.B) {
	r := newONNXRig(b, rigOptions{log: discard{}})
	x := newExchange(b, r, oneWine)
	b.ReportAllocs()
	for b.Loop() {
		x.once(b)
	}
}
