package main

import (
	"context"
	"sync"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/openapi"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/tracking/wire"
)

// describeAPI returns the row that answers the OpenAPI document of the rows and of itself. The document is made when somebody asks for it:
// it takes a third of all that a start allocates.
func describeAPI(served []wire.Route) wire.Route {
	row := wire.Route{Method: fiber.MethodGet, Path: "/openapi.json", Permission: wire.Read, Audit: "gateway.openapi.read"}
	document := sync.OnceValues(func() ([]byte, error) {
		return openapi.Document(version, append(served[:len(served):len(served)], row))
	})
	row.Handler = func(c *fiber.Ctx) error {
		text, err := document()
		if err != nil {
			return err
		}
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.Send(text)
	}
	return row
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
