package loadtest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The area of a plot within its margins, in units of its view box.
const (
	plotWidth  = 720.0
	plotHeight = 220.0
)

// line is a series of points.
type line struct {
	Name  string
	Class string // of its colour: a, b or c
	x, y  []float64
}

func (l *line) add(x, y float64) { l.x, l.y = append(l.x, x), append(l.y, y) }

func (l line) named(name, class string) line {
	l.Name, l.Class = name, class
	return l
}

// plot is lines on axes, placed.
type plot struct {
	Title, Unit string
	Lines       []placed
	X, Y        []tick
}

// placed is a line as its points in the view box, and what to say of each.
type placed struct {
	Name, Class, Points string
	Dots                []dot
	Few                 bool // so few points that each is shown
}

type dot struct{ X, Y, Text string }

// tick is a mark on an axis.
type tick struct{ At, Text string }

// axis maps values to 0–1 and knows where marks belong.
type axis struct {
	place func(float64) float64
	marks []float64
	text  func(float64) string
}

// maxDots is how many points of a line can be pointed at.
const maxDots = 600

// drawn places lines on a horizontal axis and on a vertical one that scale makes of the values.
func drawn(title, unit string, x axis, scale func([]line) axis, lines ...line) plot {
	y := scale(lines)
	p := plot{Title: title, Unit: unit}
	for _, m := range x.marks {
		p.X = append(p.X, tick{coordinate(plotWidth * x.place(m)), x.text(m)})
	}
	for _, m := range y.marks {
		p.Y = append(p.Y, tick{coordinate(plotHeight * (1 - y.place(m))), y.text(m)})
	}
	for _, l := range lines {
		out := placed{Name: l.Name, Class: l.Class, Few: len(l.x) <= 30}
		points := make([]string, len(l.x))
		for i := range l.x {
			px, py := coordinate(plotWidth*x.place(l.x[i])), coordinate(plotHeight*(1-y.place(l.y[i])))
			points[i] = px + "," + py
			if len(l.x) <= maxDots {
				out.Dots = append(out.Dots, dot{px, py, fmt.Sprintf("%s %s at %s", l.Name, brief(l.y[i]), x.text(l.x[i]))})
			}
		}
		out.Points = strings.Join(points, " ")
		p.Lines = append(p.Lines, out)
	}
	return p
}

func coordinate(v float64) string {
	return strconv.FormatFloat(min(max(v, -1), plotWidth+1), 'f', 1, 64)
}

// timeAxis goes from 0 to last seconds.
func timeAxis(last float64) axis {
	return axis{
		place: func(v float64) float64 { return v / last }, marks: roundMarks(last),
		text: func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) + " s" },
	}
}

// nines is a share's place on a percentile axis: 0.9 is 1, 0.99 is 2.
func nines(share float64) float64 { return -math.Log10(1 - share) }

// percentileAxis gives every further nine the same room, as far as the line goes.
func percentileAxis(l line) axis {
	last := 1.0
	for _, x := range l.x {
		last = max(last, x)
	}
	a := axis{
		place: func(v float64) float64 { return v / last },
		text: func(v float64) string {
			return strconv.FormatFloat(100*(1-math.Pow(10, -v)), 'f', max(int(math.Ceil(v))-2, 0), 64) + " %"
		},
		marks: []float64{0, nines(0.5)},
	}
	for n := 1.0; n <= last; n++ {
		a.marks = append(a.marks, n)
	}
	return a
}

// linear goes from 0 to a little above the highest value.
func linear(lines []line) axis {
	_, top := bounds(lines)
	marks := roundMarks(max(top, 0.001))
	top = max(top*1.05, marks[len(marks)-1])
	return axis{place: func(v float64) float64 { return v / top }, marks: marks, text: func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }}
}

// logarithmic goes from the power of ten below the lowest value to that above the highest, where those are far apart; else it is linear.
func logarithmic(lines []line) axis {
	low, high := bounds(lines)
	if low <= 0 || high/low < 8 {
		return linear(lines)
	}
	from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	a := axis{place: func(v float64) float64 { return (math.Log10(v) - from) / (to - from) }, text: func(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }}
	for p := from; p <= to; p++ {
		a.marks = append(a.marks, math.Pow(10, p))
	}
	return a
}

func bounds(lines []line) (low, high float64) {
	low = math.Inf(1)
	for _, l := range lines {
		for _, v := range l.y {
			low, high = min(low, v), max(high, v)
		}
	}
	return low, high
}

// roundMarks are about five round numbers from 0 to top.
func roundMarks(top float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10(top)))
	for _, finer := range []float64{0.2, 0.5, 1, 2} {
		if top/(step*finer) <= 6 {
			step *= finer
			break
		}
	}
	var marks []float64
	for i := 0.0; i*step <= top*1.0001; i++ {
		marks = append(marks, i*step)
	}
	return marks
}
