package gateway

import (
	"time"

	"sluice/tracking/mlflow"
)

// Drift says how an endpoint's requests and predictions are compared with what they were. The zero value means the defaults.
type Drift struct {
	// Off switches the comparison off.
	Off bool
	// Window is how much time is compared at once; 0 means DefaultDriftWindow.
	Window time.Duration
	// MinRows is how many rows a window needs to be compared; 0 means DefaultDriftMinRows.
	MinRows int64
	// Baseline says what versions are compared with: "" the best that there is (see gateway/drift), BaselineFirst their first predictions
	// whatever else there is, anything else a table: a path among the artifacts of the version's training run, or an artifact URI.
	Baseline string
	// BaselineRows is how many rows are a version's baseline, of those there are; 0 means DefaultDriftBaselineRows.
	BaselineRows int64
	// MaxPSI and MaxKS are what a column may have without drifting; 0 means DefaultMaxPSI and DefaultMaxKS.
	MaxPSI, MaxKS float64
}

// BaselineFirst is the Drift.Baseline that takes nothing but predictions.
const BaselineFirst = "first_predictions"

// maxBaseline bounds Drift.Baseline, bytes.
const maxBaseline = 1000

// The defaults of Drift.
const (
	DefaultDriftWindow       = time.Hour
	DefaultDriftMinRows      = 500
	DefaultDriftBaselineRows = 5000
	DefaultMaxPSI            = 0.2
	DefaultMaxKS             = 0.2
)

// WithDefaults returns the settings with every number set.
func (d Drift) WithDefaults() Drift {
	if d.Window == 0 {
		d.Window = DefaultDriftWindow
	}
	if d.MinRows == 0 {
		d.MinRows = DefaultDriftMinRows
	}
	if d.BaselineRows == 0 {
		d.BaselineRows = DefaultDriftBaselineRows
	}
	if d.MaxPSI == 0 {
		d.MaxPSI = DefaultMaxPSI
	}
	if d.MaxKS == 0 {
		d.MaxKS = DefaultMaxKS
	}
	return d
}

func (d Drift) check() error {
	v := d.WithDefaults()
	switch {
	case v.Window < time.Second || v.Window > MaxRolloutDuration:
		return mlflow.Invalidf("drift.window %s is not between 1s and %s", v.Window, MaxRolloutDuration)
	case v.MinRows < 50 || v.MinRows > 10_000_000:
		return mlflow.Invalidf("drift.min_rows %d is not between 50 and 10000000", v.MinRows)
	case len(v.Baseline) > maxBaseline:
		return mlflow.Invalidf("drift.baseline has %d bytes, at most %d may be", len(v.Baseline), maxBaseline)
	case v.BaselineRows < 100 || v.BaselineRows > 10_000_000:
		return mlflow.Invalidf("drift.baseline_rows %d is not between 100 and 10000000", v.BaselineRows)
	case !(v.MaxPSI > 0 && v.MaxPSI <= 100):
		return mlflow.Invalidf("drift.max_psi is not above 0 and at most 100")
	case !(v.MaxKS > 0 && v.MaxKS <= 1):
		return mlflow.Invalidf("drift.max_ks is not above 0 and at most 1")
	}
	return nil
}

// CheckRollout returns INVALID_PARAMETER_VALUE, naming the field behind path (empty, or ending in "."), for a plan that would wait for a drift that
// nobody looks at.
func (d Drift) CheckRollout(path string, p *RolloutPlan) error {
	for i, m := range p.Analysis.Metrics {
		if m.Name == MetricBaselineDrift && d.Off {
			return mlflow.Invalidf("%sanalysis.metrics[%d].name %q cannot be compared: the endpoint's drift is off", path, i, m.Name)
		}
	}
	return nil
}

// The kinds of events of drift.
const (
	EventDriftDetected EventKind = "drift_detected" // a column of a window is past its limit
	EventDriftEnded    EventKind = "drift_ended"    // no column is any more

	EventDriftBaseline       EventKind = "drift_baseline"         // a version is compared with other rows than its first predictions
	EventDriftBaselineFailed EventKind = "drift_baseline_failed"  // the table that somebody named for that cannot be used
	EventDriftSegmentLeftOut EventKind = "drift_segment_left_out" // a segment of the log could not be read and is in no window
)
