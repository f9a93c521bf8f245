package loadtest

import (
	_ "embed"
	"fmt"
	"html"
	"io"
	"strings"
)

//go:embed page.css
var pageStyle string

// page is HTML that is being written. It is not made by html/template: that calls methods by their names, and a program in which anybody may do
// so keeps every method of every type: a third of the server's size, and of its memory when idle.
type page struct {
	text strings.Builder
}

// add writes one piece; the format is HTML, and every value that is a string is escaped, fit for text and for quoted attributes.
func (p *page) add(format string, values ...any) {
	for i, v := range values {
		if s, ok := v.(string); ok {
			values[i] = html.EscapeString(s)
		}
	}
	fmt.Fprintf(&p.text, format, values...)
}

// WriteHTML writes the report as one page without anything from outside: the figures, and plots of throughput and latency.
func (r Report) WriteHTML(w io.Writer) error {
	var p page
	p.add("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>%s</title>\n<style>\n", r.Title)
	p.text.WriteString(pageStyle)
	p.add("</style>\n</head>\n<body>\n")
	p.heading(&r)
	p.figures(&r)
	for _, drawing := range r.plots() {
		p.plot(&drawing)
	}
	p.add("</body>\n</html>\n")
	_, err := io.WriteString(w, p.text.String())
	return err
}

func (p *page) heading(r *Report) {
	p.add("<h1>%s</h1>\n<p class=\"about\">%s", r.Title, r.URL)
	if load := r.loadText(); load != "" {
		p.add("<br>%s", load)
	}
	if !r.Started.IsZero() {
		p.add("<br>%s", r.Started.Format("2006-01-02 15:04:05 MST"))
	}
	p.add("</p>\n")
}

func (p *page) figures(r *Report) {
	verdict := "good"
	if r.Failed > 0 {
		verdict = "bad"
	}
	p.add("<dl class=\"figures\">\n<div><dt>answers/s</dt><dd>%s</dd></div>\n<div><dt>sent in %s s</dt><dd>%d</dd></div>\n", brief(r.Rate), brief(r.Seconds), r.Sent)
	p.add("<div><dt>failed</dt><dd class=\"%s\">%d</dd></div>\n<div><dt>mean</dt><dd>%s ms</dd></div>\n", verdict, r.Failed, brief(r.Mean))
	for _, q := range quantiles {
		p.add("<div><dt>%s</dt><dd>%s ms</dd></div>\n", q.Name, brief(r.Latency[q.Name]))
	}
	p.add("</dl>\n<p>Status %s</p>\n", r.statusText())
	if r.Failure != "" {
		p.add("<p class=\"bad\">First failure: %s</p>\n", r.Failure)
	}
}

// plot writes a drawing with its legend, its marks and its lines.
func (p *page) plot(d *plot) {
	p.add("<figure>\n<h2>%s <span>%s</span></h2>\n<p class=\"legend\">", d.Title, d.Unit)
	for _, l := range d.Lines {
		p.add("<span class=\"%s\">%s</span>", l.Class, l.Name)
	}
	p.add("</p>\n<svg viewBox=\"-56 -10 796 258\" role=\"img\" aria-label=\"%s\">\n", d.Title)
	for _, y := range d.Y {
		p.add("<line class=\"grid\" x1=\"0\" x2=\"720\" y1=\"%[1]s\" y2=\"%[1]s\"/><text x=\"-8\" y=\"%[1]s\" dy=\"4\" text-anchor=\"end\">%[2]s</text>\n", y.At, y.Text)
	}
	for _, x := range d.X {
		p.add("<line class=\"grid\" y1=\"220\" y2=\"225\" x1=\"%[1]s\" x2=\"%[1]s\"/><text x=\"%[1]s\" y=\"241\" text-anchor=\"middle\">%[2]s</text>\n", x.At, x.Text)
	}
	for _, l := range d.Lines {
		p.line(&l)
	}
	p.add("</svg>\n</figure>\n")
}

func (p *page) line(l *placed) {
	class, radius := l.Class, 5
	if l.Few {
		class, radius = l.Class+" few", 3
	}
	p.add("<g class=\"%s\"><polyline points=\"%s\"/>\n", class, l.Points)
	for _, d := range l.Dots {
		p.add("<circle cx=\"%s\" cy=\"%s\" r=\"%d\"><title>%s</title></circle>", d.X, d.Y, radius, d.Text)
	}
	p.add("</g>\n")
}
