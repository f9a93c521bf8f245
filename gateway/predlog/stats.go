package predlog

import "time"

// Reason says why a record was dropped.
type Reason uint8

// The reasons of a drop.
const (
	QueueFull Reason = iota // the queue in memory is full: the disk does not keep up
	DiskFull                // Options.MaxDiskBytes is used up by undelivered segments, or the file system is full
	IOError                 // the spool could not be written or read back
	Closed                  // offered after Close, or still in memory when Close ran out of time
	numReasons
)

var reasonNames = [numReasons]string{"queue_full", "disk_full", "io_error", "closed"}

// String returns the reason as it stands in metrics: queue_full, disk_full, io_error or closed.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons returns every reason.
func Reasons() []Reason { return []Reason{QueueFull, DiskFull, IOError, Closed} }

// Drops counts dropped records by Reason; index it with one.
type Drops [numReasons]int64

// Total returns the drops of all reasons.
func (d Drops) Total() int64 {
	var n int64
	for _, v := range d {
		n += v
	}
	return n
}

// Stats is a snapshot of a Log. Counters start at 0 with Open and only rise; gauges say so.
type Stats struct {
	// Offered counts calls of Record; Recorded those that entered the queue.
	Offered, Recorded int64
	// Recovered counts the rows found in spools of an earlier life; it rises while those are sealed in the background after Open.
	Recovered int64
	// Written counts rows appended to the spool, Delivered rows whose segment the Sink took (recovered ones included).
	Written, Delivered int64
	// Truncated counts records whose request or response body was cut.
	Truncated int64
	Dropped   Drops
	// SampledOut counts calls of Skip. Requests = Offered + SampledOut.
	SampledOut int64
	// Gaps is 1 if the log was opened after a life that ended without Close, and GapRecords is how many records that life may have lost.
	Gaps, GapRecords int64
	// QueuedBytes is a gauge: frames in memory, not yet written.
	QueuedBytes int64
	// DiskBytes is a gauge: spools and undelivered segments.
	DiskBytes int64
	// SegmentsPending is a gauge: segments waiting for delivery.
	SegmentsPending int
	// LastError is the last failure of disk or Sink, "" if there was none; LastErrorTime is when.
	LastError     string
	LastErrorTime time.Time
}
