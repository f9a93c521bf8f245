package rest_test

import (
	"encoding/json"
	"testing"
)

// twoEntities is a configuration of two versions, the second one without traffic, with further parts.
func twoEntities(parts string) string {
	return `{"served_entities":[{"name":"a","entity_name":"wine","entity_version":"1"},{"name":"b","entity_name":"wine","entity_version":"2"}],
		"traffic_config":{"routes":[{"served_entity_name":"a","traffic_percentage":100},{"served_entity_name":"b","traffic_percentage":0}]},` + parts + `}`
}

func TestShadowsComeBack(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "Staging"}})
	const shadows = `[{"served_entity_name":"b","percentage":12.5}]`
	out := s.want(200, "PUT", wine+"/config", twoEntities(`"shadows":`+shadows))
	for range 2 { // what is answered can be sent back
		if got, _ := json.Marshal(dig(out, "config", "shadows")); string(got) != compact(t, shadows) {
			t.Fatalf("got %s, want %s", got, shadows)
		}
		config, _ := json.Marshal(dig(out, "config"))
		out = s.want(200, "PUT", wine+"/config", string(config))
	}
	s.want(200, "PUT", wine+"/config", `{"shadows":[{"served_entity_name":"b","percentage":100}]}`, `"percentage":100`, `"entity_version":"2"`)
	if gone := s.want(200, "PUT", wine+"/config", twoEntities(`"config_version":0`)); dig(gone, "config", "shadows") != nil {
		t.Error("a configuration without it kept it")
	}
}

// TestBadShadows: 400 with the field's path, and nothing changes.
func TestBadShadows(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production", "Staging"}})
	s.settle("wine")
	for name, c := range map[string]struct{ parts, want string }{
		"no list":        {`"shadows":{}`, "shadows is not a list"},
		"no object":      {`"shadows":["b"]`, "shadows[0] is not a JSON object"},
		"unknown field":  {`"shadows":[{"served_entity_name":"b","percentage":1,"weight":1}]`, "unknown field shadows[0].weight"},
		"no entity":      {`"shadows":[{"percentage":1}]`, "shadows[0].served_entity_name is missing"},
		"unknown entity": {`"shadows":[{"served_entity_name":"x","percentage":1}]`, `shadows[0].served_entity_name \"x\" is not among`},
		"no percentage":  {`"shadows":[{"served_entity_name":"b"}]`, "shadows[0].percentage is missing"},
		"too much":       {`"shadows":[{"served_entity_name":"b","percentage":100.01}]`, "shadows[0].percentage"},
		"negative":       {`"shadows":[{"served_entity_name":"b","percentage":-1}]`, "shadows[0].percentage"},
		"three decimals": {`"shadows":[{"served_entity_name":"b","percentage":0.001}]`, "shadows[0].percentage"},
		"no number":      {`"shadows":[{"served_entity_name":"b","percentage":"many"}]`, "shadows[0].percentage"},
		"of itself":      {`"shadows":[{"served_entity_name":"a","percentage":10}]`, "shadow of itself"},
		"twice":          {`"shadows":[{"served_entity_name":"b","percentage":1},{"served_entity_name":"b","percentage":2}]`, "shadows[1].served_entity_name"},
	} {
		t.Run(name, func(t *testing.T) {
			s.want(400, "PUT", wine+"/config", twoEntities(c.parts), c.want, "INVALID_PARAMETER_VALUE")
		})
	}
}
