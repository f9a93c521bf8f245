package loadtest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
)

// Report is a result as files show it. Durations are ms.
type Report struct {
	Title    string             `json:"title"`
	URL      string             `json:"url"`
	Sent     int64              `json:"sent"`
	Answered int64              `json:"answered"`
	Failed   int64              `json:"failed"`
	ByStatus map[int]int64      `json:"by_status"`
	Seconds  float64            `json:"seconds"`
	Rate     float64            `json:"rate"`
	Latency  map[string]float64 `json:"latency_ms"`
	Mean     float64            `json:"latency_mean_ms"`
	Each     []Second           `json:"each_second"`
	Failure  string             `json:"first_failure,omitempty"`
}

// quantiles are those that a report tells, by their name.
var quantiles = []struct {
	Name string
	Q    float64
}{{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}}

// Report makes the report of a result.
func (r *Result) Report(title, url string) Report {
	out := Report{
		Title: title, URL: url, Sent: r.Sent, Answered: r.Answered, Failed: r.Failed, ByStatus: r.ByStatus, Seconds: r.Elapsed.Seconds(), Rate: r.Rate(),
		Latency: map[string]float64{}, Mean: r.Latency.Mean() / 1e6, Each: r.Seconds, Failure: r.FirstFailure,
	}
	for _, q := range quantiles {
		out.Latency[q.Name] = float64(r.Quantile(q.Q)) / float64(time.Millisecond)
	}
	return out
}

// WriteJSON writes the report as one indented JSON document.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report for a terminal.
func (r Report) WriteText(w io.Writer) error {
	rows := [][]string{
		{"requests", fmt.Sprintf("%d sent, %d answered, %d failed in %.1f s", r.Sent, r.Answered, r.Failed, r.Seconds)},
		{"rate", fmt.Sprintf("%.0f answers/s", r.Rate)},
		{"latency", r.latencyText()},
		{"status", r.statusText()},
	}
	if r.Failure != "" {
		rows = append(rows, []string{"first failure", r.Failure})
	}
	return writeTable(w, rows)
}

func (r Report) latencyText() string {
	parts := make([]string, len(quantiles))
	for i, q := range quantiles {
		parts[i] = fmt.Sprintf("%s %.2f", q.Name, r.Latency[q.Name])
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

//go:embed report.html
var reportHTML string

// WriteHTML writes the report as one page without anything from outside: the figures, and plots of throughput and latency by second.
func (r Report) WriteHTML(w io.Writer) error {
	page, err := template.New("report").Funcs(template.FuncMap{"f": func(v float64) string { return fmt.Sprintf("%.2f", v) }}).Parse(reportHTML)
	if err != nil {
		return err
	}
	rate, p50, p99 := make([]float64, len(r.Each)), make([]float64, len(r.Each)), make([]float64, len(r.Each))
	for i, s := range r.Each {
		rate[i], p50[i], p99[i] = float64(s.Answered), float64(s.P50)/1000, float64(s.P99)/1000
	}
	return page.Execute(w, map[string]any{
		"Report": r, "Quantiles": quantiles, "Status": r.statusText(),
		"Plots": []plot{newPlot("Answers per second", line{"answers/s", "#2563eb", rate}), newPlot("Latency by second, ms", line{"p50", "#059669", p50}, line{"p99", "#dc2626", p99})},
	})
}

// The plots' size in the units of their view box.
const plotWidth, plotHeight = 720.0, 200.0

type line struct {
	Name, Color string
	values      []float64
}

type plot struct {
	Title string
	Top   float64 // value at the upper edge
	Lines []drawn
	Last  int // s, at the right edge
}

type drawn struct{ Name, Color, Points string }

// newPlot scales lines of one value a second to the plot's size.
func newPlot(title string, lines ...line) plot {
	p := plot{Title: title, Top: 1}
	for _, l := range lines {
		for _, v := range l.values {
			p.Top = max(p.Top, v)
		}
		p.Last = max(p.Last, len(l.values)-1)
	}
	for _, l := range lines {
		points := make([]string, len(l.values))
		for i, v := range l.values {
			x := plotWidth * float64(i) / float64(max(p.Last, 1))
			points[i] = fmt.Sprintf("%.1f,%.1f", x, plotHeight*(1-v/p.Top))
		}
		p.Lines = append(p.Lines, drawn{l.Name, l.Color, strings.Join(points, " ")})
	}
	return p
}
