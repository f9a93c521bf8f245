package gateway

import (
	"time"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// The tasks of GroundTruth.
const (
	TaskClassification = "classification"
	TaskRegression     = "regression"
)

// MaxTruthLookback bounds how far back predictions are looked for by other than their own id.
const MaxTruthLookback = 45 * 24 * time.Hour

// DefaultTruthLookback is how far back they are looked for where the endpoint does not say.
const DefaultTruthLookback = 24 * time.Hour

const maxColumnLength = 250 // characters of a column's name

// GroundTruth says how ground truth is joined with an endpoint's predictions and compared. The zero value takes it by prediction id and
// client's id, and judges by what the values are.
type GroundTruth struct {
	// Key is the column of the request that identifies a row, for ground truth by business key; "" means that none does.
	Key string
	// Output is the field of the answer that is compared; "" means the first.
	Output string
	// Task is TaskClassification, TaskRegression, or "" for what the values look like.
	Task string
	// Tolerance makes numbers right that are nearer than this to their ground truth, so that they have an accuracy; 0 means none.
	Tolerance float64
	// Lookback is how far back predictions are looked for by client's id and key; 0 means DefaultTruthLookback.
	Lookback time.Duration
}

func (g GroundTruth) check() error {
	switch {
	case utf8.RuneCountInString(g.Key) > maxColumnLength:
		return mlflow.Invalidf("ground_truth.key is longer than %d characters", maxColumnLength)
	case utf8.RuneCountInString(g.Output) > maxColumnLength:
		return mlflow.Invalidf("ground_truth.output is longer than %d characters", maxColumnLength)
	case g.Task != "" && g.Task != TaskClassification && g.Task != TaskRegression:
		return mlflow.Invalidf("ground_truth.task %q is none of %s, %s", clip(g.Task, 60), TaskClassification, TaskRegression)
	case !(g.Tolerance >= 0 && g.Tolerance <= 1e300):
		return mlflow.Invalidf("ground_truth.tolerance is not a number from 0")
	case g.Tolerance > 0 && g.Task == TaskClassification:
		return mlflow.Invalidf("ground_truth.tolerance is for numbers: classes are right or wrong")
	case g.Lookback < 0 || g.Lookback > MaxTruthLookback:
		return mlflow.Invalidf("ground_truth.lookback %s is not a time up to %s", g.Lookback, MaxTruthLookback)
	}
	return nil
}
