package loadtest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/perf/benchmath"
)

// Comparison holds paired windows of two servers: the n-th of A ran right before the n-th of B.
type Comparison struct {
	A, B           []*Result
	NameA, NameB   string // for the reports; may be empty
	AboutA, AboutB About
}

// Compare drives two servers in turn, A B A B …, for rounds windows each, so that a machine that drifts drifts for both. windows is called
// for the options of each window, because a Pacer serves one run only. seen is told of every window as it ends, rounds counting from 1; it may
// be nil.
func Compare(ctx context.Context, a, b []Request, rounds int, window func() Options, seen func(round int, ofB bool, r *Result)) (*Comparison, error) {
	var c Comparison
	for round := range rounds {
		for i, side := range []struct {
			requests []Request
			into     *[]*Result
		}{{a, &c.A}, {b, &c.B}} {
			res, err := RunMany(ctx, side.requests, window())
			if err != nil {
				return nil, err
			}
			if ctx.Err() != nil { // a window cut short is no window
				return nil, ctx.Err()
			}
			*side.into = append(*side.into, res)
			if seen != nil {
				seen(round+1, i == 1, res)
			}
		}
	}
	return &c, nil
}

// Line is one row of a comparison: medians with their range, the change, and how sure it is.
type Line struct {
	Name  string
	Unit  string
	A, B  benchmath.Summary
	Delta string // B against A in percent, "~" when the difference may be chance
	P     float64
}

// Lines compares rate, latency quantiles and failures with a test that assumes no distribution (Mann-Whitney), as benchstat does.
func (c *Comparison) Lines() []Line {
	quantile := func(q float64) func(*Result) float64 {
		return func(r *Result) float64 { return float64(r.Quantile(q)) / float64(time.Millisecond) }
	}
	return []Line{
		c.line("rate", "1/s", (*Result).Rate),
		c.line("p50", "ms", quantile(0.5)),
		c.line("p90", "ms", quantile(0.9)),
		c.line("p99", "ms", quantile(0.99)),
		c.line("failed", "", func(r *Result) float64 { return float64(r.Failed) }),
	}
}

func (c *Comparison) line(name, unit string, of func(*Result) float64) Line {
	sample := func(results []*Result) *benchmath.Sample {
		values := make([]float64, len(results))
		for i, r := range results {
			values[i] = of(r)
		}
		return benchmath.NewSample(values, &benchmath.DefaultThresholds)
	}
	a, b := sample(c.A), sample(c.B)
	summaryA, summaryB := benchmath.AssumeNothing.Summary(a, 0.95), benchmath.AssumeNothing.Summary(b, 0.95)
	verdict := benchmath.AssumeNothing.Compare(a, b)
	return Line{
		Name: name, Unit: unit, A: summaryA, B: summaryB, P: verdict.P,
		Delta: verdict.FormatDelta(summaryA.Center, summaryB.Center),
	}
}

// WriteJSON writes the lines and every window as one indented JSON document.
func (c *Comparison) WriteJSON(w io.Writer) error {
	type value struct {
		Median float64 `json:"median"`
		Low    float64 `json:"low"` // of the 95 % range
		High   float64 `json:"high"`
	}
	type row struct {
		Name  string  `json:"name"`
		Unit  string  `json:"unit"`
		A     value   `json:"a"`
		B     value   `json:"b"`
		Delta string  `json:"delta"`
		P     float64 `json:"p"`
	}
	var doc struct {
		Lines []row    `json:"lines"`
		A     []Report `json:"a"`
		B     []Report `json:"b"`
	}
	finite := func(s benchmath.Summary) value { // a range of too few windows is infinite, which JSON cannot say
		return value{s.Center, max(s.Lo, -math.MaxFloat64), min(s.Hi, math.MaxFloat64)}
	}
	for _, l := range c.Lines() {
		doc.Lines = append(doc.Lines, row{l.Name, l.Unit, finite(l.A), finite(l.B), l.Delta, l.P})
	}
	for i := range c.A {
		doc.A, doc.B = append(doc.A, c.A[i].Report(c.AboutA)), append(doc.B, c.B[i].Report(c.AboutB))
	}
	return writeJSON(w, doc)
}

// WriteText writes the lines as a table; "~" says that the difference may be chance.
func (c *Comparison) WriteText(w io.Writer) error {
	nameA, nameB := cmp.Or(c.NameA, "A"), cmp.Or(c.NameB, "B")
	rows := [][]string{{"", nameA, nameB, nameB + " against " + nameA}}
	for _, l := range c.Lines() {
		rows = append(rows, []string{
			strings.TrimSpace(l.Name + " " + l.Unit),
			digits(l.A.Center) + " ± " + l.A.PctRangeString(), digits(l.B.Center) + " ± " + l.B.PctRangeString(),
			fmt.Sprintf("%s (p=%.3f n=%d+%d)", l.Delta, l.P, len(c.A), len(c.B)),
		})
	}
	return writeTable(w, rows)
}

// digits writes a number with four digits that count, and no power of ten.
func digits(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// writeTable writes rows in columns of equal width.
func writeTable(w io.Writer, rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell + strings.Repeat(" ", widths[i]-len([]rune(cell))+2))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
