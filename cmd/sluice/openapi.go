package main

import (
	"context"
	"maps"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/openapi"
	predictionsrest "sluice/gateway/predictions/rest"
	gatewayrest "sluice/gateway/rest"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/tracking/wire"
)

// describeAPI returns the row that answers the OpenAPI document of the rows and of itself.
func describeAPI(served []wire.Route) (wire.Route, error) {
	row := wire.Route{Method: fiber.MethodGet, Path: "/openapi.json", Permission: wire.Read, Audit: "gateway.openapi.read"}
	bodies := gatewayrest.Bodies()
	maps.Copy(bodies, predictionsrest.Bodies())
	document, err := openapi.Document(version, append(served[:len(served):len(served)], row), bodies)
	row.Handler = func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.Send(document)
	}
	return row, err
}

// signature is what a loaded version takes and answers.
func (a *App) signature(ctx context.Context, model string, version int) (*mlmodel.Signature, error) {
	handle, err := a.servables.Await(ctx, servable.ID{Model: model, Version: version})
	if err != nil {
		return nil, err
	}
	defer handle.Release()
	if m := handle.Model(); m != nil {
		return m.Signature, nil
	}
	return nil, nil
}
