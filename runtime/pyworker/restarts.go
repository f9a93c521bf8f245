package pyworker

import "sync/atomic"

// Reason says why a worker was replaced.
type Reason uint8

// The reasons. Those from Age on are planned: the successor was started first.
const (
	Crashed     Reason = iota // ended, or died of a signal of its own making
	Killed                    // by SIGKILL from elsewhere
	OutOfMemory               // by the system, for want of memory
	Memory                    // over MemoryBytes
	Stopped                   // SIGSTOP
	Hung                      // did not answer a heartbeat, or an interrupt
	Garbage                   // sent something that is no frame, or not what was asked for
	Failed                    // could not start or load the model
	Age                       // older than MaxAge
	Requests                  // answered MaxRequests
	Rows                      // answered MaxRows
	reasons
)

var reasonNames = [reasons]string{
	"crashed", "killed", "out_of_memory", "memory", "stopped", "hung", "garbage", "failed", "age", "requests", "rows",
}

// String is the reason as metrics have it.
func (r Reason) String() string {
	if r >= reasons {
		return "unknown"
	}
	return reasonNames[r]
}

// planned reports whether the worker did nothing wrong.
func (r Reason) planned() bool { return r >= Age }

// Restarts counts replaced workers by reason. The zero value is ready; it is safe for concurrent use.
type Restarts struct{ counts [reasons]atomic.Int64 }

// Each calls f for every reason with its count.
func (r *Restarts) Each(f func(reason Reason, count int64)) {
	for i := range r.counts {
		f(Reason(i), r.counts[i].Load())
	}
}

func (r *Restarts) add(reason Reason) { r.counts[reason].Add(1) }
