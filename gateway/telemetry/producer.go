package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/gateway/outcome"
)

// producer turns the counters of other rooms into the SDK's data when somebody collects, so that counting costs no SDK call.
type producer struct {
	book    *outcome.Book
	metrics []Metric
	bounds  []float64
	now     func() time.Time
	start   time.Time
}

var _ metric.Producer = (*producer)(nil)

func newProducer(opts *Options) *producer {
	return &producer{
		book:    opts.Book,
		metrics: append(append([]Metric(nil), opts.Metrics...), processMetrics(opts.Now)...),
		bounds:  outcome.Bounds(),
		now:     opts.Now,
		start:   opts.Now(),
	}
}

// Produce implements metric.Producer.
func (p *producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	now := p.now()
	out := make([]metricdata.Metrics, 0, len(p.metrics)+6)
	if p.book != nil {
		out = append(out, p.requests(now)...)
		out = append(out, p.executions(now)...)
	}
	for i := range p.metrics {
		out = append(out, p.read(&p.metrics[i], now))
	}
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: ScopeName}, Metrics: out}}, nil
}

func (p *producer) read(m *Metric, now time.Time) metricdata.Metrics {
	if m.Histograms != nil {
		return p.readHistograms(m, now)
	}
	var points []metricdata.DataPoint[float64]
	m.Read(func(value float64, attributes ...Attribute) {
		points = append(points, metricdata.DataPoint[float64]{
			Attributes: setOf(attributes), StartTime: p.start, Time: now, Value: value,
		})
	})
	out := metricdata.Metrics{Name: m.Name, Unit: m.Unit, Description: m.Description}
	if m.Counter {
		out.Data = metricdata.Sum[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
	} else {
		out.Data = metricdata.Gauge[float64]{DataPoints: points}
	}
	return out
}

func (p *producer) readHistograms(m *Metric, now time.Time) metricdata.Metrics {
	var points []metricdata.HistogramDataPoint[float64]
	m.Histograms(func(bounds []float64, counts []uint64, count uint64, sum float64, attributes ...Attribute) {
		points = append(points, metricdata.HistogramDataPoint[float64]{
			Attributes: setOf(attributes), StartTime: p.start, Time: now, Count: count, Bounds: bounds, BucketCounts: counts, Sum: sum,
		})
	})
	return metricdata.Metrics{
		Name: m.Name, Unit: m.Unit, Description: m.Description,
		Data: metricdata.Histogram[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality},
	}
}

func setOf(attributes []Attribute) attribute.Set {
	kv := make([]attribute.KeyValue, len(attributes))
	for i, a := range attributes {
		kv[i] = attribute.String(a.Key, a.Value)
	}
	return attribute.NewSet(kv...)
}
