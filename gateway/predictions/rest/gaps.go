package rest

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// gapParameters may all be left out.
var gapParameters = []string{"from", "to", "limit"}

// gapsBody is {"gaps": […]}, the newest first.
type gapsBody struct {
	Gaps []predlog.Gap `json:"gaps"`
}

// listGaps answers when records may be missing because a server was cut off.
func (h *Handler) listGaps(c *fiber.Ctx) error {
	values, err := url.ParseQuery(string(c.Request().URI().QueryString()))
	if err != nil {
		return mlflow.Invalidf("The query string is malformed.")
	}
	for name, all := range values {
		if !slices.Contains(gapParameters, name) || len(all) > 1 {
			return mlflow.Invalidf("Parameter %q is unknown or given more than once; there are %s.", clip(name), strings.Join(gapParameters, ", "))
		}
	}
	p := parser{values: values}
	from, to, limit := p.time("from"), p.time("to"), int(p.number("limit", 1, predictions.MaxGaps))
	if p.err != nil {
		return p.err
	}
	if limit == 0 {
		limit = DefaultLimit
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), lookupTimeout)
	defer cancel()
	gaps, err := h.reader.Gaps(ctx, from, to, limit)
	if err != nil {
		return err
	}
	return wire.Send(c, gapsBody{gaps})
}
