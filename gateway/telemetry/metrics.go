package telemetry

import (
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/admit"
	"sluice/gateway/breaker"
	"sluice/gateway/predlog"
	"sluice/runtime/batch"
	"sluice/runtime/servable"
)

// Metric is a set of values that are read whenever somebody collects.
type Metric struct {
	Name        string // dotted, lower case
	Unit        string // UCUM; empty or an annotation like {request} where there is none
	Description string
	Counter     bool // true: only rises, since the process started; false: a gauge
	// Read calls emit for every value with its attributes. It must be quick and safe for concurrent use.
	Read func(emit Emit)
	// Histograms is Read of a metric that is a histogram, which then has no Read.
	Histograms func(emit EmitHistogram)
}

// EmitHistogram takes one histogram, counted since the process started: counts has one more than bounds, for what is above the last.
type EmitHistogram func(bounds []float64, counts []uint64, count uint64, sum float64, attributes ...Attribute)

// Emit takes one value; attributes are of bounded sets.
type Emit func(value float64, attributes ...Attribute)

// Attribute is one label of a value.
type Attribute struct{ Key, Value string }

// InFlight is the metric of requests being answered now.
func InFlight(read func() int64) Metric {
	return Metric{
		Name: "sluice.requests.in_flight", Unit: "{request}", Description: "Prediction requests being answered.",
		Read: func(emit Emit) { emit(float64(read())) },
	}
}

// Replays is the metric of recorded requests that were asked once more.
func Replays(read func() int64) Metric {
	return Metric{
		Name: "sluice.requests.replayed", Unit: "{request}", Description: "Recorded requests asked once more of a version; they are counted nowhere else.", Counter: true,
		Read: func(emit Emit) { emit(float64(read())) },
	}
}

// Admission are the metrics of requests that were turned away at once, and of the wait that turns them away.
func Admission(c *admit.Controller) []Metric {
	return []Metric{
		{
			Name: "sluice.requests.refused", Unit: "{request}", Description: "Prediction requests turned away with 429, by reason and priority class.", Counter: true,
			Read: func(emit Emit) {
				for _, r := range c.Refusals() {
					emit(float64(r.Count), Attribute{"reason", r.Reason.String()}, Attribute{"class", r.Class.String()})
				}
			},
		},
		gauge("sluice.scheduler.delay", "s", "Median wait of goroutines for a processor, as admission read it last.", func() float64 { return c.SchedulerDelay().Seconds() }),
	}
}

// Breakers is the metric of circuit breakers.
func Breakers(read func() []breaker.Status) Metric {
	return Metric{
		Name: "sluice.breaker.state", Description: "Circuit breaker: 0 closed, 1 half-open, 2 open.",
		Read: func(emit Emit) {
			for _, s := range read() {
				emit(float64(s.State), Attribute{"endpoint", s.Endpoint},
					Attribute{"model", s.Servable.Model}, Attribute{"version", strconv.Itoa(s.Servable.Version)})
			}
		},
	}
}

// Servables is the metric of loaded versions: 1 for the state that each is in.
func Servables(read func() map[servable.ID]servable.Status) Metric {
	return Metric{
		Name: "sluice.servable.state", Description: "1 for the present state of a model version in memory.",
		Read: func(emit Emit) {
			for id, s := range read() {
				emit(1, append(idAttributes(id), Attribute{"state", s.State.String()})...)
			}
		},
	}
}

// idAttributes name a servable; the form that it was asked for only where one was.
func idAttributes(id servable.ID) []Attribute {
	a := []Attribute{{"model", id.Model}, {"version", strconv.Itoa(id.Version)}}
	if id.Backend != "" {
		a = append(a, Attribute{"backend", id.Backend})
	}
	if id.Joining != servable.JoinMeasured {
		a = append(a, Attribute{"joins", id.Joining.String()})
	}
	return a
}

// Batches are the metrics of joined predictions: rows divided by executions is the mean size of a batch.
func Batches(read func() map[servable.ID]batch.Executions) []Metric {
	counter := func(name, unit, what string, of func(batch.Executions) int64) Metric {
		return Metric{Name: name, Unit: unit, Description: what, Counter: true, Read: func(emit Emit) {
			for id, e := range read() {
				emit(float64(of(e)), idAttributes(id)...)
			}
		}}
	}
	return []Metric{
		counter("sluice.batch.executions", "{execution}", "Executions of model versions whose predictions are joined.", func(e batch.Executions) int64 { return e.Runs }),
		counter("sluice.batch.rows", "{row}", "Rows in the executions of model versions whose predictions are joined.", func(e batch.Executions) int64 { return e.Rows }),
	}
}

// ServableMemory are the metrics of what the loaded versions hold, and of evictions under the memory budget.
func ServableMemory(bytes func() int64, churn func() (evictions, reloads int64)) []Metric {
	return []Metric{
		gauge("sluice.servable.memory", "By", "Estimated memory of the loaded model versions.", func() float64 { return float64(bytes()) }),
		{
			Name: "sluice.servable.evictions", Unit: "{eviction}", Description: "Model versions that gave their memory back to stay within the budget.", Counter: true,
			Read: func(emit Emit) { n, _ := churn(); emit(float64(n)) },
		},
		{
			Name: "sluice.servable.reloads", Unit: "{load}", Description: "Evicted model versions that were asked for and loaded again.", Counter: true,
			Read: func(emit Emit) { _, n := churn(); emit(float64(n)) },
		},
	}
}

// PredictionLog are the metrics of the prediction log; diskLimit is how many bytes DiskBytes may reach before records are dropped.
func PredictionLog(read func() predlog.Stats, diskLimit int64) []Metric {
	return []Metric{
		{
			Name: "sluice.predlog.records", Unit: "{record}", Description: "Prediction records by how far they came.", Counter: true,
			Read: func(emit Emit) {
				s := read()
				for _, v := range []struct {
					state string
					n     int64
				}{
					{"offered", s.Offered}, {"recorded", s.Recorded}, {"recovered", s.Recovered},
					{"written", s.Written}, {"delivered", s.Delivered}, {"truncated", s.Truncated},
				} {
					emit(float64(v.n), Attribute{"state", v.state})
				}
			},
		},
		{
			Name: "sluice.predlog.drops", Unit: "{record}", Description: "Prediction records dropped, by reason.", Counter: true,
			Read: func(emit Emit) {
				s := read()
				for _, r := range predlog.Reasons() {
					emit(float64(s.Dropped[r]), Attribute{"reason", r.String()})
				}
			},
		},
		{
			Name: "sluice.predlog.skipped", Unit: "{request}", Description: "Requests that are not to be logged, by reason: records offered + skipped = requests.", Counter: true,
			Read: func(emit Emit) { emit(float64(read().SampledOut), Attribute{"reason", "sampling"}) },
		},
		{
			Name: "sluice.predlog.gaps", Unit: "{gap}", Description: "1 if the process before this one ended without closing the prediction log.", Counter: true,
			Read: func(emit Emit) { emit(float64(read().Gaps)) },
		},
		gauge("sluice.predlog.gap.records", "{record}", "Prediction records that may be missing because of such an end, at most.", func() float64 { return float64(read().GapRecords) }),
		gauge("sluice.predlog.queue", "By", "Prediction records in memory, not yet written.", func() float64 { return float64(read().QueuedBytes) }),
		gauge("sluice.predlog.disk", "By", "Spools and undelivered segments.", func() float64 { return float64(read().DiskBytes) }),
		gauge("sluice.predlog.disk.limit", "By", "Bytes of spools and undelivered segments from which on records are dropped.", func() float64 { return float64(diskLimit) }),
		gauge("sluice.predlog.segments", "{segment}", "Segments waiting for delivery.", func() float64 { return float64(read().SegmentsPending) }),
	}
}

func gauge(name, unit, description string, read func() float64) Metric {
	return Metric{Name: name, Unit: unit, Description: description, Read: func(emit Emit) { emit(read()) }}
}

// processMetrics are the metrics of this process; resident memory is left out where the system has no /proc.
func processMetrics(now func() time.Time) []Metric {
	start := now()
	return []Metric{
		{
			Name: "process.memory.usage", Unit: "By", Description: "Resident memory.",
			Read: func(emit Emit) {
				if n, ok := residentBytes(); ok {
					emit(float64(n))
				}
			},
		},
		{
			Name: "process.cpu.time", Unit: "s", Description: "Processor time used, in user and system mode.", Counter: true,
			Read: func(emit Emit) {
				if s, ok := cpuSeconds(); ok {
					emit(s)
				}
			},
		},
		gauge("process.uptime", "s", "Time since the gateway started.", func() float64 { return now().Sub(start).Seconds() }),
		runtimeMetric("go.goroutine.count", "{goroutine}", "Goroutines.", "/sched/goroutines:goroutines", false),
		runtimeMetric("go.memory.used", "By", "Memory that the Go runtime holds.", "/memory/classes/total:bytes", false),
		runtimeMetric("go.memory.allocations", "{allocation}", "Objects allocated on the Go heap.", "/gc/heap/allocs:objects", true),
		runtimeMetric("go.gc.count", "{gc_cycle}", "Completed garbage collections.", "/gc/cycles/total:gc-cycles", true),
	}
}

// runtimeMetric shows one value of the standard library's runtime/metrics.
func runtimeMetric(name, unit, description, source string, counter bool) Metric {
	return Metric{
		Name: name, Unit: unit, Description: description, Counter: counter,
		Read: func(emit Emit) {
			s := []metrics.Sample{{Name: source}}
			metrics.Read(s)
			if s[0].Value.Kind() == metrics.KindUint64 {
				emit(float64(s[0].Value.Uint64()))
			}
		},
	}
}

// residentBytes reads the second field of /proc/self/statm, in pages (source: proc_pid_statm(5)).
func residentBytes() (int64, bool) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, false
	}
	return pages * int64(os.Getpagesize()), true
}
