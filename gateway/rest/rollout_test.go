package rest_test

import (
	"encoding/json"
	"testing"
)

// staged is a configuration of Production with a plan.
func staged(plan string) string {
	return `{"served_entities":[{"name":"a","entity_name":"wine","entity_stage":"Production"}],"rollout":` + plan + `}`
}

func TestRolloutPlanComesBack(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "Staging"}})
	const full = `{"steps":[{"set_weight":0.5},{"analyse":{"min_requests":500,"duration":"5m0s"}},{"set_weight":33.33},{"pause":{"duration":"1h30m0s"}},{"pause":{}}],
		"analysis":{"metrics":[{"name":"error_rate","max_increase":0.01},{"name":"client_error_rate","max_increase":0.02},{"name":"latency_ratio","quantile":0.99,"max_ratio":2},
		{"name":"drift","max_shift":0.2}],"false_rollback":0.01},"bake_time":"10m0s","keep_warm":"1h0m0s"}`
	out := s.want(200, "PUT", wine+"/config", staged(full))
	if got, _ := json.Marshal(dig(out, "config", "rollout")); string(got) != compact(t, full) {
		t.Errorf("got  %s\nwant %s", got, compact(t, full))
	}
	config, _ := json.Marshal(dig(out, "config"))
	again := s.want(200, "PUT", wine+"/config", string(config))
	if got, _ := json.Marshal(dig(again, "config", "rollout")); string(got) != compact(t, full) {
		t.Errorf("sent back: got %s", got)
	}
	const short = `{"steps":[{"set_weight":10}]}`
	const filled = `{"steps":[{"set_weight":10},{"analyse":{"min_requests":500}}],"analysis":{"metrics":[{"name":"error_rate","max_increase":0.005},
		{"name":"latency_ratio","quantile":0.95,"max_ratio":1.5}],"false_rollback":0.005}}`
	out = s.want(200, "PUT", wine+"/config", staged(short))
	if got, _ := json.Marshal(dig(out, "config", "rollout")); string(got) != compact(t, filled) {
		t.Errorf("got  %s\nwant %s", got, compact(t, filled))
	}
}

func TestBadRolloutPlans(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "Staging"}})
	s.settle("wine")
	step := func(text string) string { return `{"steps":[{"set_weight":10},` + text + `]}` }
	metric := func(text string) string { return `{"steps":[{"set_weight":10}],"analysis":{"metrics":[` + text + `]}}` }
	for name, c := range map[string]struct{ plan, want string }{
		"no object":          {`[]`, "rollout is not a JSON object"},
		"no steps":           {`{}`, "rollout.steps is empty"},
		"empty steps":        {`{"steps":[]}`, "rollout.steps is empty"},
		"unknown field":      {`{"steps":[{"set_weight":10}],"stages":1}`, "unknown field rollout.stages"},
		"backwards":          {step(`{"set_weight":5}`), "rollout.steps[1].set_weight 5 does not rise above 10"},
		"the same again":     {step(`{"set_weight":10}`), "rollout.steps[1].set_weight 10 does not rise above 10"},
		"too much":           {step(`{"set_weight":101}`), "rollout.steps[1].set_weight 101 is not a percentage"},
		"no weight":          {`{"steps":[{"set_weight":0}]}`, "rollout.steps[0].set_weight is not above 0"},
		"too fine":           {`{"steps":[{"set_weight":0.001}]}`, "rollout.steps[0].set_weight 0.001 is not a percentage"},
		"only pauses":        {`{"steps":[{"pause":{}}]}`, "rollout.steps has no set_weight"},
		"analyse nothing":    {`{"steps":[{"analyse":{}},{"set_weight":10}]}`, "rollout.steps[0].analyse comes before any set_weight or shadow"},
		"two in one":         {step(`{"set_weight":20,"pause":{}}`), "rollout.steps[1] holds 2 fields"},
		"none in one":        {step(`{}`), "rollout.steps[1] holds 0 fields"},
		"unknown step":       {step(`{"wait":1}`), "unknown field rollout.steps[1].wait"},
		"bad duration":       {step(`{"pause":{"duration":"soon"}}`), "rollout.steps[1].pause.duration \\\"soon\\\" is not a duration"},
		"negative duration":  {step(`{"pause":{"duration":"-1s"}}`), "rollout.steps[1].pause.duration -1s"},
		"endless":            {step(`{"pause":{"duration":"100000h"}}`), "rollout.steps[1].pause.duration"},
		"shadow too late":    {step(`{"shadow":{"duration":"1m"}}`), "rollout.steps[1].shadow comes after a set_weight"},
		"shadow of nobody":   {`{"steps":[{"shadow":{"percentage":0,"duration":"1m"}},{"set_weight":10}]}`, "rollout.steps[0].shadow.percentage"},
		"shadow for no time": {`{"steps":[{"shadow":{}},{"set_weight":10}]}`, "rollout.steps[0].shadow.duration"},
		"zero requests":      {step(`{"analyse":{"min_requests":0}}`), "rollout.steps[1].analyse.min_requests"},
		"few requests":       {step(`{"analyse":{"min_requests":19}}`), "rollout.steps[1].analyse.min_requests 19 is not between 20 and 10000000"},
		"many requests":      {step(`{"analyse":{"min_requests":10000001}}`), "rollout.steps[1].analyse.min_requests"},
		"unknown metric":     {metric(`{"name":"luck"}`), "rollout.analysis.metrics[0].name"},
		"metric twice":       {metric(`{"name":"drift"},{"name":"drift"}`), "rollout.analysis.metrics[1].name \\\"drift\\\" appears twice"},
		"other's limit":      {metric(`{"name":"error_rate","max_ratio":2}`), "unknown field rollout.analysis.metrics[0].max_ratio"},
		"wide tolerance":     {metric(`{"name":"error_rate","max_increase":0.6}`), "rollout.analysis.metrics[0].max_increase"},
		"narrow ratio":       {metric(`{"name":"latency_ratio","max_ratio":0.5}`), "rollout.analysis.metrics[0].max_ratio"},
		"quantile":           {metric(`{"name":"latency_ratio","quantile":1}`), "rollout.analysis.metrics[0].quantile"},
		"false rollbacks":    {`{"steps":[{"set_weight":10}],"analysis":{"false_rollback":1}}`, "rollout.analysis.false_rollback"},
		"negative bake time": {`{"steps":[{"set_weight":10}],"bake_time":"-1s"}`, "rollout.bake_time"},
		"long warmth":        {`{"steps":[{"set_weight":10}],"keep_warm":"721h"}`, "rollout.keep_warm"},
	} {
		t.Run(name, func(t *testing.T) {
			s.want(400, "PUT", wine+"/config", staged(c.plan), c.want, "INVALID_PARAMETER_VALUE")
		})
	}
	s.want(400, "PUT", wine+"/config", oneEntity(`"rollout":{"steps":[{"set_weight":10}]}`), "rollout can never start")
	if out := s.settle("wine"); dig(out, "implicit") != true {
		t.Errorf("a refused configuration left a trace: %v", out)
	}
}
