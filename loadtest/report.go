package loadtest

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// About is what a report says of a run beside its result; all of it may be empty.
type About struct {
	Title       string
	URL         string
	Load        string // such as "open loop, Poisson, 500/s"
	Connections int
	Started     time.Time
}

// Report is a result as files show it. Durations are ms.
type Report struct {
	Title       string             `json:"title"`
	URL         string             `json:"url"`
	Load        string             `json:"load,omitempty"`
	Connections int                `json:"connections,omitempty"`
	Started     time.Time          `json:"started,omitzero"`
	Sent        int64              `json:"sent"`
	Answered    int64              `json:"answered"`
	Failed      int64              `json:"failed"`
	ByStatus    map[int]int64      `json:"by_status"`
	Seconds     float64            `json:"seconds"`
	Rate        float64            `json:"rate"`
	Latency     map[string]float64 `json:"latency_ms"`
	Mean        float64            `json:"latency_mean_ms"`
	Spectrum    []Percentile       `json:"latency_spectrum"`
	Each        []Second           `json:"each_second"`
	Failure     string             `json:"first_failure,omitempty"`
}

// Percentile says that a share of the answers came within a latency.
type Percentile struct {
	Share float64 `json:"share"` // 0–1
	MS    float64 `json:"ms"`
}

// quantiles are those that a report tells, by their name.
var quantiles = []struct {
	Name string
	Q    float64
}{{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}}

// Report makes the report of a result.
func (r *Result) Report(a About) Report {
	out := Report{
		Title: a.Title, URL: a.URL, Load: a.Load, Connections: a.Connections, Started: a.Started,
		Sent: r.Sent, Answered: r.Answered, Failed: r.Failed, ByStatus: r.ByStatus, Seconds: r.Elapsed.Seconds(), Rate: r.Rate(),
		Latency: map[string]float64{}, Mean: r.Latency.Mean() / 1e6, Each: r.Seconds, Failure: r.FirstFailure,
	}
	for _, q := range quantiles {
		out.Latency[q.Name] = inMS(r.Quantile(q.Q))
	}
	// Ten points to each power of ten of the slow share, as far as the number of answers reaches.
	for slow, step := 1.0, 0.1; slow > 1e-9 && (slow >= 0.9/float64(max(r.Answered, 1))); slow -= step {
		if slow < 1.5*step {
			slow, step = step, step/10
		}
		out.Spectrum = append(out.Spectrum, Percentile{1 - slow, inMS(r.Quantile(1 - slow))})
	}
	return out
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// WriteJSON writes the report as one indented JSON document.
func (r Report) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// WriteText writes the report for a terminal.
func (r Report) WriteText(w io.Writer) error {
	rows := [][]string{
		{"requests", fmt.Sprintf("%d sent, %d answered, %d failed in %.1f s", r.Sent, r.Answered, r.Failed, r.Seconds)},
		{"rate", fmt.Sprintf("%.0f answers/s", r.Rate)},
		{"latency", r.latencyText()},
		{"status", r.statusText()},
	}
	if r.Load != "" {
		rows = append([][]string{{"load", r.loadText()}}, rows...)
	}
	if r.Failure != "" {
		rows = append(rows, []string{"first failure", r.Failure})
	}
	return writeTable(w, rows)
}

func (r Report) loadText() string {
	if r.Connections == 0 {
		return r.Load
	}
	return fmt.Sprintf("%s, %d connections", r.Load, r.Connections)
}

func (r Report) latencyText() string {
	parts := make([]string, len(quantiles))
	for i, q := range quantiles {
		parts[i] = fmt.Sprintf("%s %s", q.Name, brief(r.Latency[q.Name]))
	}
	return strings.Join(parts, "  ") + "  ms"
}

func (r Report) statusText() string {
	codes := make([]int, 0, len(r.ByStatus))
	for code := range r.ByStatus {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	parts := make([]string, len(codes))
	for i, code := range codes {
		parts[i] = fmt.Sprintf("%d: %d", code, r.ByStatus[code])
	}
	return strings.Join(parts, ", ")
}

// brief writes a number with three digits that count.
func brief(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1 || v == 0:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func (r Report) plots() []plot {
	n := len(r.Each)
	// The last second is a piece of one: as a rate if it is long enough to make one.
	rest := r.Seconds - float64(n-1)
	if n > 1 && rest < 0.25 {
		n--
	}
	var answered, failed, p50, p99, slowest line
	for i, s := range r.Each[:n] {
		length, at := 1.0, float64(i)+0.5
		if i == n-1 && rest > 0 && rest < 1 && n == len(r.Each) {
			length, at = rest, float64(i)+rest/2
		}
		answered.add(at, float64(s.Answered)/length)
		failed.add(at, float64(s.Failed)/length)
		if s.Answered > 0 {
			p50.add(at, float64(s.P50)/1000)
			p99.add(at, float64(s.P99)/1000)
			slowest.add(at, float64(s.Max)/1000)
		}
	}
	throughput := []line{answered.named("answers", "a")}
	if r.Failed > 0 {
		throughput = append(throughput, failed.named("failed", "c"))
	}
	var spectrum line
	for _, p := range r.Spectrum {
		if p.Share < 1 {
			spectrum.add(nines(p.Share), p.MS)
		}
	}
	last := max(r.Seconds, 1)
	return []plot{
		drawn("Throughput", "answers per second", timeAxis(last), linear, throughput...),
		drawn("Latency over time", "ms, by second in which the answer came", timeAxis(last), logarithmic, p50.named("p50", "a"), p99.named("p99", "b"), slowest.named("max", "c")),
		drawn("Latency by percentile", "ms", percentileAxis(spectrum), logarithmic, spectrum.named("latency", "a")),
	}
}
