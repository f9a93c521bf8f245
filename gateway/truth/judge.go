package truth

import (
	"fmt"

	"sluice/gateway"
)

// Judgement is what comparing one prediction with its ground truth says. A class was Judged, a number Measured; a number with a tolerance
// is both.
type Judgement struct {
	Judged, Wrong     bool
	Predicted, Actual string // the classes
	Measured          bool
	Error             float64 // predicted − actual
}

// Judge compares, as the package comment says. The error says why the two cannot be compared.
func Judge(s gateway.GroundTruth, predicted, actual Value) (Judgement, error) {
	if predicted.Kind == Bool && actual.numeric() {
		predicted.Kind = Whole
	}
	if actual.Kind == Bool && predicted.numeric() {
		actual.Kind = Whole
	}
	class := predicted.Kind == Text || predicted.Kind == Bool || actual.Kind == Text || actual.Kind == Bool ||
		predicted.Kind == Whole && actual.Kind == Whole
	switch s.Task {
	case gateway.TaskClassification:
		class = true
	case gateway.TaskRegression:
		class = false
	}
	if class {
		if predicted.numeric() != actual.numeric() || (predicted.Kind == Text) != (actual.Kind == Text) {
			return Judgement{}, fmt.Errorf("the prediction %s and the ground truth %s are values of different kinds", predicted.JSON(), actual.JSON())
		}
		j := Judgement{Judged: true, Predicted: predicted.Name(), Actual: actual.Name()}
		j.Wrong = j.Predicted != j.Actual
		return j, nil
	}
	if !predicted.numeric() || !actual.numeric() {
		return Judgement{}, fmt.Errorf("the prediction %s and the ground truth %s are not both numbers", predicted.JSON(), actual.JSON())
	}
	j := Judgement{Measured: true, Error: predicted.Number - actual.Number}
	if s.Tolerance > 0 {
		j.Judged, j.Wrong = true, j.Error > s.Tolerance || j.Error < -s.Tolerance
	}
	return j, nil
}
