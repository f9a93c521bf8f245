package truth

import (
	"math"
	"slices"
)

// maxClasses bounds the classes of a Tally in each direction; further ones are counted as OtherClass, right and wrong all the same.
const maxClasses = 64

// OtherClass stands for the classes past the bound.
const OtherClass = "(other)"

// Tally counts labels of one version. The zero value is empty. It is stored as it is encoded: fields are added, never renamed.
type Tally struct {
	Labels uint64 `json:"labels"`
	// Of them, Judged were right or wrong, Measured have an error.
	Judged       uint64  `json:"judged,omitempty"`
	Wrong        uint64  `json:"wrong,omitempty"`
	Measured     uint64  `json:"measured,omitempty"`
	AbsError     float64 `json:"abs_error,omitempty"`     // sum of |predicted − actual|
	SquaredError float64 `json:"squared_error,omitempty"` // sum of (predicted − actual)²
	// Classes counts by actual and predicted class.
	Classes map[string]map[string]uint64 `json:"classes,omitempty"`
}

// Count adds one label.
func (t *Tally) Count(j Judgement) {
	t.Labels++
	if j.Judged {
		t.Judged++
	}
	if j.Wrong {
		t.Wrong++
	}
	if j.Measured {
		t.Measured++
		t.AbsError += math.Abs(j.Error)
		t.SquaredError += j.Error * j.Error
	} else {
		t.confuse(j.Actual, j.Predicted, 1)
	}
}

func (t *Tally) confuse(actual, predicted string, n uint64) {
	if t.Classes == nil {
		t.Classes = map[string]map[string]uint64{}
	}
	row := t.Classes[actual]
	if row == nil {
		if len(t.Classes) >= maxClasses {
			actual = OtherClass
		}
		if row = t.Classes[actual]; row == nil {
			row = map[string]uint64{}
			t.Classes[actual] = row
		}
	}
	if _, known := row[predicted]; !known && len(row) >= maxClasses {
		predicted = OtherClass
	}
	row[predicted] += n
}

// Add adds o to t; o stays as it is.
func (t *Tally) Add(o *Tally) {
	t.Labels += o.Labels
	t.Judged += o.Judged
	t.Wrong += o.Wrong
	t.Measured += o.Measured
	t.AbsError += o.AbsError
	t.SquaredError += o.SquaredError
	for _, actual := range sortedKeys(o.Classes) {
		for _, predicted := range sortedKeys(o.Classes[actual]) {
			t.confuse(actual, predicted, o.Classes[actual][predicted])
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Quality is what a Tally says. A field without ground to stand on is nil.
type Quality struct {
	Labels uint64 `json:"labels"`
	// Accuracy is the share of right answers of Judged.
	Accuracy *float64 `json:"accuracy,omitempty"`
	Judged   uint64   `json:"judged,omitempty"`
	// The macro means are over the classes that occur, actual or predicted, each weighing the same; where nothing was predicted (or nothing
	// was actual) of a class its precision (recall) is 0, as in scikit-learn.
	PrecisionMacro *float64 `json:"precision_macro,omitempty"`
	RecallMacro    *float64 `json:"recall_macro,omitempty"`
	F1Macro        *float64 `json:"f1_macro,omitempty"`
	Classes        []Class  `json:"classes,omitempty"` // sorted by name
	// MAE and RMSE are of Measured numbers, in the prediction's unit.
	MAE      *float64 `json:"mae,omitempty"`
	RMSE     *float64 `json:"rmse,omitempty"`
	Measured uint64   `json:"measured,omitempty"`
}

// Class is the quality of one class.
type Class struct {
	Name      string  `json:"class"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Support   uint64  `json:"support"` // labels of this class
}

// Quality computes the numbers.
func (t *Tally) Quality() Quality {
	q := Quality{Labels: t.Labels, Judged: t.Judged, Measured: t.Measured}
	if t.Judged > 0 {
		q.Accuracy = pointer(1 - float64(t.Wrong)/float64(t.Judged))
	}
	if t.Measured > 0 {
		n := float64(t.Measured)
		q.MAE, q.RMSE = pointer(t.AbsError/n), pointer(math.Sqrt(t.SquaredError/n))
	}
	if q.Classes = t.classes(); len(q.Classes) > 0 {
		var p, r, f float64
		for _, c := range q.Classes {
			p, r, f = p+c.Precision, r+c.Recall, f+c.F1
		}
		n := float64(len(q.Classes))
		q.PrecisionMacro, q.RecallMacro, q.F1Macro = pointer(p/n), pointer(r/n), pointer(f/n)
	}
	return q
}

func pointer(x float64) *float64 { return &x }

func (t *Tally) classes() []Class {
	hits, actual, predicted := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	names := map[string]bool{}
	for a, row := range t.Classes {
		for p, n := range row {
			names[a], names[p] = true, true
			actual[a] += n
			predicted[p] += n
			if a == p {
				hits[a] += n
			}
		}
	}
	var out []Class
	for _, name := range sortedKeys(names) {
		c := Class{Name: name, Support: actual[name], Precision: share(hits[name], predicted[name]), Recall: share(hits[name], actual[name])}
		if c.Precision+c.Recall > 0 {
			c.F1 = 2 * c.Precision * c.Recall / (c.Precision + c.Recall)
		}
		out = append(out, c)
	}
	return out
}

func share(k, n uint64) float64 {
	if n == 0 {
		return 0
	}
	return float64(k) / float64(n)
}
