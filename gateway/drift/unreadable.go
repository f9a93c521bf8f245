package drift

import (
	"errors"

	"sluice/gateway"
	"sluice/gateway/predlog"
	"sluice/tracking/mlflow"
)

// How often a segment is tried that cannot be read, once a round: one that is damaged, and one whose store does not answer. Segments behind it wait so
// long, because windows take rows in the order of time.
const (
	damagedTries = 3
	deadTries    = 30
)

// again says whether the next round tries the segment once more. The caller holds round.
func (s *Service) again(err error) bool {
	s.refused++
	if errors.Is(err, predlog.ErrDamaged) {
		return s.refused < damagedTries
	}
	return s.refused < deadTries
}

// leftOut is what is told of a segment that could not be read; nothing without an error.
func leftOut(err error) []Change {
	if err == nil {
		return nil
	}
	return []Change{{gateway.EventDriftSegmentLeftOut, "a segment of the prediction log is in no window, it cannot be read: " + mlflow.Truncate(err.Error(), maxReason)}}
}
