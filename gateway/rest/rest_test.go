package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway"
	"sluice/gateway/drift"
	"sluice/gateway/plan"
	"sluice/gateway/predlog"
	"sluice/gateway/rest"
	"sluice/gateway/route"
	"sluice/gateway/sqlstore"
	"sluice/runtime/servable"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/wire"
)

// loader is a manager whose versions are Ready at once, except those that are broken.
type loader struct {
	mu      sync.Mutex
	broken  map[servable.ID]string
	aspired map[servable.ID]bool
	changed func()
}

func (l *loader) Aspire(ids []servable.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := map[servable.ID]bool{}
	for _, id := range ids {
		fresh[id] = true
		if !l.aspired[id] {
			defer l.changed()
		}
	}
	l.aspired = fresh
}

// breakVersion makes the version fail from now on.
func (l *loader) breakVersion(id servable.ID, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken[id] = reason
}

func (l *loader) Status(id servable.ID) servable.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.aspired[id]:
		return servable.Status{}
	case l.broken[id] != "":
		return servable.Status{State: servable.Failed, Reason: l.broken[id]}
	}
	return servable.Status{State: servable.Ready}
}

// server is the control API over a real database with a running syncer.
type server struct {
	truth  fakeTruth
	t      *testing.T
	app    *fiber.App
	loader *loader
	syncer *plan.Syncer

	mu  sync.Mutex
	reg *gateway.Registered
}

func newServer(t *testing.T) *server {
	t.Helper()
	store, err := sqlstore.New(t.Context(), sqldbtest.Open(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, loader: &loader{broken: map[servable.ID]string{}}, reg: &gateway.Registered{Models: map[string]gateway.Model{}}}
	s.syncer = plan.NewSyncer(plan.Deps{Store: store, Registry: s.registry, Servables: s.loader, Publish: func(*route.Table) {}}, nil)
	s.loader.changed = s.syncer.PokeStatus
	h := rest.New(rest.Deps{
		Service: gateway.NewService(store, s.registry, &gateway.Options{Changed: s.syncer.Poke}),
		Live:    s.syncer,
		Metrics: func(_ context.Context, endpoint string, w io.Writer) error {
			_, err := fmt.Fprintf(w, "requests{endpoint=%q} 1\n", endpoint)
			return err
		},
		Batching: func(model string, version int, _ string) (gateway.Batching, bool) {
			return gateway.Batching{Joined: true, MaxRows: 64, One: 30 * time.Microsecond, Many: 210 * time.Microsecond}, model == "wine" && version == 2
		},
		BuildLog: func(model string, version int) (string, bool) {
			return fmt.Sprintf("Installed 3 packages for %s %d", model, version), version == 3
		},
		Truth: &s.truth,
		Drift: func(endpoint string) []drift.SeriesReport {
			r := drift.SeriesReport{Series: predlog.Series{Endpoint: endpoint, Model: "wine", Version: 2}}
			r.Drifting, r.Columns = []string{"x"}, []drift.Column{{Name: "x", PSI: 0.5, Drifts: true}}
			return []drift.SeriesReport{r}
		},
		Who: func(*fiber.Ctx) string { return "ann" },
	})
	s.app = fiber.New(fiber.Config{ErrorHandler: wire.ErrorHandler(slog.New(slog.DiscardHandler)), DisableStartupMessage: true})
	for _, r := range h.Routes() {
		if r.Permission == "" || r.Audit == "" {
			t.Errorf("%s %s has no permission or audit name", r.Method, r.Path)
		}
		s.app.Add(r.Method, r.Path, r.Handler)
	}
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { done <- s.syncer.Run(ctx) }()
	t.Cleanup(func() {
		stop() // closed before it began, it would not run at all
		if err := errors.Join(<-done, s.syncer.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *server) registry(context.Context) (*gateway.Registered, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reg, nil
}

// register replaces the registry: a model's versions by their stages.
func (s *server) register(models map[string][]string) {
	reg := &gateway.Registered{Models: map[string]gateway.Model{}}
	for name, stages := range models {
		m := gateway.Model{Aliases: map[string]int{"champion": 1}}
		for i, st := range stages {
			m.Versions = append(m.Versions, gateway.Version{Number: i + 1, Stage: st})
		}
		reg.Models[name] = m
	}
	s.mu.Lock()
	s.reg = reg
	s.mu.Unlock()
	s.syncer.Poke()
}

func (s *server) do(method, path, body string) (int, map[string]any, http.Header) {
	s.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.app.Test(req, -1)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var out map[string]any
	if json.Unmarshal(text, &out) != nil {
		out = map[string]any{"text": string(text)}
	}
	return resp.StatusCode, out, resp.Header
}

func (s *server) want(status int, method, path, body string, parts ...string) map[string]any {
	s.t.Helper()
	got, out, _ := s.do(method, path, body)
	text, _ := json.Marshal(out)
	if got != status {
		s.t.Errorf("%s %s %s: got %d %s, want %d", method, path, body, got, text, status)
	}
	for _, p := range parts {
		if !strings.Contains(string(text), p) {
			s.t.Errorf("%s %s %s: got %s, want %q in it", method, path, body, text, p)
		}
	}
	return out
}

// settle waits until the endpoint no longer updates and returns it.
func (s *server) settle(name string) map[string]any {
	s.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, out, _ := s.do("GET", "/api/2.0/serving-endpoints/"+name, "")
		if state, ok := out["state"].(map[string]any); ok && state["config_update"] != "IN_PROGRESS" {
			return out
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not settle: %v", name, out)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

const (
	list = "/api/2.0/serving-endpoints"
	wine = list + "/wine"
)

func config(entities, routes string) string {
	return fmt.Sprintf(`{"served_entities": [%s], "traffic_config": {"routes": [%s]}}`, entities, routes)
}

func dig(v any, path ...any) any {
	for _, p := range path {
		switch k := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				return nil
			}
			v = l[k]
		}
	}
	return v
}

func TestLifeOfAnEndpoint(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "Staging", "None"}})
	implicit := s.settle("wine")
	if dig(implicit, "implicit") != true || dig(implicit, "state", "ready") != "READY" || dig(implicit, "config", "served_entities", 0, "entity_version") != "1" ||
		dig(implicit, "config", "served_entities", 0, "entity_stage") != "Production" || dig(implicit, "config", "traffic_config", "routes", 0, "traffic_percentage") != 100.0 {
		t.Errorf("implicit: %v", implicit)
	}
	s.want(400, "DELETE", wine, "", "implicit", "Production")
	s.want(400, "PATCH", wine+"/tags", `{"add_tags":[{"key":"a"}]}`, "implicit")

	first := s.want(200, "PUT", wine+"/config", config(
		`{"entity_name":"wine","entity_version":"Production","workload_size":"Small","scale_to_zero_enabled":true,"batching_mode":"always"},
		 {"name":"canary","entity_name":"wine","entity_version":"staging"}`,
		`{"served_model_name":"wine-Production","traffic_percentage":66.67},{"served_entity_name":"canary","traffic_percentage":33.33}`),
		`"config_version":1`, `"entity_version":"2"`)
	if dig(first, "implicit") != false || dig(first, "creator") != "ann" {
		t.Errorf("explicit: %v", first)
	}
	got := s.settle("wine")
	if dig(got, "config", "served_models", 1, "model_version") != "2" || dig(got, "config", "served_entities", 1, "traffic_percentage_in_effect") != 33.33 {
		t.Errorf("settled: %v", got)
	}
	if dig(got, "config", "served_entities", 1, "batching", "joined") != true || dig(got, "config", "served_models", 1, "batching", "rows_32_us") != 210.0 ||
		dig(got, "config", "served_entities", 0, "batching") != nil {
		t.Errorf("verdicts on batching: %v", got)
	}

	t.Run("an answer's config can be sent back", func(t *testing.T) {
		text, _ := json.Marshal(got["config"])
		s.want(200, "PUT", wine+"/config", string(text), `"config_version":2`)
		s.want(409, "PUT", wine+"/config", string(text), "RESOURCE_CONFLICT", `"config_version":2`)
	})
	t.Run("the traffic alone", func(t *testing.T) {
		out := s.want(200, "PUT", wine+"/config", `{"traffic_config":{"routes":[{"served_model_name":"canary","traffic_percentage":100}]}}`, `"config_version":3`)
		if dig(out, "config", "traffic_config", "routes", 0, "traffic_percentage") != 0.0 || dig(out, "config", "served_entities", 0, "workload_size") != "Small" || dig(out, "config", "served_entities", 0, "batching_mode") != "always" {
			t.Errorf("got %v", out)
		}
	})
	t.Run("a version that cannot be loaded", func(t *testing.T) {
		s.settle("wine")
		s.loader.breakVersion(servable.ID{Model: "wine", Version: 3}, "model.onnx is not an ONNX file")
		s.want(200, "PUT", wine+"/config", `{"served_entities":[{"name":"new","entity_name":"wine","entity_version":3}]}`)
		out := s.settle("wine")
		if dig(out, "state", "config_update") != "UPDATE_FAILED" || dig(out, "state", "ready") != "READY" ||
			dig(out, "config", "served_entities", 0, "state", "deployment") != "DEPLOYMENT_FAILED" ||
			!strings.Contains(fmt.Sprint(dig(out, "config", "served_entities", 0, "reason")), "not an ONNX file") {
			t.Errorf("got %v", out)
		}
		s.want(200, "GET", wine+"/served-models/new/build-logs", "", `{"logs":"Installed 3 packages for wine 3"}`)
		s.want(404, "GET", wine+"/served-models/old/build-logs", "", "RESOURCE_DOES_NOT_EXIST")
	})
	t.Run("no build", func(t *testing.T) {
		s.register(map[string][]string{"wine": {"Production", "Staging", "None"}, "ale": {"Production"}})
		name := dig(s.settle("ale"), "config", "served_entities", 0, "name")
		s.want(200, "GET", fmt.Sprintf("/api/2.0/serving-endpoints/ale/served-models/%v/build-logs", name), "", "No environment was built for version 1 of ale.")
	})
	t.Run("tags", func(t *testing.T) {
		s.want(200, "PATCH", wine+"/tags", `{"add_tags":[{"key":"a","value":"1"},{"key":"b"}]}`, `{"tags":[{"key":"a","value":"1"},{"key":"b","value":""}]}`)
		s.want(200, "PATCH", wine+"/tags", `{"delete_tags":["a"]}`, `{"tags":[{"key":"b","value":""}]}`)
	})
	t.Run("events, metrics, deployments", func(t *testing.T) {
		s.want(200, "GET", wine+"/events", "", "config_updated", "created")
		s.want(200, "GET", wine+"/events?max_results=1", "")
		s.want(400, "GET", wine+"/events?max_results=5000", "", "max_results")
		s.want(200, "GET", wine+"/metrics", "", `requests{endpoint=\"wine\"} 1`)
		s.want(200, "GET", "/api/2.0/endpoints/", "", `"endpoint_url":"/endpoints/wine/invocations"`, `"limit":null`)
		s.want(200, "GET", "/api/2.0/endpoints/wine", "", `"provider":"sluice"`)
		s.want(404, "GET", "/api/2.0/endpoints/beer", "", "RESOURCE_DOES_NOT_EXIST")
	})
	s.want(200, "DELETE", wine, "")
	if out := s.settle("wine"); dig(out, "implicit") != true {
		t.Errorf("after the deletion: %v", out)
	}
	s.register(map[string][]string{"wine": {"Archived"}})
	deadline := time.Now().Add(10 * time.Second)
	for out := s.settle("wine"); dig(out, "config", "served_entities", 0, "stale") != true; out = s.settle("wine") {
		if time.Now().After(deadline) {
			t.Fatalf("not stale: %v", out)
		}
	}
	s.want(200, "DELETE", wine, "")
	s.want(404, "GET", wine, "", "RESOURCE_DOES_NOT_EXIST")
}

func TestCreate(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"None", "Staging"}, "my model/2": {"Production"}})
	body := func(name string) string {
		return `{"name":"` + name + `","tags":[{"key":"k","value":"v"}],"description":"d","route_optimized":false,"config":{"name":"` + name + `","served_entities":[{"entity_name":"wine","entity_version":"@champion"}]}}`
	}
	s.want(200, "POST", list, body("e-1"), `"name":"wine-champion"`, `"entity_alias":"champion"`, `"entity_version":"1"`, `"description":"d"`)
	s.want(400, "POST", list, body("e-1"), "RESOURCE_ALREADY_EXISTS")
	s.want(400, "POST", list+"/", body("with space"), "name")
	s.want(200, "POST", list, body("my model/2")) // the name of a registered model may be an endpoint's
	s.want(200, "GET", list+"/my%20model%2F2", "", `"endpoint_url":"/serving-endpoints/my%20model%2F2/invocations"`)
	out := s.want(200, "GET", list, "")
	if n := len(out["endpoints"].([]any)); n != 2 {
		t.Errorf("%d endpoints, want 2", n)
	}
}

// TestBadInput: whatever is wrong is named, in MLflow's error shape.
func TestBadInput(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "None"}})
	s.settle("wine")
	const ok = `{"name":"a","entity_name":"wine","entity_version":"1"}`
	one := func(extra string) string {
		return `{"served_entities":[{"name":"a","entity_name":"wine","entity_version":"1",` + extra + `}]}`
	}
	for name, c := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"not JSON":                  {`{`, 400, "JSON"},
		"not an object":             {`[]`, 400, "JSON object"},
		"empty":                     {``, 400, "JSON object"},
		"nothing":                   {`{}`, 400, "neither served_entities nor traffic_config"},
		"no entities":               {`{"served_entities":[]}`, 400, "nothing to serve"},
		"unknown field":             {`{"served_entitys":[]}`, 400, "unknown field served_entitys"},
		"unknown field inside":      {one(`"colour":1`), 400, "served_entities[0].colour"},
		"sum":                       {config(ok, `{"served_model_name":"a","traffic_percentage":90}`), 400, "sum to 90, not to 100"},
		"sum with decimals":         {config(ok, `{"served_model_name":"a","traffic_percentage":99.99}`), 400, "sum to 99.99"},
		"three decimals":            {config(ok, `{"served_model_name":"a","traffic_percentage":99.999}`), 400, "two decimals"},
		"negative":                  {config(ok, `{"served_model_name":"a","traffic_percentage":-1}`), 400, "0 to 100"},
		"percent as text":           {config(ok, `{"served_model_name":"a","traffic_percentage":"100"}`), 400, "traffic_percentage"},
		"NaN":                       {config(ok, `{"served_model_name":"a","traffic_percentage":NaN}`), 400, "JSON"},
		"no percentage":             {config(ok, `{"served_model_name":"a"}`), 400, "routes[0].traffic_percentage is missing"},
		"route to nobody":           {config(ok, `{"served_model_name":"b","traffic_percentage":100}`), 400, `traffic_config.routes[0].served_entity_name \"b\" is not among`},
		"route twice":               {config(ok, `{"served_model_name":"a","traffic_percentage":50},{"served_model_name":"a","traffic_percentage":50}`), 400, "twice"},
		"route with two names":      {config(ok, `{"served_model_name":"a","served_entity_name":"b","traffic_percentage":100}`), 400, "another than"},
		"two entities, no routes":   {`{"served_entities":[` + ok + `,{"entity_name":"wine","entity_version":"2"}]}`, 400, "traffic_config is missing"},
		"name twice":                {config(ok+","+ok, `{"served_model_name":"a","traffic_percentage":100}`), 400, "appears twice"},
		"bad name":                  {`{"served_entities":[{"name":"a b","entity_name":"wine","entity_version":"1"}]}`, 400, "served_entities[0].name"},
		"header in a name":          {`{"served_entities":[{"name":"a\r\nX: y","entity_name":"wine","entity_version":"1"}]}`, 400, "served_entities[0].name"},
		"unknown model":             {`{"served_entities":[{"entity_name":"beer","entity_version":"1"}]}`, 404, `\"beer\" does not exist`},
		"unknown version":           {`{"served_entities":[{"entity_name":"wine","entity_version":"9"}]}`, 404, "no version 9"},
		"version zero":              {`{"served_entities":[{"entity_name":"wine","entity_version":"0"}]}`, 400, "served_entities[0].entity_version: entity_version"},
		"unknown alias":             {`{"served_entities":[{"entity_name":"wine","entity_version":"@x"}]}`, 404, `no alias \"x\"`},
		"unknown stage":             {`{"served_entities":[{"entity_name":"wine","entity_version":"Prod"}]}`, 400, "neither a version number, nor a stage"},
		"stage None":                {`{"served_entities":[{"entity_name":"wine","entity_version":"None"}]}`, 400, "None cannot be served"},
		"empty stage alone":         {`{"served_entities":[{"entity_name":"wine","entity_version":"Staging"}]}`, 400, "served_entities[0].entity_version: stage Staging"},
		"field twice":               {`{"served_entities":[` + ok + `],"served_entities":[` + ok + `]}`, 400, "served_entities stands there twice"},
		"field twice inside":        {one(`"\u006eame":"b"`), 400, "served_entities[0].name stands there twice"},
		"weight below a hundredth":  {config(ok, `{"served_model_name":"a","traffic_percentage":99.999999999999999}`), 400, "routes[0]: traffic_percentage"},
		"negative zero":             {config(ok, `{"served_model_name":"a","traffic_percentage":-0}`), 400, "routes[0]: traffic_percentage -0"},
		"three thirds":              {config(ok+`,{"name":"b","entity_name":"wine","entity_version":"1"},{"name":"c","entity_name":"wine","entity_version":"1"}`, `{"served_model_name":"a","traffic_percentage":33.33},{"served_model_name":"b","traffic_percentage":33.33},{"served_model_name":"c","traffic_percentage":33.33}`), 400, "sum to 99.99, not to 100"},
		"config_version as text":    {`{"config_version":"1","served_entities":[` + ok + `]}`, 400, "config_version is not a whole number"},
		"negative config_version":   {`{"config_version":-1,"served_entities":[` + ok + `]}`, 400, "config_version is negative"},
		"no version":                {`{"served_entities":[{"entity_name":"wine"}]}`, 400, "entity_version is missing"},
		"no model":                  {`{"served_entities":[{"entity_version":"1"}]}`, 400, "entity_name is missing"},
		"stage and alias":           {`{"served_entities":[{"entity_name":"wine","entity_stage":"Production","entity_alias":"champion"}]}`, 400, "exclude each other"},
		"stage and another version": {`{"served_entities":[{"entity_name":"wine","entity_stage":"Production","entity_version":"2"}]}`, 400, "contradicts"},
		"two spellings":             {`{"served_entities":[` + ok + `],"served_models":[{"name":"a","model_name":"wine","model_version":"2"}]}`, 400, "contradict"},
		"external model":            {one(`"external_model":{"name":"gpt"}`), 400, "served_entities[0].external_model is not supported"},
		"environment":               {one(`"environment_vars":{"A":"b"}`), 400, "environment_vars is not supported"},
		"throughput":                {one(`"min_provisioned_throughput":0`), 400, "min_provisioned_throughput is not supported"},
		"workload size":             {one(`"workload_size":"Huge"`), 400, "workload_size"},
		"batching mode":             {one(`"batching_mode":"sometimes"`), 400, "batching_mode"},
		"GPU":                       {one(`"workload_type":"GPU_SMALL"`), 400, "only CPU"},
		"flag as text":              {one(`"scale_to_zero_enabled":"yes"`), 400, "scale_to_zero_enabled is not true or false"},
		"auto capture":              {`{"auto_capture_config":{"enabled":true},"served_entities":[` + ok + `]}`, 400, "auto_capture_config"},
		"stale config_version":      {`{"config_version":7,"served_entities":[` + ok + `]}`, 409, "config_version"},
		"another endpoint's name":   {`{"name":"beer","served_entities":[` + ok + `]}`, 400, "not the endpoint's name"},
	} {
		t.Run(name, func(t *testing.T) {
			out := s.want(c.status, "PUT", wine+"/config", c.body, c.want)
			if out["error_code"] == nil || out["message"] == nil {
				t.Errorf("not MLflow's error shape: %v", out)
			}
		})
	}
	if out := s.settle("wine"); dig(out, "implicit") != true {
		t.Errorf("a refused configuration left a trace: %v", out)
	}
	for name, c := range map[string]struct{ body, want string }{
		"no config":  {`{"name":"x"}`, "config is missing"},
		"no name":    {`{"config":{"served_entities":[` + ok + `]}}`, "name is missing"},
		"ai_gateway": {`{"name":"x","ai_gateway":{"usage_tracking_config":{"enabled":true}},"config":{}}`, "ai_gateway is not supported"},
		"optimized":  {`{"name":"x","route_optimized":true,"config":{}}`, "route_optimized is not supported"},
		"tag twice":  {`{"name":"x","tags":[{"key":"a"},{"key":"a"}],"config":{"served_entities":[` + ok + `]}}`, "twice"},
	} {
		t.Run("create: "+name, func(t *testing.T) { s.want(400, "POST", list, c.body, c.want) })
	}
	s.want(404, "PUT", list+"/beer/config", config(ok, ""), "RESOURCE_DOES_NOT_EXIST")
	s.want(501, "PUT", wine+"/ai-gateway", `{}`, "AI gateway")
	s.want(404, "GET", "/.well-known/databricks-config", "", "error_code")
}

func TestReady(t *testing.T) {
	s := newServer(t)
	deadline := time.Now().Add(10 * time.Second)
	for {
		status, out, _ := s.do("GET", "/ready", "")
		if status == 200 && out["ready"] == true {
			return
		}
		if status != 503 || time.Now().After(deadline) {
			t.Fatalf("got %d %v", status, out)
		}
	}
}

// FuzzConfig: no configuration makes the handlers panic or answer 500.
func FuzzConfig(f *testing.F) {
	f.Add(`{"served_entities":[{"name":"a","entity_name":"wine","entity_version":"1"}],"traffic_config":{"routes":[{"served_model_name":"a","traffic_percentage":100}]}}`)
	f.Add(`{"served_models":[{"model_name":"wine","model_version":"@champion","scale_to_zero_enabled":true}],"config_version":0}`)
	f.Add(`{"traffic_config":{"routes":null}}`)
	f.Add(`{"served_entities":[null,1,[]]}`)
	s := newFuzzServer(f)
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 4096 {
			return
		}
		s.t = t
		if status, out, _ := s.do("PUT", wine+"/config", body); status >= 500 {
			t.Errorf("%q: %d %v", body, status, out)
		}
	})
}

// newFuzzServer has no loop behind it: requests are only parsed, checked and stored.
func newFuzzServer(f *testing.F) *server {
	store, err := sqlstore.New(f.Context(), sqldbtest.Open(f, nil))
	if err != nil {
		f.Fatal(err)
	}
	s := &server{reg: &gateway.Registered{Models: map[string]gateway.Model{"wine": {
		Versions: []gateway.Version{{Number: 1, Stage: "Production"}}, Aliases: map[string]int{"champion": 1},
	}}}}
	s.syncer = plan.NewSyncer(plan.Deps{Store: store, Registry: s.registry, Publish: func(*route.Table) {}}, nil)
	h := rest.New(rest.Deps{Service: gateway.NewService(store, s.registry, nil), Live: s.syncer})
	s.app = fiber.New(fiber.Config{ErrorHandler: wire.ErrorHandler(slog.New(slog.DiscardHandler)), DisableStartupMessage: true})
	for _, r := range h.Routes() {
		s.app.Add(r.Method, r.Path, r.Handler)
	}
	return s
}

// listen serves the app on a loopback port and returns its URL.
func (s *server) listen() string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.app.Listener(l) }()
	s.t.Cleanup(func() {
		if err := s.app.Shutdown(); err != nil {
			s.t.Error(err)
		}
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}
