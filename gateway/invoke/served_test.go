package invoke

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"sluice/gateway/breaker"
	"sluice/gateway/outcome"
	"sluice/gateway/route"
	"sluice/runtime/onnx/onnxtest"
	"sluice/runtime/servable"
)

// newModelsRig is a rig over the real ONNX Runtime with one endpoint for each of the given models of runtime/onnx/testdata.
func newModelsRig(t testing.TB, opts *servable.Options, names ...string) *rig {
	t.Helper()
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	manager := servable.NewManager(func(ctx context.Context, id servable.ID) (*servable.Loaded, error) {
		return rt.LoadDir(ctx, onnxtest.Model(t, id.Model))
	}, opts)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := manager.Close(ctx); err != nil {
			t.Errorf("close the manager: %v", err)
		}
	})
	var ids []servable.ID
	var endpoints []route.Endpoint
	for _, name := range names {
		id := servable.ID{Model: name, Version: 1}
		ids = append(ids, id)
		endpoints = append(endpoints, route.Endpoint{Name: name, Arms: []route.Arm{{Name: "prod", Servable: id, Weight: route.FullWeight}}})
	}
	manager.Aspire(ids)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := manager.WaitReady(ctx, ids...); err != nil {
		t.Fatal(err)
	}
	r := &rig{book: outcome.NewBook(nil), log: &memoryLog{}}
	r.h = New(Deps{
		Acquire:  func(ctx context.Context, id servable.ID) (Handle, error) { return manager.Acquire(id) },
		Outcomes: r.book, Breakers: breaker.NewGroup(nil), Log: r.log,
	}, nil)
	r.serve(t, rigOptions{})
	r.publish(t, "", endpoints...)
	return r
}

// recorded is what MLflow's scoring server answered (served.py beside the models).
type recorded struct {
	Model, Body, Answer string
	Status              int
}

func recordings(t testing.TB) (all []recorded, models []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(onnxtest.Model(t, "wine"), "..", "served.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range all {
		if !seen[r.Model] {
			seen[r.Model] = true
			models = append(models, r.Model)
		}
	}
	return all, models
}

// Over HTTP, alone and joined, models answer what MLflow's scoring server answers, to the byte but for the last digits of floats, which depend
// on the processor: classifiers with ZipMap as skl2onnx makes them by default, its variants, sequences, half precision, free shapes. Where MLflow
// fails, we answer or say whose fault it is.
func TestModelsAnswerAsUnderMLflow(t *testing.T) {
	all, models := recordings(t)
	for name, joining := range map[string]servable.Joining{"measured": servable.JoinMeasured, "joined": servable.JoinAlways} {
		r := newModelsRig(t, &servable.Options{Joining: joining}, models...)
		for i, c := range all {
			t.Run(fmt.Sprintf("%s/%d %s", name, i, c.Model), func(t *testing.T) {
				for range 2 { // the first run may learn shapes
					a := r.ask(t, "POST", "/endpoints/"+c.Model+"/invocations", c.Body)
					if c.Status != 200 {
						if a.status != 200 && a.status != 400 {
							t.Errorf("%d %s, MLflow says %s", a.status, a.body, c.Answer)
						}
						continue
					}
					if a.status != 200 {
						t.Fatalf("%d %s", a.status, a.body)
					}
					compareAnswers(t, a.body, c.Answer)
				}
			})
		}
	}
}

var floats = regexp.MustCompile(`-?\d+\.\d+(e[-+]\d+)?|-?\de[-+]\d+`)

// compareAnswers compares the text around floats exactly, and floats to six digits.
func compareAnswers(t *testing.T, got, want string) {
	t.Helper()
	if g, w := floats.ReplaceAllString(got, "#"), floats.ReplaceAllString(want, "#"); g != w {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	gs, ws := floats.FindAllString(got, -1), floats.FindAllString(want, -1)
	for i := range gs {
		g, err := strconv.ParseFloat(gs[i], 64)
		if err != nil {
			t.Fatal(err)
		}
		w, err := strconv.ParseFloat(ws[i], 64)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(g-w) > 1e-6*max(1, math.Abs(w)) {
			t.Errorf("float %d is %s, MLflow's is %s", i, gs[i], ws[i])
		}
	}
}

// A classifier's maps travel over the Open Inference Protocol as a matrix whose columns are labelled.
func TestMapsOverInference(t *testing.T) {
	r := newModelsRig(t, nil, "zipmap_text")
	a := r.ask(t, "POST", "/v2/models/zipmap_text/infer", inferWine)
	var got struct {
		Outputs []struct {
			Name, Datatype string
			Shape          []int64
			Parameters     map[string]any
		}
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 || len(got.Outputs) != 2 {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	p := got.Outputs[1]
	if p.Datatype != "FP32" || fmt.Sprint(p.Shape) != "[1 3]" || fmt.Sprint(p.Parameters["labels"]) != "[a b c]" {
		t.Errorf("%+v", p)
	}
}

// inferWine is one row of wine in the protocol's JSON.
var inferWine = func() string {
	names := []string{"alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids", "nonflavanoid_phenols",
		"proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline"}
	body := `{"inputs":[`
	for i, n := range names {
		if i > 0 {
			body += ","
		}
		body += fmt.Sprintf(`{"name":%q,"datatype":"FP64","shape":[1],"data":[%d.5]}`, n, i)
	}
	return body + "]}"
}()
