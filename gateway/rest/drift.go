package rest

import (
	"encoding/json"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway"
	"sluice/gateway/drift"
	"sluice/tracking/wire"
)

// driftAnswer is how an endpoint is compared with what it was, as it is sent and answered; what is left out is the default.
type driftAnswer struct {
	Off          bool    `json:"off,omitempty"`
	Window       string  `json:"window,omitempty"`
	MinRows      int64   `json:"min_rows,omitempty"`
	Baseline     string  `json:"baseline,omitempty"`
	BaselineRows int64   `json:"baseline_rows,omitempty"`
	MaxPSI       float64 `json:"max_psi,omitempty"`
	MaxKS        float64 `json:"max_ks,omitempty"`
}

func parseDrift(parent *object, raw json.RawMessage) func(*gateway.Config) {
	o := parseObject(parent.name("drift")+".", raw)
	d := gateway.Drift{Off: o.flag("off"), Window: o.duration("window"), MinRows: o.whole("min_rows"), Baseline: o.text("baseline"), BaselineRows: o.whole("baseline_rows")}
	d.MaxPSI, _ = o.number("max_psi")
	d.MaxKS, _ = o.number("max_ks")
	parent.adopt(o.done())
	return func(c *gateway.Config) { c.Drift = d }
}

func describeDrift(c *gateway.Config, a *settingsAnswer) {
	if d := c.Drift; d != (gateway.Drift{}) {
		a.Drift = &driftAnswer{d.Off, durationText(d.Window), d.MinRows, d.Baseline, d.BaselineRows, d.MaxPSI, d.MaxKS}
	}
}

type (
	driftBody struct {
		Versions []driftVersion `json:"versions"`
	}
	driftVersion struct {
		Model   string `json:"model_name"`
		Version string `json:"model_version"`
		drift.Report
	}
)

// driftRoutes is the row of drift; none where nobody looks at it.
func (h *Handler) driftRoutes() []wire.Route {
	if h.deps.Drift == nil {
		return nil
	}
	return []wire.Route{{Method: "GET", Path: base + "/:name/drift", Permission: wire.Read, Audit: "gateway.drift.get", Handler: h.drift}}
}

func (h *Handler) drift(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	e, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	out := driftBody{Versions: []driftVersion{}}
	for _, r := range h.deps.Drift(e.Name) {
		out.Versions = append(out.Versions, driftVersion{r.Model, number(r.Version), r.Report})
	}
	return wire.Send(c, out)
}
