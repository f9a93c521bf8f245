package rest

import (
	"fmt"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// logs answers what happened to one served entity, oldest first, a line for each event: models run in the server's own process, so they have
// no log of their own.
func (h *Handler) logs(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	e, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	arm, err := wire.Param(c, "served")
	if err != nil {
		return err
	}
	if _, ok := e.Config.Entity(arm); !ok {
		return mlflow.Missingf("endpoint %q has no served entity %q", e.Name, clip(arm))
	}
	events, err := h.deps.Service.Events(ctx, e.Name, gateway.MaxEvents)
	if err != nil {
		return err
	}
	var text strings.Builder
	for i := len(events) - 1; i >= 0; i-- {
		if ev := events[i]; ev.Arm == arm {
			fmt.Fprintf(&text, "%s %s version=%d %s\n", time.UnixMilli(ev.TimeMS).UTC().Format(time.RFC3339), ev.Kind, ev.Version, ev.Reason)
		}
	}
	return wire.Send(c, logsBody{text.String()})
}
