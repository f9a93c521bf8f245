package telemetry

import (
	"net/http"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/common/expfmt"

	"sluice/tracking/mlflow"
)

// MetricsHandler answers with every metric as Prometheus text, or OpenMetrics where Accept asks for it. Past four scrapes at once it
// answers 503.
func (t *Telemetry) MetricsHandler() fiber.Handler {
	return func(c *fiber.Ctx) error {
		select {
		case t.scrapes <- struct{}{}:
			defer func() { <-t.scrapes }()
		default:
			return mlflow.Errorf(mlflow.TemporarilyUnavailable, "%d scrapes are under way already", maxScrapes)
		}
		families, err := t.registry.Gather()
		if err != nil {
			return mlflow.Errorf(mlflow.InternalError, "metrics cannot be read: %w", err)
		}
		format := expfmt.NegotiateIncludingOpenMetrics(http.Header{"Accept": {c.Get(fiber.HeaderAccept)}})
		c.Set(fiber.HeaderContentType, string(format))
		enc := expfmt.NewEncoder(c.Response().BodyWriter(), format)
		for _, f := range families {
			if err := enc.Encode(f); err != nil {
				return mlflow.Errorf(mlflow.InternalError, "metrics cannot be written: %w", err)
			}
		}
		if closer, ok := enc.(expfmt.Closer); ok {
			return closer.Close()
		}
		return nil
	}
}
