package predictions

import (
	"context"
	"time"

	"sluice/gateway/predlog"
)

// MaxGaps is how many gaps are kept, the newest.
const MaxGaps = 1000

// Gaps keeps when records may be missing, because a server was cut off. It is safe for concurrent use, by several processes too.
type Gaps interface {
	// AddGap enters a gap; one that is there already, by its ID, stays as it is. The oldest beyond MaxGaps go.
	AddGap(ctx context.Context, g predlog.Gap) error
	// Gaps returns those that overlap from ≤ t < to, the newest first, limit at most; the zero time does not bound.
	Gaps(ctx context.Context, from, to time.Time, limit int) ([]predlog.Gap, error)
}
