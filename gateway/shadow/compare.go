// Package shadow compares what a shadow arm answered with the answer that the caller got, and keeps what came of it.
//
// It owns the measures (Compare) and the Book of results by endpoint and arm. It is called by invoke, which runs the shadows, by telemetry, which
// shows the book, and by rollout, which may judge a version by it; it must not know how a request is copied or executed, HTTP, or the
// registry. A Book is safe for concurrent use, a Comparer is not.
//
// # Measures
//
// Floating-point outputs have a distance, the mean over their elements of
//
//	|a − b| / max(|a|, |b|)
//
// where a is the caller's and b the shadow's element: 0 where both are equal (two NaN are), 1 where one of the two is not finite or is 0, 2 at most, for
// opposite signs of one size. Outputs of whole numbers, booleans and text are labels; their disagreement is the share of elements
// that differ. A classifier without labels, whose answer is a map of probabilities, has the most likely key for a label.
package shadow

import (
	"math"
	"slices"

	"sluice/runtime/tensor"
)

// Difference is what Compare found.
type Difference struct {
	// Comparable says whether the two have the same outputs of the same shapes; everything else is 0 where they have not.
	Comparable bool
	// Distance is 0–2, of floating-point outputs; HasDistance says whether there are any.
	Distance    float64
	HasDistance bool
	// Disagreement is 0–1, of labels; HasLabels says whether there are any.
	Disagreement float64
	HasLabels    bool
}

// Comparer keeps the memory of comparisons. The zero value is ready.
type Comparer struct {
	a, b tensor.Tensor

	distance, elements     float64
	differing, labels      float64
	likelyDiffer, likelies float64
}

// Compare compares two answers to one request. Neither is changed or kept.
func (c *Comparer) Compare(answer, shadow *tensor.Batch) Difference {
	*c = Comparer{a: c.a, b: c.b}
	if len(answer.Columns) != len(shadow.Columns) {
		return Difference{}
	}
	for i := range answer.Columns {
		a := &answer.Columns[i]
		b := &shadow.Columns[i]
		if a.Name != b.Name {
			if b = shadow.Column(a.Name); b == nil {
				return Difference{}
			}
		}
		if !slices.Equal(a.Tensor.Shape, b.Tensor.Shape) || !slices.Equal(a.Keys, b.Keys) || !c.column(a, b) {
			return Difference{}
		}
	}
	if c.labels == 0 {
		c.differing, c.labels = c.likelyDiffer, c.likelies
	}
	d := Difference{Comparable: true, HasDistance: c.elements > 0, HasLabels: c.labels > 0}
	if d.HasDistance {
		d.Distance = c.distance / c.elements
	}
	if d.HasLabels {
		d.Disagreement = c.differing / c.labels
	}
	return d
}

// column compares one output; false if the two cannot be compared.
func (c *Comparer) column(a, b *tensor.Column) bool {
	if a.Tensor.Type.Text() != b.Tensor.Type.Text() {
		return false
	}
	if a.Tensor.Type.Text() {
		c.text(a.Tensor.Strings(), b.Tensor.Strings())
		return true
	}
	if tensor.Convert(&c.a, tensor.Float64, &a.Tensor) != nil || tensor.Convert(&c.b, tensor.Float64, &b.Tensor) != nil {
		return c.times(&a.Tensor, &b.Tensor)
	}
	x, y := tensor.Of[float64](&c.a), tensor.Of[float64](&c.b)
	if !a.Tensor.Type.Float() && !b.Tensor.Type.Float() {
		for i := range x {
			c.label(x[i] == y[i])
		}
		return true
	}
	for i := range x {
		c.distance += apart(x[i], y[i])
	}
	c.elements += float64(len(x))
	if width := len(a.Keys); width > 1 {
		for i := 0; i+width <= len(x); i += width {
			c.likelies++
			if likeliest(x[i:i+width]) != likeliest(y[i:i+width]) {
				c.likelyDiffer++
			}
		}
	}
	return true
}

func (c *Comparer) text(a, b []string) {
	for i := range a {
		c.label(a[i] == b[i])
	}
}

// times compares times, which are no numbers.
func (c *Comparer) times(a, b *tensor.Tensor) bool {
	if a.Type != b.Type || a.Type != tensor.Datetime {
		return false
	}
	y := tensor.Of[int64](b)
	for i, v := range tensor.Of[int64](a) {
		c.label(v == y[i])
	}
	return true
}

func (c *Comparer) label(same bool) {
	c.labels++
	if !same {
		c.differing++
	}
}

// apart is the distance of two numbers, 0–2.
func apart(a, b float64) float64 {
	switch {
	case a == b, math.IsNaN(a) && math.IsNaN(b):
		return 0
	case math.IsNaN(a), math.IsNaN(b), math.IsInf(a, 0), math.IsInf(b, 0):
		return 1
	}
	most := max(math.Abs(a), math.Abs(b))
	return math.Abs(a/most - b/most)
}

// likeliest is the index of the largest number.
func likeliest(row []float64) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
