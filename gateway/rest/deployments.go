package rest

import (
	"net/url"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/wire"
)

// deploymentEndpoint is an endpoint as mlflow.deployments' client for http:// targets reads it (source: mlflow/deployments/server/config.py,
// MLflow 3.17). Every field must be there.
type deploymentEndpoint struct {
	Name  string          `json:"name"`
	Type  string          `json:"endpoint_type"`
	Model deploymentModel `json:"model"`
	URL   string          `json:"endpoint_url"`
	Limit any             `json:"limit"` // always null: there are none
}

type deploymentModel struct {
	Name     string `json:"name"`
	Provider string `json:"provider"`
}

func newDeployment(name, model string) deploymentEndpoint {
	return deploymentEndpoint{
		Name: name, Type: "invocations", Model: deploymentModel{Name: model, Provider: "sluice"},
		URL: "/endpoints/" + url.PathEscape(name) + "/invocations",
	}
}

func (h *Handler) listDeployments(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	endpoints, err := h.deps.Service.List(ctx)
	if err != nil {
		return err
	}
	out := make([]deploymentEndpoint, len(endpoints))
	for i, e := range endpoints {
		out[i] = newDeployment(e.Name, e.Config.ServedEntities[0].Model)
	}
	return wire.Send(c, deploymentsBody{out})
}

func (h *Handler) getDeployment(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	e, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	return wire.Send(c, newDeployment(e.Name, e.Config.ServedEntities[0].Model))
}
