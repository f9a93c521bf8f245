package telemetry

import (
	"context"
	"strconv"
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
	out := make([]metricdata.Metrics, 0, len(p.metrics)+2)
	if p.book != nil {
		out = append(out, p.requests(now)...)
	}
	for i := range p.metrics {
		out = append(out, p.read(&p.metrics[i], now))
	}
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: ScopeName}, Metrics: out}}, nil
}

// requests is the histogram and the counter over the book's series; both come from one snapshot and agree.
func (p *producer) requests(now time.Time) []metricdata.Metrics {
	series := p.book.Snapshot()
	durations := make([]metricdata.HistogramDataPoint[float64], len(series))
	counts := make([]metricdata.DataPoint[int64], len(series))
	for i := range series {
		s := &series[i]
		set := attributesOf(&s.Key)
		start := time.UnixMilli(s.StartMS)
		count := s.Count()
		durations[i] = metricdata.HistogramDataPoint[float64]{
			Attributes: set, StartTime: start, Time: now, Count: count,
			Bounds: p.bounds, BucketCounts: s.Buckets[:], Sum: s.Sum.Seconds(),
		}
		counts[i] = metricdata.DataPoint[int64]{Attributes: set, StartTime: start, Time: now, Value: int64(count)}
	}
	return []metricdata.Metrics{
		{
			Name: "sluice.request.duration", Unit: "s", Description: "Time from the arrival of a prediction request to its answer.",
			Data: metricdata.Histogram[float64]{DataPoints: durations, Temporality: metricdata.CumulativeTemporality},
		},
		{
			Name: "sluice.requests", Unit: "{request}", Description: "Prediction requests answered.",
			Data: metricdata.Sum[int64]{DataPoints: counts, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true},
		},
	}
}

func attributesOf(k *outcome.Key) attribute.Set {
	version := ""
	if k.Version > 0 {
		version = strconv.Itoa(k.Version)
	}
	return attribute.NewSet(
		attribute.String("endpoint", k.Endpoint),
		attribute.String("model", k.Model),
		attribute.String("version", version),
		attribute.String("stage", k.Stage),
		attribute.String("arm", k.Arm),
		attribute.Int("code", k.Code),
	)
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
