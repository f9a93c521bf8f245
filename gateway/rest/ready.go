package rest

import (
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// mostReasons bounds the reasons that a probe is told.
const mostReasons = 20

// readyAnswer is the answer of the readiness probe.
type readyAnswer struct {
	Ready bool `json:"ready"`
	// Waiting is what is waited for; WaitingMore counts what did not fit.
	Waiting     []string `json:"waiting"`
	WaitingMore int      `json:"waiting_more"`
	// Degraded could not be loaded although something else answers in its place; it does not count.
	Degraded []string `json:"degraded,omitempty"`
}

// ready answers 200 when the server, or the endpoint that the query names, may get traffic and 503 before, with what is waited for.
func (h *Handler) ready(c *fiber.Ctx) error {
	if name := c.Query("endpoint"); name != "" {
		return h.endpointReady(c, strings.Clone(name))
	}
	a := readyAnswer{Degraded: h.deps.Live.Degraded()}
	a.Ready, a.Waiting = h.deps.Live.Ready()
	return sendReady(c, a)
}

// endpointReady asks for one endpoint: it is ready when every arm with traffic answers, with the version that it means or with the one before
// where that cannot be loaded.
func (h *Handler) endpointReady(c *fiber.Ctx, name string) error {
	s, ok := h.deps.Live.State(name)
	if !ok {
		return mlflow.Missingf("endpoint %q does not exist", clip(name))
	}
	a := readyAnswer{Ready: s.Ready}
	if h.deps.Leaving() {
		a.Ready, a.Waiting = false, []string{"the server is shutting down"}
	}
	for _, arm := range s.Arms {
		if arm.Down != "" && arm.Weight > 0 {
			a.Ready = false
			a.Waiting = append(a.Waiting, fmt.Sprintf("%s: version %d executes nothing at present", arm.Name, arm.Serving))
		}
		switch {
		case arm.State == gateway.LoadFailed && (arm.Serving > 0 || s.Held):
			a.Degraded = append(a.Degraded, fmt.Sprintf("%s: version %d could not be loaded", arm.Name, arm.Want))
		case arm.State == gateway.Creating && arm.Serving == 0 && !s.Held, arm.State == gateway.LoadFailed:
			a.Ready = false
			a.Waiting = append(a.Waiting, fmt.Sprintf("%s: version %d %s", arm.Name, arm.Want, waits[arm.State]))
		}
	}
	return sendReady(c, a)
}

// waits says why an arm is waited for, without what a reason may name: the probe is public.
var waits = map[gateway.Deployment]string{gateway.Creating: "is being loaded", gateway.LoadFailed: "could not be loaded"}

func sendReady(c *fiber.Ctx, a readyAnswer) error {
	a.WaitingMore = max(len(a.Waiting)-mostReasons, 0)
	a.Waiting = a.Waiting[:len(a.Waiting)-a.WaitingMore]
	if a.Waiting == nil {
		a.Waiting = []string{}
	}
	a.Degraded = a.Degraded[:min(len(a.Degraded), mostReasons)]
	if !a.Ready {
		c.Status(fiber.StatusServiceUnavailable)
	}
	return wire.Send(c, a)
}
