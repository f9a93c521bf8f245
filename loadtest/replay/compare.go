package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"

	"sluice/loadtest"
)

// difference is what comparing two answers gave.
type difference struct {
	Numbers, NumbersDiffer int     // compared, and further apart than the tolerance
	Labels, LabelsDiffer   int     // texts and truth values
	Distance               float64 // sum of the numbers' relative distances, each 0–2
	Worst                  float64 // the greatest of them
}

// differs says whether the answers are not the same.
func (d *difference) differs() bool { return d.NumbersDiffer+d.LabelsDiffer > 0 }

// The ways in which two answers cannot be compared.
var (
	errNotPredictions = errors.New("the recorded answer holds no predictions")
	errShape          = errors.New("the answers have different shapes")
)

// body is an answer with its media type.
type body struct {
	media string
	bytes []byte
}

// compare compares the predictions of two answers: of MLflow's scoring protocol, {"predictions": …}, or outputs of the Open Inference Protocol, by name,
// whatever they are written as and whatever type their numbers have. Numbers are the same within tolerance:
//
//	|a − b| ≤ tolerance · max(1, |a|, |b|)      their distance is |a − b| / max(|a|, |b|), 0 where both are 0
func compare(recorded, now body, tolerance float64) (difference, error) {
	a, ok := recorded.predictions()
	if !ok {
		return difference{}, errNotPredictions
	}
	b, ok := now.predictions()
	if !ok {
		return difference{}, errShape
	}
	c := comparer{tolerance: tolerance}
	if !c.same(a, b) {
		return difference{}, errShape
	}
	return c.difference, nil
}

// tensor is the values of an output.
type tensor struct {
	shape  []int
	values []any
}

// predictions are lists, objects, values and tensors.
func (b body) predictions() (any, bool) {
	var answer struct {
		Predictions any `json:"predictions"`
	}
	dec := json.NewDecoder(bytes.NewReader(b.bytes))
	if err := dec.Decode(&answer); err == nil && answer.Predictions != nil {
		return answer.Predictions, true
	}
	outputs, err := loadtest.Outputs(b.media, b.bytes)
	if err != nil || len(outputs) == 0 {
		return nil, false
	}
	named := make(map[string]any, len(outputs))
	for _, o := range outputs {
		named[o.Name] = tensor{o.Shape, o.Values}
	}
	return named, true
}

type comparer struct {
	difference
	tolerance float64
}

// same walks both values; false if one has what the other has not.
func (c *comparer) same(a, b any) bool {
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !c.same(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, v := range a {
			w, ok := b[name]
			if !ok || !c.same(v, w) {
				return false
			}
		}
		return true
	case tensor:
		b, ok := b.(tensor)
		return ok && slices.Equal(a.shape, b.shape) && c.same(a.values, b.values)
	case float64:
		if b, ok := b.(float64); ok {
			c.number(a, b)
			return true
		}
		return c.unlike(b)
	}
	if composed(b) {
		return false
	}
	c.Labels++
	if a != b {
		c.LabelsDiffer++
	}
	return true
}

// unlike compares a number with what is none: a null is a number that is missing.
func (c *comparer) unlike(b any) bool {
	if composed(b) {
		return false
	}
	c.Labels++
	c.LabelsDiffer++
	return true
}

// composed says whether a value holds others.
func composed(v any) bool {
	switch v.(type) {
	case []any, map[string]any, tensor:
		return true
	}
	return false
}

func (c *comparer) number(a, b float64) {
	c.Numbers++
	gap, size := math.Abs(a-b), max(math.Abs(a), math.Abs(b))
	if gap > c.tolerance*max(1, size) {
		c.NumbersDiffer++
	}
	if gap > 0 {
		c.Distance += gap / size
		c.Worst = max(c.Worst, gap/size)
	}
}
