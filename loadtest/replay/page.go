package replay

import (
	"fmt"
	"html"
	"io"
	"maps"
	"slices"
	"strings"
)

// pageHead is the page up to its body; the style is all that it needs from outside of itself.
const pageHead = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Replay</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 52em; margin: 2em auto; padding: 0 1em; color-scheme: light dark; }
table { border-collapse: collapse; margin: 1em 0; } th, td { text-align: left; padding: .2em 1em .2em 0; border-bottom: 1px solid #8884; } td + td { font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<h1>Replay</h1>
`

// WriteHTML writes the report as one page without anything from outside.
func (r *Report) WriteHTML(w io.Writer) error {
	var p strings.Builder
	p.WriteString(pageHead)
	fmt.Fprintf(&p, "<p>%d recorded requests, asked of %s</p>\n", r.Records, html.EscapeString(r.URL))
	table(&p, "Answers", []string{"same", "different", "of another shape", "failed", "left out"},
		[]string{fmt.Sprint(r.Same), fmt.Sprint(r.Different), fmt.Sprint(r.Shapes), fmt.Sprint(r.Failed), fmt.Sprint(r.LeftOut)})
	table(&p, "Values", []string{"", "compared", "different", "mean distance", "greatest distance"},
		[]string{fmt.Sprintf("numbers, tolerance %g", r.Tolerance), fmt.Sprint(r.Numbers), fmt.Sprint(r.NumbersDiffer), fmt.Sprintf("%.3g", r.MeanDistance), fmt.Sprintf("%.3g", r.MaxDistance)},
		[]string{"labels", fmt.Sprint(r.Labels), fmt.Sprint(r.LabelsDiffer), "", ""})
	table(&p, "Latency, ms", []string{"", "p50", "p95", "p99"}, r.Recorded.row("recorded"), r.Now.row("now"))
	var failures, examples [][]string
	for _, reason := range slices.Sorted(maps.Keys(r.Failures)) {
		failures = append(failures, []string{reason, fmt.Sprint(r.Failures[reason])})
	}
	for _, e := range r.Examples {
		examples = append(examples, []string{e.PredictionID, fmt.Sprintf("%.3g", e.Distance), fmt.Sprint(e.LabelsDiffer), fmt.Sprint(e.Shape)})
	}
	table(&p, "Failures", []string{"reason", "how often"}, failures...)
	table(&p, "Answers that differ most", []string{"prediction", "greatest distance", "labels different", "another shape"}, examples...)
	p.WriteString("</body>\n</html>\n")
	_, err := io.WriteString(w, p.String())
	return err
}

func (l Latency) row(name string) []string {
	return []string{name, fmt.Sprintf("%.3f", l.P50), fmt.Sprintf("%.3f", l.P95), fmt.Sprintf("%.3f", l.P99)}
}

// table writes rows under a title; nothing where there are none.
func table(p *strings.Builder, title string, names []string, rows ...[]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(p, "<h2>%s</h2>\n<table>\n<tr>", html.EscapeString(title))
	for _, name := range names {
		fmt.Fprintf(p, "<th>%s</th>", html.EscapeString(name))
	}
	for _, row := range rows {
		p.WriteString("</tr>\n<tr>")
		for _, cell := range row {
			fmt.Fprintf(p, "<td>%s</td>", html.EscapeString(cell))
		}
	}
	p.WriteString("</tr>\n</table>\n")
}
