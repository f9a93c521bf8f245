package rest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// configRequest is a configuration as it was sent.
type configRequest struct {
	entities []gateway.ServedEntity // without weights; nil when only the traffic is to change
	// pinned are the version numbers that stood beside a stage or alias, by index; 0 where none did. They must agree with it.
	pinned  []int
	traffic []share // by entity name; nil when absent
	version int64   // config_version; 0 when absent
	// settings set the other parts that were sent.
	settings []func(*gateway.Config)
}

// createRequest is the body of a creation.
type createRequest struct {
	name, description string
	tags              []gateway.Tag
	config            configRequest
}

func parseCreate(body []byte) (createRequest, error) {
	o := parseObject("", body)
	r := createRequest{name: o.text("name"), description: o.text("description")}
	r.tags = parseTags(o, "tags")
	limits := parseRateLimits(o)
	refuseEndpointFields(o)
	raw := o.take("config")
	if err := o.done(); err != nil {
		return r, err
	}
	if raw == nil {
		return r, mlflow.Invalidf("config is missing: it says what the endpoint serves")
	}
	var err error
	r.config, err = parseConfig("config.", raw, r.name)
	r.config.settings = append(r.config.settings, func(c *gateway.Config) { c.RateLimits = limits })
	return r, err
}

// refuseEndpointFields refuses what an endpoint cannot have here.
func refuseEndpointFields(o *object) {
	o.refuse("ai_gateway", "there is no AI gateway")
	o.refuse("route_optimized", "every route is served the same way")
	o.refuse("budget_policy_id", "there are no budgets")
	o.refuse("usage_policy_id", "there are no usage policies")
	o.refuse("email_notifications", "no e-mail is sent")
	o.refuse("telemetry_config", "telemetry is configured for the whole server")
}

// parseConfig reads {served_entities | served_models, traffic_config, config_version}. endpoint is the name that a "name" inside must have.
func parseConfig(path string, raw []byte, endpoint string) (configRequest, error) {
	o := parseObject(path, raw)
	r := configRequest{version: o.whole("config_version")}
	if r.version < 0 {
		o.fail("config_version", "is negative")
	}
	if name := o.text("name"); name != "" && name != endpoint {
		o.fail("name", "%q is not the endpoint's name %q", clip(name), endpoint)
	}
	o.refuse("auto_capture_config", "predictions are logged for every endpoint, into tracking")
	entities, byEntity := o.list("served_entities", gateway.MaxServedEntities)
	models, byModel := o.list("served_models", gateway.MaxServedEntities)
	traffic := o.take("traffic_config")
	r.settings = parseSettings(o)
	if err := o.done(); err != nil {
		return r, err
	}
	if err := r.readEntities(path, entities, byEntity, models, byModel); err != nil {
		return r, err
	}
	if traffic == nil {
		return r, nil
	}
	var err error
	r.traffic, err = parseTraffic(path+"traffic_config.", traffic)
	return r, err
}

// readEntities reads the entities under either name; both may be there if they say the same.
func (r *configRequest) readEntities(path string, entities []json.RawMessage, byEntity bool, models []json.RawMessage, byModel bool) error {
	var old configRequest
	for i, raw := range models {
		if err := old.addEntity(parseObject(fmt.Sprintf("%sserved_models[%d].", path, i), raw), "model_name", "model_version"); err != nil {
			return err
		}
	}
	for i, raw := range entities {
		if err := r.addEntity(parseObject(fmt.Sprintf("%sserved_entities[%d].", path, i), raw), "entity_name", "entity_version"); err != nil {
			return err
		}
	}
	switch {
	case byEntity && byModel && !reflect.DeepEqual(r.entities, old.entities):
		return mlflow.Invalidf("%sserved_entities and %sserved_models contradict each other: send one of them", path, path)
	case !byEntity:
		r.entities, r.pinned = old.entities, old.pinned
	}
	if (byEntity || byModel) && r.entities == nil {
		r.entities = []gateway.ServedEntity{} // there, and empty: the rules refuse it
	}
	return nil
}

func (r *configRequest) addEntity(o *object, modelField, versionField string) error {
	e := gateway.ServedEntity{Name: o.text("name"), Model: o.text(modelField)}
	version, stage, alias := o.textOrNumber(versionField), o.text("entity_stage"), o.text("entity_alias")
	e.WorkloadSize, e.ScaleToZero = o.text("workload_size"), o.flag("scale_to_zero_enabled")
	switch e.Backend = o.text("backend"); e.Backend {
	case "auto":
		e.Backend = ""
	case "", "onnx", "python":
	default:
		o.fail("backend", "%q is not one of auto, onnx, python", clip(e.Backend))
	}
	e.Batching = batchingMode(o)
	if kind := o.text("workload_type"); kind != "" && kind != "CPU" {
		o.fail("workload_type", "%q is not supported here: only CPU", clip(kind))
	}
	switch e.WorkloadSize {
	case "", "Small", "Medium", "Large":
	default:
		o.fail("workload_size", "%q is not one of Small, Medium, Large", clip(e.WorkloadSize))
	}
	refuseEntityFields(o)
	o.ignore("state", "creator", "creation_timestamp", "reason", "stale", "serving_version", "traffic_percentage_in_effect", "batching", "served_by", "served_note")
	if e.Model == "" {
		o.fail(modelField, "is missing")
	}
	target, pinned := chooseTarget(o, versionField, version, stage, alias)
	e.Target = target
	if e.Name == "" && o.err == nil {
		e.Name = gateway.DefaultEntityName(e.Model, e.Target)
	}
	r.entities, r.pinned = append(r.entities, e), append(r.pinned, pinned)
	return o.done()
}

func refuseEntityFields(o *object) {
	const capacity = "capacity is the machine's, shared by all endpoints"
	o.refuse("external_model", "only registered models are served")
	o.refuse("foundation_model", "only registered models are served")
	o.refuse("environment_vars", "models run inside the server's own process")
	o.refuse("instance_profile_arn", "there are no instance profiles")
	for _, f := range []string{
		"burst_scaling_enabled", "min_provisioned_concurrency", "max_provisioned_concurrency",
		"min_provisioned_throughput", "max_provisioned_throughput", "provisioned_model_units",
	} {
		o.refuse(f, capacity)
	}
}

// chooseTarget reads which version is meant. A plain number beside a stage or alias is what an answer said they resolve to.
func chooseTarget(o *object, versionField, version, stage, alias string) (gateway.Selector, int) {
	var out gateway.Selector
	var pinned gateway.Selector
	var err error
	if version != "" {
		pinned, err = gateway.ParseSelector(version)
	}
	switch {
	case err != nil:
	case stage != "" && alias != "":
		o.fail("entity_alias", "and entity_stage exclude each other")
	case stage != "":
		out, err = gateway.StageSelector(stage)
	case alias != "":
		out, err = gateway.ParseSelector("@" + alias)
	case version == "":
		o.fail(versionField, "is missing: give a version number, a stage or @alias")
	default:
		return pinned, 0
	}
	if err != nil && o.err == nil {
		o.err = mlflow.Invalidf("%s: %s", o.name(versionField), plain(err))
	}
	if version != "" && pinned.Version == 0 && pinned != out {
		o.fail(versionField, "%q contradicts entity_stage or entity_alias", clip(version))
	}
	return out, pinned.Version
}

// share is a route: who gets how much.
type share struct {
	name   string
	weight gateway.Weight
}

func parseTraffic(path string, raw []byte) ([]share, error) {
	o := parseObject(path, raw)
	routes, ok := o.list("routes", gateway.MaxServedEntities)
	if err := o.done(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, mlflow.Invalidf("%sroutes is missing", path)
	}
	out := make([]share, 0, len(routes))
	for i, raw := range routes {
		r := parseObject(fmt.Sprintf("%sroutes[%d].", path, i), raw)
		name, weight := parseRoute(r)
		if slices.ContainsFunc(out, func(s share) bool { return s.name == name }) {
			r.fail("served_model_name", "%q appears twice", clip(name))
		}
		if err := r.done(); err != nil {
			return nil, err
		}
		out = append(out, share{name, weight})
	}
	return out, nil
}

func parseRoute(r *object) (string, gateway.Weight) {
	name, entity := r.text("served_model_name"), r.text("served_entity_name")
	switch {
	case name == "":
		name = entity
	case entity != "" && entity != name:
		r.fail("served_entity_name", "%q is another than served_model_name %q", clip(entity), clip(name))
	}
	if name == "" {
		r.fail("served_model_name", "is missing")
	}
	raw := r.take("traffic_percentage")
	if raw == nil {
		r.fail("traffic_percentage", "is missing")
		return name, 0
	}
	weight, err := gateway.ParsePercent(string(raw))
	if err != nil && r.err == nil {
		r.err = mlflow.Invalidf("%s: %s", r.name(""), plain(err))
	}
	return name, weight
}

func parseTags(o *object, field string) []gateway.Tag {
	list, _ := o.list(field, gateway.MaxTags)
	var out []gateway.Tag
	for i, raw := range list {
		t := parseObject(fmt.Sprintf("%s[%d].", o.name(field), i), raw)
		out = append(out, gateway.Tag{Key: t.text("key"), Value: t.text("value")})
		if err := t.done(); err != nil && o.err == nil {
			o.err = err
		}
	}
	return out
}

// apply makes the configuration that the request asks for. One with entities says everything: what it leaves out is not set. One without
// keeps the entities that the endpoint has now, and every part that it does not bring.
func (r configRequest) apply(current gateway.Config) (gateway.Config, error) {
	out := current
	if r.entities != nil {
		out = gateway.Config{RateLimits: current.RateLimits} // they stand beside the configuration, not in it
	}
	var err error
	out.ServedEntities, err = r.applyTraffic(current)
	for _, set := range r.settings {
		set(&out)
	}
	return out, err
}

// applyTraffic joins the entities with the traffic. Entities without a route get no traffic; a single entity without any routes gets all.
func (r configRequest) applyTraffic(current gateway.Config) ([]gateway.ServedEntity, error) {
	entities := r.entities
	if entities == nil {
		entities = append([]gateway.ServedEntity(nil), current.ServedEntities...)
	}
	if r.traffic == nil {
		if r.entities == nil && len(r.settings) == 0 {
			return nil, mlflow.Invalidf("the configuration holds neither served_entities nor traffic_config")
		}
		if r.entities == nil {
			return entities, nil
		}
		if len(entities) > 1 {
			return nil, mlflow.Invalidf("traffic_config is missing: with %d served_entities it must say who gets how much", len(entities))
		}
	}
	for i := range entities {
		entities[i].Weight = 0
		if r.traffic == nil {
			entities[i].Weight = gateway.FullWeight
		}
	}
	for i, route := range r.traffic {
		at := slices.IndexFunc(entities, func(e gateway.ServedEntity) bool { return e.Name == route.name })
		if at < 0 {
			return nil, mlflow.Invalidf("traffic_config.routes[%d].served_entity_name %q is not among the served_entities", i, clip(route.name))
		}
		for j := range entities { // of two with one name, which is refused by that
			if entities[j].Name == route.name {
				entities[j].Weight = route.weight
			}
		}
	}
	return entities, nil
}
