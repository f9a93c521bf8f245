package telemetry

import (
	"context"
	"io"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"sluice/tracking/mlflow"
)

// WriteEndpoint writes the metrics that carry the endpoint's name as Prometheus text, for those who may see one endpoint's only.
func (t *Telemetry) WriteEndpoint(_ context.Context, endpoint string, w io.Writer) error {
	families, err := t.registry.Gather()
	if err != nil {
		return mlflow.Errorf(mlflow.InternalError, "metrics cannot be read: %w", err)
	}
	for _, f := range families {
		if f.Metric = ofEndpoint(f.GetMetric(), endpoint); len(f.Metric) == 0 {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return mlflow.Errorf(mlflow.InternalError, "metrics cannot be written: %w", err)
		}
	}
	return nil
}

func ofEndpoint(all []*dto.Metric, endpoint string) []*dto.Metric {
	var out []*dto.Metric
	for _, m := range all {
		for _, l := range m.GetLabel() {
			if l.GetName() == "endpoint" && l.GetValue() == endpoint {
				out = append(out, m)
			}
		}
	}
	return out
}
