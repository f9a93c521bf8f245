package telemetry

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sluice/gateway/outcome"
)

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
			Bounds: p.bounds, BucketCounts: s.Buckets[:], Sum: s.Sum.Seconds(), Exemplars: exemplarsOf(s.Exemplars, now),
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

// executions are where the time of executed requests went, and how many rows they had; all come from one snapshot.
func (p *producer) executions(now time.Time) []metricdata.Metrics {
	all := p.book.Executions()
	queues := make([]metricdata.HistogramDataPoint[float64], len(all))
	executes := make([]metricdata.HistogramDataPoint[float64], len(all))
	rows := make([]metricdata.DataPoint[int64], len(all))
	executed := make([]metricdata.DataPoint[int64], len(all))
	for i := range all {
		e := &all[i]
		set, start := attributesOf(&e.Key), time.UnixMilli(e.StartMS)
		histogram := func(h *outcome.Histogram) metricdata.HistogramDataPoint[float64] {
			return metricdata.HistogramDataPoint[float64]{
				Attributes: set, StartTime: start, Time: now, Count: h.Count(),
				Bounds: p.bounds, BucketCounts: h.Buckets[:], Sum: h.Sum.Seconds(),
			}
		}
		queues[i], executes[i] = histogram(&e.Queue), histogram(&e.Execute)
		rows[i] = metricdata.DataPoint[int64]{Attributes: set, StartTime: start, Time: now, Value: int64(e.Rows)}
		executed[i] = metricdata.DataPoint[int64]{Attributes: set, StartTime: start, Time: now, Value: int64(e.ExecutedRows)}
	}
	histogram := func(name, what string, points []metricdata.HistogramDataPoint[float64]) metricdata.Metrics {
		return metricdata.Metrics{Name: name, Unit: "s", Description: what,
			Data: metricdata.Histogram[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality}}
	}
	counter := func(name, what string, points []metricdata.DataPoint[int64]) metricdata.Metrics {
		return metricdata.Metrics{Name: name, Unit: "{row}", Description: what,
			Data: metricdata.Sum[int64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}}
	}
	return []metricdata.Metrics{
		histogram("sluice.request.queue", "Time that an executed request's rows waited for the model.", queues),
		histogram("sluice.request.execute", "Time of the execution that held an executed request's rows.", executes),
		counter("sluice.request.rows", "Rows of executed requests.", rows),
		counter("sluice.request.executed_rows", "Rows of the executions that executed requests were part of, their own included.", executed),
	}
}

// exemplarAge is how long a traced request stands for its bucket: its trace is not kept for ever either.
const exemplarAge = time.Hour

func exemplarsOf(all []outcome.Exemplar, now time.Time) []metricdata.Exemplar[float64] {
	var out []metricdata.Exemplar[float64]
	for i := range all {
		e := &all[i]
		at := time.UnixMilli(e.TimeMS)
		if now.Sub(at) < exemplarAge {
			out = append(out, metricdata.Exemplar[float64]{Time: at, Value: e.Latency.Seconds(), TraceID: e.Trace[:], SpanID: e.Span[:]})
		}
	}
	return out
}

// attributesOf names a series; without a code where it has none.
func attributesOf(k *outcome.Key) attribute.Set {
	version := ""
	if k.Version > 0 {
		version = strconv.Itoa(k.Version)
	}
	kv := []attribute.KeyValue{
		attribute.String("endpoint", k.Endpoint),
		attribute.String("model", k.Model),
		attribute.String("version", version),
		attribute.String("stage", k.Stage),
		attribute.String("arm", k.Arm),
	}
	if k.Code > 0 {
		kv = append(kv, attribute.Int("code", k.Code))
	}
	return attribute.NewSet(kv...)
}
