package rest

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

func invocationsPath(name string) string {
	return "/serving-endpoints/" + url.PathEscape(name) + "/invocations"
}

// describeAll answers endpoints with their live state; one look at the registry covers those that the plan has not caught up with.
func (h *Handler) describeAll(ctx context.Context, endpoints []gateway.Endpoint) ([]endpointAnswer, error) {
	states := make([]gateway.State, len(endpoints))
	var late []gateway.Endpoint
	for i, e := range endpoints {
		s, ok := h.deps.Live.State(e.Name)
		states[i] = s
		if !ok || s.ConfigVersion != e.ConfigVersion || s.CreatedMS != e.CreatedMS {
			late = append(late, e)
		}
	}
	if len(late) > 0 {
		res, err := h.deps.Service.Resolve(ctx, late...)
		if err != nil {
			return nil, err
		}
		for i, e := range endpoints {
			if r, ok := res[e.Name]; ok {
				states[i] = behind(e, states[i], r)
			}
		}
	}
	out := make([]endpointAnswer, len(endpoints))
	for i, e := range endpoints {
		out[i] = describe(e, states[i])
		h.addBatching(&out[i])
	}
	return out, nil
}

func (h *Handler) send(ctx context.Context, c *fiber.Ctx, e gateway.Endpoint) error {
	all, err := h.describeAll(ctx, []gateway.Endpoint{e})
	if err != nil {
		return err
	}
	return wire.Send(c, all[0])
}

func (h *Handler) list(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	endpoints, err := h.deps.Service.List(ctx)
	if err != nil {
		return err
	}
	all, err := h.describeAll(ctx, endpoints)
	if err != nil {
		return err
	}
	return wire.Send(c, endpointsBody{all})
}

func (h *Handler) get(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	e, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	return h.send(ctx, c, e)
}

// named returns the endpoint of the path.
func (h *Handler) named(ctx context.Context, c *fiber.Ctx) (gateway.Endpoint, error) {
	name, err := wire.Param(c, "name")
	if err != nil {
		return gateway.Endpoint{}, err
	}
	return h.deps.Service.Get(ctx, name)
}

func (h *Handler) create(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	body, err := wire.Body(c, maxBody)
	if err != nil {
		return err
	}
	r, err := parseCreate(body)
	if err != nil {
		return err
	}
	if r.config.version != 0 {
		return mlflow.Invalidf("config.config_version is for updates: a new endpoint has none")
	}
	config, err := r.config.apply(gateway.Config{})
	if err != nil {
		return err
	}
	e := gateway.Endpoint{Name: r.name, Description: r.description, Tags: r.tags, Config: config, Creator: h.deps.Who(c)}
	if err := h.checkPinned(ctx, r.config, e); err != nil {
		return err
	}
	if e, err = h.deps.Service.Create(ctx, e); err != nil {
		return err
	}
	return h.send(ctx, c, e)
}

func (h *Handler) updateConfig(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	body, err := wire.Body(c, maxBody)
	if err != nil {
		return err
	}
	current, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	r, err := parseConfig("", body, current.Name)
	if err != nil {
		return err
	}
	config, err := r.apply(current.Config)
	if err != nil {
		return err
	}
	if r.entities == nil && r.version == 0 {
		r.version = current.ConfigVersion // the entities were read just now: nobody may have changed them since
	}
	if err := h.checkPinned(ctx, r, gateway.Endpoint{Name: current.Name, Config: config}); err != nil {
		return err
	}
	e, err := h.deps.Service.UpdateConfig(ctx, current.Name, config, r.version, h.deps.Who(c))
	if err != nil {
		return err
	}
	return h.send(ctx, c, e)
}

// checkPinned refuses a version number beside a stage or alias that means another version.
func (h *Handler) checkPinned(ctx context.Context, r configRequest, e gateway.Endpoint) error {
	asked := false
	for _, v := range r.pinned {
		asked = asked || v > 0
	}
	if !asked {
		return nil
	}
	res, err := h.deps.Service.Resolve(ctx, e)
	if err != nil {
		return err
	}
	for i, v := range r.pinned {
		if now := res[e.Name][i].Version; v > 0 && now > 0 && now != v {
			return mlflow.Invalidf("served_entities[%d].entity_version %d contradicts %s, which is version %d: send one of them",
				i, v, e.Config.ServedEntities[i].Target, now)
		}
	}
	return nil
}

func (h *Handler) delete(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	name, err := wire.Param(c, "name")
	if err != nil {
		return err
	}
	if err := h.deps.Service.Delete(ctx, name); err != nil {
		return err
	}
	return wire.Empty(c)
}

func (h *Handler) updateTags(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	name, err := wire.Param(c, "name")
	if err != nil {
		return err
	}
	body, err := wire.Body(c, maxBody)
	if err != nil {
		return err
	}
	o := parseObject("", body)
	set := parseTags(o, "add_tags")
	var remove []string
	raws, _ := o.list("delete_tags", gateway.MaxTags)
	for i, raw := range raws {
		key := parseObject("", []byte(`{"key":`+string(raw)+`}`)).text("key")
		if key == "" {
			o.fail("delete_tags", "[%d] is not a key", i)
		}
		remove = append(remove, key)
	}
	if err := o.done(); err != nil {
		return err
	}
	tags, err := h.deps.Service.UpdateTags(ctx, name, set, remove)
	if err != nil {
		return err
	}
	return wire.Send(c, tagsBody{describeTags(tags)})
}

func (h *Handler) metrics(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	e, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	if h.deps.Metrics == nil {
		return mlflow.Errorf(mlflow.NotImplemented, "Metrics are switched off.")
	}
	var text bytes.Buffer
	if err := h.deps.Metrics(ctx, e.Name, &text); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
	return c.Send(text.Bytes())
}

// buildLogs answers what building the environment of the version that a served entity means said; databricks-sdk's build_logs.
func (h *Handler) buildLogs(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	e, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	name, err := wire.Param(c, "served")
	if err != nil {
		return err
	}
	i := slices.IndexFunc(e.Config.ServedEntities, func(s gateway.ServedEntity) bool { return s.Name == name })
	if i < 0 {
		return mlflow.Missingf("Endpoint %s serves nothing of the name %s.", mlflow.Repr(e.Name), mlflow.Repr(name))
	}
	resolved, err := h.deps.Service.Resolve(ctx, e)
	if err != nil {
		return err
	}
	version := resolved[e.Name][i].Version
	text, ok := h.deps.BuildLog(e.Config.ServedEntities[i].Model, version)
	if !ok {
		text = fmt.Sprintf("No environment was built for version %d of %s.\n", version, e.Config.ServedEntities[i].Model)
	}
	return wire.Send(c, logsBody{text})
}

type eventAnswer struct {
	Kind    gateway.EventKind `json:"kind"`
	Arm     string            `json:"served_entity_name,omitempty"`
	Version string            `json:"version,omitempty"`
	Reason  string            `json:"reason"`
	TimeMS  int64             `json:"timestamp"`
}

func (h *Handler) events(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	name, err := wire.Param(c, "name")
	if err != nil {
		return err
	}
	var q struct {
		MaxResults int `json:"max_results"`
	}
	if err := wire.Bind(c, &q); err != nil {
		return err
	}
	events, err := h.deps.Service.Events(ctx, name, q.MaxResults)
	if err != nil {
		return err
	}
	out := make([]eventAnswer, len(events))
	for i, e := range events {
		out[i] = eventAnswer{e.Kind, e.Arm, number(e.Version), e.Reason, e.TimeMS}
	}
	return wire.Send(c, eventsBody{out})
}
