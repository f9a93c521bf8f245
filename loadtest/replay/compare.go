package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
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
	errNotPredictions = errors.New("the recorded answer is not one of MLflow's scoring protocol")
	errShape          = errors.New("the answers have different shapes")
)

// compare compares the predictions of two answers of MLflow's scoring protocol, {"predictions": …}. Numbers are the same within tolerance:
//
//	|a − b| ≤ tolerance · max(1, |a|, |b|)      their distance is |a − b| / max(|a|, |b|), 0 where both are 0
func compare(recorded, now []byte, tolerance float64) (difference, error) {
	a, ok := predictions(recorded)
	if !ok {
		return difference{}, errNotPredictions
	}
	b, ok := predictions(now)
	if !ok {
		return difference{}, errShape
	}
	c := comparer{tolerance: tolerance}
	if !c.same(a, b) {
		return difference{}, errShape
	}
	return c.difference, nil
}

func predictions(body []byte) (any, bool) {
	var answer struct {
		Predictions any `json:"predictions"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&answer); err != nil || answer.Predictions == nil {
		return nil, false
	}
	return answer.Predictions, true
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
	case float64:
		if b, ok := b.(float64); ok {
			c.number(a, b)
			return true
		}
		return c.unlike(b)
	}
	switch b.(type) {
	case []any, map[string]any:
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
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	c.Labels++
	c.LabelsDiffer++
	return true
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
