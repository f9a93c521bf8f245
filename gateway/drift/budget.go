package drift

import "time"

// Bounds on what all versions together have read of them, in requests.
const (
	// readPerSecond is what is read in the long run: 1 to 3 % of a processor.
	readPerSecond = 1000
	// readAtOnce is what was left over and may be read at once, so that a burst of requests is seen as a whole.
	readAtOnce = 30_000
	// readAlways is read of every segment: enough for a version beside busy ones.
	readAlways = 250
)

// budget is how many requests may be read now. The zero value is full. It is not safe for concurrent use.
type budget struct {
	spent float64 // of readAtOnce
	at    time.Time
}

// take returns how many of a segment's requests are read.
func (b *budget) take(now time.Time, wanted int64) int64 {
	if passed := now.Sub(b.at); passed > 0 {
		b.spent, b.at = max(0, b.spent-passed.Seconds()*readPerSecond), now
	}
	granted := min(wanted, MaxRecords, max(readAlways, int64(readAtOnce-b.spent)))
	b.spent = min(b.spent+float64(granted), readAtOnce)
	return granted
}
