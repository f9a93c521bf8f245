package rest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/runtime/servable"
)

// oneEntity is a configuration of version 1 with further parts.
func oneEntity(parts string) string {
	return `{"served_entities":[{"name":"a","entity_name":"wine","entity_version":"1"}],` + parts + `}`
}

// TestSettingsComeBack: what is set is answered, can be sent back, and is gone when a configuration leaves it out.
func TestSettingsComeBack(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "Staging"}})
	for name, c := range map[string]struct{ field, value string }{
		"sticky header": {"sticky", `{"header":"X-User","salt":"1"}`},
		"sticky cookie": {"sticky", `{"cookie":"uid"}`},
		"sticky query":  {"sticky", `{"query":"user"}`},
		"sticky field":  {"sticky", `{"field":"/params/a~1b"}`},
		"rules": {"rules", `[{"name":"beta","when":[{"header":"X-Group","equals":"beta"},{"query":"t","in":["1","2"]}],"served_entity_name":"a"},
			{"name":"pin","when":[{"cookie":"pin","equals":"2"}],"entity_name":"wine","entity_version":"2","permission":"manage"}]`},
		"fallback":   {"fallback", `[{"from":"a","on":["timeout","error"],"answer":{"predictions":[0]},"timeout_ms":250}]`},
		"constants":  {"fallback", `[{"from":"a","on":["error"],"answer":{"predictions":[0]},"inference_answer":{"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[0]}]}}]`},
		"truth":      {"ground_truth", `{"key":"order","output":"price","task":"regression","tolerance":0.5,"lookback":"1h0m0s"}`},
		"drift":      {"drift", `{"window":"10m0s","min_rows":100,"baseline":"data/train.parquet","baseline_rows":1000,"max_psi":0.25,"max_ks":0.5}`},
		"no drift":   {"drift", `{"off":true}`},
		"salt alone": {"sticky", `{"salt":"2026"}`},
	} {
		t.Run(name, func(t *testing.T) {
			out := s.want(200, "PUT", wine+"/config", oneEntity(`"`+c.field+`":`+c.value))
			if got, _ := json.Marshal(dig(out, "config", c.field)); string(got) != compact(t, c.value) {
				t.Errorf("got %s, want %s", got, c.value)
			}
			config, _ := json.Marshal(dig(out, "config"))
			again := s.want(200, "PUT", wine+"/config", string(config))
			if got, _ := json.Marshal(dig(again, "config", c.field)); string(got) != compact(t, c.value) {
				t.Errorf("sent back: got %s", got)
			}
			traffic := s.want(200, "PUT", wine+"/config", `{"traffic_config":{"routes":[{"served_entity_name":"a","traffic_percentage":100}]}}`)
			if dig(traffic, "config", c.field) == nil {
				t.Error("a change of the traffic alone took it away")
			}
			if gone := s.want(200, "PUT", wine+"/config", oneEntity(`"config_version":0`)); dig(gone, "config", c.field) != nil {
				t.Error("a configuration without it kept it")
			}
		})
	}
	s.want(200, "PUT", wine+"/config", `{"sticky":{"header":"X-Id"}}`, `"X-Id"`, `"entity_version":"1"`)
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// TestBadSettings: 400 with the field's path, and nothing changes.
func TestBadSettings(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "Staging"}})
	s.settle("wine")
	for name, c := range map[string]struct{ parts, want string }{
		"sampling: none":            {`"sampling_fraction":0`, "sampling_fraction is not above 0 and up to 1"},
		"sampling: percent":         {`"sampling_fraction":25`, "sampling_fraction is not above 0 and up to 1"},
		"sampling: text":            {`"sampling_fraction":"0.1"`, "sampling_fraction is not a number"},
		"drift: unknown field":      {`"drift":{"columns":[]}`, "unknown field drift.columns"},
		"drift: short":              {`"drift":{"window":"1ms"}`, "drift.window"},
		"drift: few rows":           {`"drift":{"min_rows":1}`, "drift.min_rows"},
		"drift: few to learn from":  {`"drift":{"baseline_rows":1}`, "drift.baseline_rows"},
		"drift: long baseline":      {`"drift":{"baseline":"` + strings.Repeat("x", 1001) + `"}`, "drift.baseline"},
		"drift: negative":           {`"drift":{"max_psi":-1}`, "drift.max_psi"},
		"drift: above one":          {`"drift":{"max_ks":2}`, "drift.max_ks"},
		"truth: unknown field":      {`"ground_truth":{"column":"x"}`, "unknown field ground_truth.column"},
		"truth: no such task":       {`"ground_truth":{"task":"ranking"}`, "ground_truth.task"},
		"truth: negative":           {`"ground_truth":{"tolerance":-1}`, "ground_truth.tolerance"},
		"truth: classes are exact":  {`"ground_truth":{"tolerance":1,"task":"classification"}`, "ground_truth.tolerance is for numbers"},
		"truth: too far back":       {`"ground_truth":{"lookback":"9999h"}`, "ground_truth.lookback"},
		"sticky: no object":         {`"sticky":"X-User"`, "sticky is not a JSON object"},
		"sticky: unknown field":     {`"sticky":{"body":"x"}`, "unknown field sticky.body"},
		"sticky: two sources":       {`"sticky":{"header":"a","cookie":"b"}`, "sticky.cookie and header exclude each other"},
		"sticky: bad header":        {`"sticky":{"header":"a b"}`, "sticky.header"},
		"sticky: secret header":     {`"sticky":{"header":"Authorization"}`, "sticky.header"},
		"sticky: bad cookie":        {`"sticky":{"cookie":"a;b"}`, "sticky.cookie"},
		"sticky: empty":             {`"sticky":{"query":""}`, "sticky.query is empty"},
		"sticky: no pointer":        {`"sticky":{"field":"params.user"}`, "sticky.field"},
		"sticky: bad escape":        {`"sticky":{"field":"/a~2"}`, "sticky.field"},
		"sticky: too deep":          {`"sticky":{"field":"/1/2/3/4/5/6/7/8/9"}`, "sticky.field is longer than 256 bytes, or deeper than 8 steps"},
		"rules: no list":            {`"rules":{}`, "rules is not a list"},
		"rules: no condition":       {`"rules":[{"served_entity_name":"a"}]`, "rules[0].when is empty"},
		"rules: no target":          {`"rules":[{"when":[{"header":"a","equals":"b"}]}]`, "rules[0].served_entity_name is missing"},
		"rules: two targets":        {`"rules":[{"when":[{"header":"a","equals":"b"}],"served_entity_name":"a","entity_version":2}]`, "rules[0].served_entity_name and entity_version exclude each other"},
		"rules: unknown entity":     {`"rules":[{"when":[{"header":"a","equals":"b"}],"served_entity_name":"x"}]`, "rules[0].served_entity_name"},
		"rules: pin by stage":       {`"rules":[{"when":[{"header":"a","equals":"b"}],"entity_version":"Staging"}]`, "rules[0].entity_version"},
		"rules: no source":          {`"rules":[{"when":[{"equals":"b"}],"served_entity_name":"a"}]`, "rules[0].when[0] names neither"},
		"rules: body field":         {`"rules":[{"when":[{"field":"/a","equals":"b"}],"served_entity_name":"a"}]`, "unknown field rules[0].when[0].field"},
		"rules: no value":           {`"rules":[{"when":[{"header":"a"}],"served_entity_name":"a"}]`, "rules[0].when[0] can never match"},
		"rules: empty value":        {`"rules":[{"when":[{"header":"a","in":["x",""]}],"served_entity_name":"a"}]`, "rules[0].when[0] can never match"},
		"rules: equals and in":      {`"rules":[{"when":[{"header":"a","equals":"x","in":["y"]}],"served_entity_name":"a"}]`, "rules[0].when[0].in and equals"},
		"rules: line break":         {`"rules":[{"when":[{"header":"a","equals":"x\ny"}],"served_entity_name":"a"}]`, "rules[0].when[0] can never match"},
		"rules: contradiction":      {`"rules":[{"when":[{"header":"A","equals":"x"},{"header":"a","equals":"y"}],"served_entity_name":"a"}]`, "rules[0] can never match"},
		"rules: behind another":     {`"rules":[{"when":[{"header":"a","in":["x","y"]}],"served_entity_name":"a"},{"when":[{"query":"q","equals":"1"},{"header":"A","equals":"y"}],"served_entity_name":"a"}]`, "rules[1] can never match: rules[0]"},
		"rules: name twice":         {`"rules":[{"name":"n","when":[{"header":"a","equals":"x"}],"served_entity_name":"a"},{"name":"n","when":[{"header":"a","equals":"y"}],"served_entity_name":"a"}]`, "rules[1].name"},
		"rules: unknown permission": {`"rules":[{"when":[{"header":"a","equals":"x"}],"served_entity_name":"a","permission":"root"}]`, "rules[0].permission"},
		"fallback: unknown arm":     {`"fallback":[{"from":"x","answer":{}}]`, "fallback[0].from"},
		"fallback: unknown target":  {`"fallback":[{"from":"a","served_entity_name":"x"}]`, "fallback[0].served_entity_name"},
		"fallback: on itself":       {`"fallback":[{"from":"a","served_entity_name":"a"}]`, "fallback[0].served_entity_name closes a circle"},
		"fallback: no target":       {`"fallback":[{"from":"a"}]`, "fallback[0] needs one of"},
		"fallback: two targets":     {`"fallback":[{"from":"a","answer":{},"previous_version":true}]`, "fallback[0] needs one of"},
		"fallback: answer no JSON":  {`"fallback":[{"answer":"x"}]`, "fallback[0].answer is not a JSON object"},
		"fallback: unknown cause":   {`"fallback":[{"on":["rain"],"answer":{}}]`, "fallback[0].on[0]"},
		"fallback: no cause":        {`"fallback":[{"on":[],"answer":{}}]`, "fallback[0].on is empty"},
		"fallback: no tensors":      {`"fallback":[{"from":"a","inference_answer":{"predictions":[1]}}]`, "fallback[0].inference_answer holds outputs"},
		"fallback: too few values":  {`"fallback":[{"from":"a","inference_answer":{"outputs":[{"name":"x","datatype":"FP32","shape":[2],"data":[1]}]}}]`, "fallback[0].inference_answer outputs"},
		"fallback: unknown type":    {`"fallback":[{"from":"a","inference_answer":{"outputs":[{"name":"x","datatype":"FP31","shape":[1],"data":[1]}]}}]`, "fallback[0].inference_answer outputs"},
		"fallback: twice a name":    {`"fallback":[{"from":"a","inference_answer":{"outputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]},{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}}]`, "fallback[0].inference_answer outputs[1].name"},
		"fallback: no time left":    {`"fallback":[{"on":["timeout"],"from":"a","previous_version":true}]`, "fallback[0].timeout_ms is missing"},
		"fallback: time unused":     {`"fallback":[{"on":["error"],"answer":{},"timeout_ms":5}]`, "fallback[0].timeout_ms has no effect"},
		"fallback: time zero":       {`"fallback":[{"answer":{},"timeout_ms":0}]`, "fallback[0].timeout_ms is not between"},
		"fallback: never previous":  {`"fallback":[{"from":"a","previous_version":true}]`, "fallback[0].previous_version has no meaning"},
		"fallback: twice":           {`"fallback":[{"answer":{}},{"answer":{}}]`, "fallback[1].from"},
		"sticky: number":            {`"sticky":{"header":1}`, "sticky.header is not a string"},
	} {
		t.Run(name, func(t *testing.T) {
			s.want(400, "PUT", wine+"/config", oneEntity(c.parts), c.want, "INVALID_PARAMETER_VALUE")
		})
	}
	s.want(404, "PUT", wine+"/config", oneEntity(`"rules":[{"when":[{"header":"a","equals":"x"}],"entity_version":9}]`), "rules[0].entity_version", "no version 9")
	if out := s.settle("wine"); dig(out, "implicit") != true {
		t.Errorf("a refused configuration left a trace: %v", out)
	}
}

// TestFallbackCircles: a circle over several arms is found, wherever it begins.
func TestFallbackCircles(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "Staging", "None"}})
	with := func(fallback string) string {
		return `{"served_entities":[{"name":"a","entity_name":"wine","entity_version":"1"},{"name":"b","entity_name":"wine","entity_version":"2"},{"name":"c","entity_name":"wine","entity_version":"3"}],
			"traffic_config":{"routes":[{"served_entity_name":"a","traffic_percentage":100}]},"fallback":` + fallback + `}`
	}
	for _, circle := range []string{
		`[{"from":"a","served_entity_name":"b"},{"from":"b","served_entity_name":"a"}]`,
		`[{"from":"a","served_entity_name":"b"},{"from":"b","served_entity_name":"c"},{"from":"c","served_entity_name":"b"}]`,
		`[{"from":"c","served_entity_name":"b"},{"served_entity_name":"c"}]`,
		`[{"from":"a","served_entity_name":"b"},{"from":"b","served_entity_name":"c"},{"from":"c","served_entity_name":"a"}]`,
	} {
		s.want(400, "PUT", wine+"/config", with(circle), "closes a circle")
	}
	s.want(200, "PUT", wine+"/config", with(`[{"from":"a","served_entity_name":"b"},{"from":"b","served_entity_name":"c"},{"from":"c","answer":{}}]`))
	s.want(200, "PUT", wine+"/config", with(`[{"served_entity_name":"c"}]`))
}

// TestRateLimits: they stand beside the configuration, survive its change, and are refused where they mean nothing.
func TestRateLimits(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "Staging"}})
	s.settle("wine")
	const one = `{"rate_limits":[{"calls":100,"key":"user","renewal_period":"minute"},{"calls":5,"renewal_period":"minute"}]}`
	out := s.want(200, "PUT", wine+"/rate-limits", one)
	if dig(out, "rate_limits", 0, "calls") != 100.0 || dig(out, "rate_limits", 1, "key") != "endpoint" {
		t.Errorf("got %v", out)
	}
	if out = s.want(200, "PUT", wine+"/config", oneEntity(`"sticky":{"header":"a"}`)); dig(out, "rate_limits", 1, "calls") != 5.0 {
		t.Errorf("a new configuration lost them: %v", out)
	}
	for name, c := range map[string]struct{ body, want string }{
		"zero":         {`{"rate_limits":[{"calls":0,"renewal_period":"minute"}]}`, "rate_limits[0].calls"},
		"no calls":     {`{"rate_limits":[{"renewal_period":"minute"}]}`, "rate_limits[0].calls"},
		"fraction":     {`{"rate_limits":[{"calls":1.5,"renewal_period":"minute"}]}`, "rate_limits[0].calls"},
		"hour":         {`{"rate_limits":[{"calls":1,"renewal_period":"hour"}]}`, "rate_limits[0].renewal_period"},
		"service":      {`{"rate_limits":[{"calls":1,"key":"service_principal","renewal_period":"minute"}]}`, "rate_limits[0].key"},
		"twice":        {`{"rate_limits":[{"calls":1,"renewal_period":"minute"},{"calls":2,"key":"endpoint","renewal_period":"minute"}]}`, "rate_limits[1].key"},
		"unknown":      {`{"rate_limits":[{"calls":1,"renewal_period":"minute","principal":"x"}]}`, "unknown field rate_limits[0].principal"},
		"unknown part": {`{"limits":[]}`, "unknown field limits"},
	} {
		t.Run(name, func(t *testing.T) { s.want(400, "PUT", wine+"/rate-limits", c.body, c.want) })
	}
	if out = s.want(200, "PUT", wine+"/rate-limits", `{"rate_limits":[]}`); len(dig(out, "rate_limits").([]any)) != 0 {
		t.Errorf("got %v", out)
	}
	s.want(200, "POST", list, `{"name":"new","rate_limits":[{"calls":7,"key":"user","renewal_period":"minute"}],"config":`+oneEntity(`"config_version":0`)+`}`, `"calls":7`)
}

// TestReadyOfOneEndpoint: R02. An endpoint whose new version cannot be loaded is ready with its predecessor, and says what it lacks; one without a
// predecessor is not, and leaves the server's own readiness alone.
func TestReadyOfOneEndpoint(t *testing.T) {
	s := newServer(t)
	s.loader.breakVersion(servable.ID{Model: "wine", Version: 2}, "no file at /secret/path")
	s.loader.breakVersion(servable.ID{Model: "beer", Version: 1}, "no file")
	s.register(map[string][]string{"wine": {"Production", "None"}})
	s.settle("wine")
	s.want(200, "GET", "/ready?endpoint=wine", "", `"ready":true`)
	s.want(404, "GET", "/ready?endpoint=beer", "", "RESOURCE_DOES_NOT_EXIST")
	s.register(map[string][]string{"wine": {"Archived", "Production"}, "beer": {"Production"}})
	s.settle("wine")
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if _, out, _ := s.do("GET", "/ready?endpoint=beer", ""); strings.Contains(fmt.Sprint(out), "could not be loaded") {
			break
		}
	}
	out := s.want(200, "GET", "/ready?endpoint=wine", "", `"ready":true`, "version 2 could not be loaded")
	if strings.Contains(fmt.Sprint(out), "secret") {
		t.Errorf("the public probe names a path: %v", out)
	}
	s.want(503, "GET", "/ready?endpoint=beer", "", `"ready":false`, "version 1 could not be loaded")
	s.want(200, "GET", "/ready", "", `"ready":true`, "endpoint wine, wine-Production: version 2 could not be loaded; version 1 keeps serving")
}
