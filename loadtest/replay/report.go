package replay

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"sluice/loadtest"
)

// examples is how many of the worst answers a report names.
const examples = 5

// Report says how a version's answers differ from those that were recorded.
type Report struct {
	URL       string  `json:"url"`
	Tolerance float64 `json:"tolerance"`
	// Records were asked; LeftOut could not be compared, because their recorded answer holds no predictions that can be read.
	Records int `json:"records"`
	LeftOut int `json:"left_out"`
	// Same and Different are answers; of another shape are Shapes, which are Different too. Failed got no answer.
	Same      int `json:"same"`
	Different int `json:"different"`
	Shapes    int `json:"different_shapes"`
	Failed    int `json:"failed"`
	// Numbers and Labels were compared one by one; those that differ are beyond the tolerance, or another text.
	Numbers       int     `json:"numbers"`
	NumbersDiffer int     `json:"numbers_different"`
	Labels        int     `json:"labels"`
	LabelsDiffer  int     `json:"labels_different"`
	MeanDistance  float64 `json:"mean_distance"` // relative, 0–2
	MaxDistance   float64 `json:"max_distance"`

	Recorded Latency `json:"recorded_latency"`
	Now      Latency `json:"latency"`

	// Failures are reasons with how often they came; Examples the answers that differ most.
	Failures map[string]int `json:"failures,omitempty"`
	Examples []Example      `json:"examples,omitempty"`
}

// Latency in ms, of the answers that were compared.
type Latency struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
}

// Example is one answer that differs.
type Example struct {
	PredictionID string  `json:"prediction_id"`
	Distance     float64 `json:"max_distance"`
	LabelsDiffer int     `json:"labels_different"`
	Shape        bool    `json:"different_shape,omitempty"`
}

// Limits of what passes; a negative number means none.
type Limits struct {
	Different    float64 // share of the answers compared that may differ
	Failed       float64 // share of the requests that may fail
	LatencyRatio float64 // p95 now, divided by p95 recorded
}

// Check says what is beyond the limits; nil if nothing is. Nothing compared is an error too.
func (r *Report) Check(l Limits) error {
	compared := r.Same + r.Different
	if compared+r.Failed == 0 {
		return errors.New("nothing could be compared")
	}
	var failed []error
	beyond := func(what string, got, limit float64) {
		if limit >= 0 && got > limit {
			failed = append(failed, fmt.Errorf("%s: %.4g, at most %.4g may be", what, got, limit))
		}
	}
	beyond("share of answers that differ", float64(r.Different)/float64(max(compared, 1)), l.Different)
	beyond("share of requests that failed", float64(r.Failed)/float64(compared+r.Failed), l.Failed)
	if r.Recorded.P95 > 0 {
		beyond("p95 latency as a multiple of the recorded", r.Now.P95/r.Recorded.P95, l.LatencyRatio)
	}
	return errors.Join(failed...)
}

// WriteJSON writes the report as JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	_, err := fmt.Fprintf(w, `replayed   %d requests to %s; %d left out
answers    %d same, %d different (%d of another shape), %d failed
numbers    %d of %d beyond the tolerance %g; distance %.3g mean, %.3g at most
labels     %d of %d different
latency    p50 %.3f ms (recorded %.3f), p95 %.3f ms (%.3f), p99 %.3f ms (%.3f)
`, r.Records, r.URL, r.LeftOut, r.Same, r.Different, r.Shapes, r.Failed,
		r.NumbersDiffer, r.Numbers, r.Tolerance, r.MeanDistance, r.MaxDistance, r.LabelsDiffer, r.Labels,
		r.Now.P50, r.Recorded.P50, r.Now.P95, r.Recorded.P95, r.Now.P99, r.Recorded.P99)
	for _, e := range r.Examples {
		if err == nil {
			_, err = fmt.Fprintf(w, "example    %s: distance %.3g, %d labels different, another shape: %v\n", e.PredictionID, e.Distance, e.LabelsDiffer, e.Shape)
		}
	}
	for reason, n := range r.Failures {
		if err == nil {
			_, err = fmt.Fprintf(w, "failed     %d × %s\n", n, reason)
		}
	}
	return err
}

// maxReasons bounds the different failures that are kept.
const maxReasons = 10

// book gathers answers from all connections.
type book struct {
	mu            sync.Mutex
	report        Report // guarded by mu
	distance      float64
	recorded, now []time.Duration
}

func (b *book) add(r *loadtest.Recorded, a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &b.report
	p.Records++
	switch {
	case a.left:
		p.LeftOut++
		return
	case a.failed != "":
		b.fail(a.failed)
		return
	}
	b.recorded, b.now = append(b.recorded, r.Latency), append(b.now, a.latency)
	p.Numbers += a.Numbers
	p.NumbersDiffer += a.NumbersDiffer
	p.Labels += a.Labels
	p.LabelsDiffer += a.LabelsDiffer
	p.MaxDistance = max(p.MaxDistance, a.Worst)
	b.distance += a.Distance
	if !a.shape && !a.differs() {
		p.Same++
		return
	}
	p.Different++
	if a.shape {
		p.Shapes++
	}
	b.example(Example{PredictionID: r.ID, Distance: a.Worst, LabelsDiffer: a.LabelsDiffer, Shape: a.shape})
}

func (b *book) fail(reason string) {
	p := &b.report
	p.Failed++
	if p.Failures == nil {
		p.Failures = map[string]int{}
	}
	if _, known := p.Failures[reason]; !known && len(p.Failures) >= maxReasons {
		reason = "other"
	}
	p.Failures[reason]++
}

// example keeps e if it is among the worst.
func (b *book) example(e Example) {
	p := &b.report
	p.Examples = append(p.Examples, e)
	slices.SortStableFunc(p.Examples, func(x, y Example) int {
		return cmp.Or(worse(x.Shape, y.Shape), cmp.Compare(y.LabelsDiffer, x.LabelsDiffer), cmp.Compare(y.Distance, x.Distance), cmp.Compare(x.PredictionID, y.PredictionID))
	})
	p.Examples = p.Examples[:min(len(p.Examples), examples)]
}

func worse(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}

func (b *book) done() *Report {
	p := &b.report
	if p.Numbers > 0 {
		p.MeanDistance = b.distance / float64(p.Numbers)
	}
	p.Recorded, p.Now = latencyOf(b.recorded), latencyOf(b.now)
	return p
}

func latencyOf(all []time.Duration) Latency {
	if len(all) == 0 {
		return Latency{}
	}
	slices.Sort(all)
	at := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))]) / float64(time.Millisecond) }
	return Latency{P50: at(0.5), P95: at(0.95), P99: at(0.99)}
}
