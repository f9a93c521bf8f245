package rest

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway"
	"sluice/gateway/rollout"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// Rollouts is the slice of rollout.Controller that the control API needs.
type Rollouts interface {
	Start(ctx context.Context, q rollout.StartRequest) (gateway.Rollout, error)
	Promote(ctx context.Context, q rollout.PromoteRequest) (gateway.Rollout, error)
	Abort(ctx context.Context, endpoint, who string) (gateway.Rollout, error)
	Status(ctx context.Context, endpoint string) (rollout.Status, error)
	History(ctx context.Context, endpoint string, limit int) ([]gateway.Rollout, error)
	Describe(r gateway.Rollout) rollout.Status
}

// rolloutRoutes are the rows of rollouts; none where nobody carries them out.
func (h *Handler) rolloutRoutes() []wire.Route {
	if h.deps.Rollouts == nil {
		return nil
	}
	const one = base + "/:name/rollout"
	return []wire.Route{
		{Method: "POST", Path: one, Permission: wire.Manage, Audit: "gateway.rollout.start", Handler: h.startRollout},
		{Method: "GET", Path: one, Permission: wire.Read, Audit: "gateway.rollout.get", Handler: h.getRollout},
		{Method: "POST", Path: one + "/promote", Permission: wire.Manage, Audit: "gateway.rollout.promote", Handler: h.promoteRollout},
		{Method: "POST", Path: one + "/abort", Permission: wire.Manage, Audit: "gateway.rollout.abort", Handler: h.abortRollout},
		{Method: "GET", Path: base + "/:name/rollouts", Permission: wire.Read, Audit: "gateway.rollout.history", Handler: h.listRollouts},
		{Method: "GET", Path: "/api/2.0/sluice/rollouts", Permission: wire.Read, Audit: "gateway.rollout.list", Handler: h.listRollouts},
	}
}

func (h *Handler) startRollout(c *fiber.Ctx) error {
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
	q, err := parseStart(body)
	if err != nil {
		return err
	}
	q.Endpoint, q.Creator = name, h.deps.Who(c)
	r, err := h.deps.Rollouts.Start(ctx, q)
	return h.sendRollout(c, r, err)
}

// parseStart reads {version, served_entity_name} and a plan beside them; without steps the endpoint's plan is meant.
func parseStart(body []byte) (rollout.StartRequest, error) {
	o := parseObject("", body)
	var q rollout.StartRequest
	version := o.textOrNumber("version")
	q.Arm = o.text("served_entity_name")
	if o.err != nil {
		return q, o.err
	}
	if version == "" {
		return q, mlflow.Invalidf("version is missing: give a version number, a stage or @alias")
	}
	var err error
	if q.Version, err = gateway.ParseSelector(version); err != nil {
		return q, mlflow.Invalidf("version: %s", plain(err))
	}
	if len(o.fields) == 0 {
		return q, nil
	}
	plan, err := parsePlanFields(o)
	q.Plan = &plan
	return q, err
}

func (h *Handler) promoteRollout(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	name, o, err := order(c)
	if err != nil {
		return err
	}
	q := rollout.PromoteRequest{Endpoint: name, Full: o.flag("full"), Who: h.deps.Who(c)}
	if _, there := o.fields["step"]; there {
		step := int(o.whole("step"))
		q.Step = &step
	}
	if err := o.done(); err != nil {
		return err
	}
	r, err := h.deps.Rollouts.Promote(ctx, q)
	return h.sendRollout(c, r, err)
}

func (h *Handler) abortRollout(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	name, o, err := order(c)
	if err != nil {
		return err
	}
	if err := o.done(); err != nil {
		return err
	}
	r, err := h.deps.Rollouts.Abort(ctx, name, h.deps.Who(c))
	return h.sendRollout(c, r, err)
}

// order reads the endpoint's name and a body that may be empty.
func order(c *fiber.Ctx) (string, *object, error) {
	name, err := wire.Param(c, "name")
	if err != nil {
		return "", nil, err
	}
	body, err := wire.Body(c, maxBody)
	if len(body) == 0 {
		body = []byte("{}")
	}
	return name, parseObject("", body), err
}

func (h *Handler) getRollout(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	name, err := wire.Param(c, "name")
	if err != nil {
		return err
	}
	s, err := h.deps.Rollouts.Status(ctx, name)
	if err != nil {
		return err
	}
	return wire.Send(c, describeRollout(s))
}

// listRollouts answers the rollouts of one endpoint, or of all.
func (h *Handler) listRollouts(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	name := ""
	if c.Params("name") != "" {
		var err error
		if name, err = wire.Param(c, "name"); err != nil {
			return err
		}
	}
	var q struct {
		MaxResults int `json:"max_results"`
	}
	if err := wire.Bind(c, &q); err != nil {
		return err
	}
	found, err := h.deps.Rollouts.History(ctx, name, q.MaxResults)
	if err != nil {
		return err
	}
	out := make([]rolloutStatus, len(found))
	for i, r := range found {
		out[i] = describeRollout(h.deps.Rollouts.Describe(r))
	}
	return wire.Send(c, rolloutsBody{out})
}

func (h *Handler) sendRollout(c *fiber.Ctx, r gateway.Rollout, err error) error {
	if err != nil {
		return err
	}
	return wire.Send(c, describeRollout(h.deps.Rollouts.Describe(r)))
}

// rolloutStatus is a rollout as it is answered.
type rolloutStatus struct {
	ID         string                `json:"id"`
	Endpoint   string                `json:"endpoint"`
	Arm        string                `json:"served_entity_name"`
	CanaryArm  string                `json:"canary_served_entity_name"`
	Model      string                `json:"entity_name"`
	Stable     string                `json:"stable_version"`
	Canary     string                `json:"canary_version"`
	Origin     gateway.RolloutOrigin `json:"origin"`
	Creator    string                `json:"creator,omitempty"`
	Phase      gateway.RolloutPhase  `json:"phase"`
	Active     bool                  `json:"active"`
	Step       int                   `json:"step"` // index into plan.steps; their number when they are done
	StepText   string                `json:"step_description,omitempty"`
	Weight     gateway.Weight        `json:"canary_percentage"`
	Shadow     gateway.Weight        `json:"shadow_percentage"`
	Verdict    rollout.Verdict       `json:"verdict,omitempty"`
	Reason     string                `json:"reason,omitempty"`
	StartedMS  int64                 `json:"start_time"`
	StepMS     int64                 `json:"step_start_time"`
	UpdatedMS  int64                 `json:"last_updated_timestamp"`
	EndedMS    int64                 `json:"end_time,omitempty"`
	Driver     string                `json:"driver,omitempty"` // the process that carries it out; others follow
	Revision   int64                 `json:"revision"`
	Plan       rolloutAnswer         `json:"plan"`
	CanarySeen totalsAnswer          `json:"canary"`
	StableSeen totalsAnswer          `json:"stable"`
	Metrics    []findingAnswer       `json:"metrics"`
}

type totalsAnswer struct {
	Requests     uint64 `json:"requests"`
	Errors       uint64 `json:"errors"`
	ClientErrors uint64 `json:"client_errors"`
	Shed         uint64 `json:"shed"`
}

// findingAnswer tells latencies in seconds.
type findingAnswer struct {
	Name         gateway.MetricName `json:"name"`
	Verdict      rollout.Verdict    `json:"verdict"`
	Canary       float64            `json:"canary"`
	Stable       float64            `json:"stable"`
	Limit        float64            `json:"limit"`
	CanarySample uint64             `json:"canary_sample"`
	StableSample uint64             `json:"stable_sample"`
	Evidence     float64            `json:"evidence"`
	Threshold    float64            `json:"threshold"`
	Reason       string             `json:"reason"`
}

func describeRollout(s rollout.Status) rolloutStatus {
	r := s.Rollout
	a := rolloutStatus{
		ID: r.ID, Endpoint: r.Endpoint, Arm: r.Arm, CanaryArm: r.CanaryArm, Model: r.Model, Stable: number(r.Stable), Canary: number(r.Canary),
		Origin: r.Origin, Creator: r.Creator, Phase: r.Phase, Active: r.Phase.Active(), Step: r.Step, Weight: r.Weight, Shadow: r.Shadow,
		Verdict: s.Verdict, Reason: s.Reason, StartedMS: r.StartedMS, StepMS: r.StepSinceMS, UpdatedMS: r.UpdatedMS, EndedMS: r.EndedMS,
		Driver: r.Driver, Revision: r.Revision, Plan: describePlan(r.Plan), CanarySeen: describeTotals(s.Canary), StableSeen: describeTotals(s.Stable),
		Metrics: make([]findingAnswer, len(s.Findings)),
	}
	if r.Phase == gateway.RolloutRunning && r.Step < len(r.Plan.Steps) {
		a.StepText = r.Plan.Steps[r.Step].Words()
	}
	for i, f := range s.Findings {
		a.Metrics[i] = findingAnswer{
			f.Metric.Name, f.Verdict, f.Canary, f.Stable, f.Limit, f.CanarySample, f.StableSample, f.Evidence, f.Threshold, f.Reason,
		}
	}
	return a
}

func describeTotals(t rollout.Totals) totalsAnswer {
	return totalsAnswer{t.Requests, t.Errors, t.ClientErrors, t.Shed}
}
