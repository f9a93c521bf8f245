package rest

import (
	"context"
	"math"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/wire"
)

func (a *API) traceCorrelationRoutes() []wire.Route {
	return wire.API("3.0", fiber.MethodPost, "/traces/calculate-filter-correlation", wire.Read, "tracking.trace.correlation", call(a, a.traceCorrelation))
}

type traceCorrelationRequest struct {
	ExperimentIDs []string `json:"experiment_ids" wire:"required"`
	First         string   `json:"filter_string1" wire:"required"`
	Second        string   `json:"filter_string2" wire:"required"`
	Base          string   `json:"base_filter"`
}

// traceCorrelationAnswer leaves out what is not a number.
type traceCorrelationAnswer struct {
	NPMI     *float64 `json:"npmi,omitempty"`
	Smoothed *float64 `json:"npmi_smoothed,omitempty"`
	First    int64    `json:"filter1_count"`
	Second   int64    `json:"filter2_count"`
	Joint    int64    `json:"joint_count"`
	Total    int64    `json:"total_count"`
}

func (a *API) traceCorrelation(ctx context.Context, q *traceCorrelationRequest) (any, error) {
	c, err := a.tracking.CorrelateTraces(ctx, tracking.TraceCorrelationQuery{ExperimentIDs: q.ExperimentIDs, First: q.First, Second: q.Second, Base: q.Base})
	return traceCorrelationAnswer{finite(c.NPMI), finite(c.Smoothed), c.First, c.Second, c.Joint, c.Total}, err
}

func finite(f float64) *float64 {
	if math.IsNaN(f) {
		return nil
	}
	return &f
}
