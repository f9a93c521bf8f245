package rest

import (
	"encoding/json"
	"fmt"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway"
	"sluice/tracking/wire"
)

// rateLimitAnswer is Databricks' RateLimit.
type rateLimitAnswer struct {
	Calls  int64  `json:"calls"`
	Key    string `json:"key"`
	Period string `json:"renewal_period"`
}

// parseRateLimits reads the field rate_limits of o; nil if it is absent.
func parseRateLimits(o *object) []gateway.RateLimit {
	const most = 2 // one for each key
	list, _ := o.list("rate_limits", most)
	var out []gateway.RateLimit
	for i, raw := range list {
		l := parseObject(fmt.Sprintf("%s[%d].", o.name("rate_limits"), i), raw)
		out = append(out, parseRateLimit(l))
		o.adopt(l.done())
	}
	return out
}

func parseRateLimit(o *object) gateway.RateLimit {
	limit := gateway.RateLimit{}
	if raw := o.take("calls"); raw == nil || json.Unmarshal(raw, &limit.Calls) != nil {
		o.fail("calls", "is not a whole number")
	}
	switch key := o.text("key"); key {
	case "user":
		limit.ByUser = true
	case "", "endpoint":
	default:
		o.fail("key", "%q is not one of user, endpoint", clip(key))
	}
	if period := o.text("renewal_period"); period != "minute" {
		o.fail("renewal_period", "%q is not minute", clip(period))
	}
	return limit
}

func describeRateLimits(limits []gateway.RateLimit) []rateLimitAnswer {
	out := make([]rateLimitAnswer, 0, len(limits))
	for _, l := range limits {
		a := rateLimitAnswer{Calls: l.Calls, Key: "endpoint", Period: "minute"}
		if l.ByUser {
			a.Key = "user"
		}
		out = append(out, a)
	}
	return out
}

// putRateLimits replaces the rate limits; the rest of the configuration stays as it is.
func (h *Handler) putRateLimits(c *fiber.Ctx) error {
	ctx, cancel := deadline(c)
	defer cancel()
	body, err := wire.Body(c, maxBody)
	if err != nil {
		return err
	}
	o := parseObject("", body)
	limits := parseRateLimits(o)
	if err := o.done(); err != nil {
		return err
	}
	e, err := h.named(ctx, c)
	if err != nil {
		return err
	}
	e.Config.RateLimits = limits
	if e, err = h.deps.Service.UpdateConfig(ctx, e.Name, e.Config, e.ConfigVersion, h.deps.Who(c)); err != nil {
		return err
	}
	return wire.Send(c, rateLimitsBody{describeRateLimits(e.Config.RateLimits)})
}
