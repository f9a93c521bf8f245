// Package admit decides, when a prediction request begins, whether it is let in or refused at once, so that under overload most of what is
// let in is answered in time and the rest learns at once that it must come again.
//
// It owns the Gate of one model version (how many requests are inside, what one more would wait), the Pulse of the process (how long
// goroutines wait for a processor), the priority classes and the counts of refusals. It is called by invoke, before a body is read; it must
// not know HTTP, routes, or what a request asks for. Everything is safe for concurrent use, nothing here waits, and nothing is allocated.
//
// # The gate of a version
//
// Requests inside are those let in and not yet answered. What each adds to the wait of the next is learned from those that end: the time
// that a request spent inside, divided by the number that it found there (Little's law: at full load that is one over the throughput,
// whatever the model, its batches or the size of its bodies cost). So the wait of one more is known before it waits:
//
//	wait = inside · cost        limit = max(Free, MaxDelay / cost)
//
// A request above the limit is refused, but only once every moment of the last Patience found the version above it: a burst is let in and
// drains. The first Free inside are never refused for the wait they have, so that as many clients that each wait for their answer never
// meet a refusal. A request that would wait beyond its own deadline is refused at once, whatever the state.
//
// # The pulse of the process
//
// Where models are cheap, requests do not queue here: they queue as sockets and goroutines in front of a processor. The runtime's own
// histogram of that wait is read every few hundredths of a second, by whichever request comes by. While its median stays above MaxDelay a share
// of the requests is refused, which grows and shrinks with the wait.
//
// # Classes
//
// A class's limit is its share of the version's: Interactive all of it, Batch a half, Shadow a quarter; a burst of a lower class fills three
// quarters of the whole at most. So a lower class is refused while a higher one is still let in, and never the other way round; the share that the pulse refuses is taken from the lowest class first.
package admit

import (
	"sync/atomic"
	"time"
)

// Class is how much a request matters when not all can be answered. The zero value matters most.
type Class uint8

const (
	Interactive Class = iota // somebody waits for the answer; the default
	Batch                    // a job that can ask again
	Shadow                   // the answer is for comparison only
	classes
)

// String is the class as clients write it.
func (c Class) String() string {
	switch c {
	case Batch:
		return "batch"
	case Shadow:
		return "shadow"
	}
	return "interactive"
}

// ParseClass reads a class as clients write it; "" is Interactive.
func ParseClass(text []byte) (c Class, ok bool) {
	switch string(text) { // no allocation
	case "", "interactive":
		return Interactive, true
	case "batch":
		return Batch, true
	case "shadow":
		return Shadow, true
	}
	return 0, false
}

// share is what part of n a class may fill.
func (c Class) share(n int64) int64 { return n >> c }

// Reason is why a request was refused.
type Reason uint8

const (
	Admitted  Reason = iota // it was not
	Full                    // MaxInFlight requests are under way in the process
	Delay                   // the version's queue is longer than MaxDelay, and has been for Patience
	Deadline                // it would wait longer than it may
	Scheduler               // goroutines wait longer than MaxDelay for a processor, and have for Patience
	Queue                   // the version's own queue is full, which its bounds on calls and bytes say
	reasons
)

// String is the reason as metrics and prediction records show it.
func (r Reason) String() string {
	return [...]string{"admitted", "in_flight", "queue_delay", "deadline", "scheduler", "queue_full"}[min(r, reasons-1)]
}

// Options of a Controller; nil and the zero value work.
type Options struct {
	// MaxInFlight bounds the requests under way in the process, of all versions and arriving ones included. Default (0): 4096.
	MaxInFlight int64
	// MaxDelay is how long a request may have to wait before others are refused. Default (0): 100 ms. Negative: the wait refuses nobody, only
	// the bounds on numbers do.
	MaxDelay time.Duration
	// Patience is how long the wait must stay above MaxDelay first. Default (0): 100 ms.
	Patience time.Duration
	// Free is how many requests inside a version are not refused for the wait of the next. Default (0): 128.
	Free int64
	// Now is the clock by which callers tell the time; default: time.Now.
	Now func() time.Time
	// Latencies reads the histogram of how long goroutines wait for a processor; default: the runtime's.
	Latencies func(*Latencies)
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.MaxInFlight <= 0 {
		out.MaxInFlight = 4096
	}
	if out.MaxDelay == 0 {
		out.MaxDelay = 100 * time.Millisecond
	}
	if out.Patience <= 0 {
		out.Patience = 100 * time.Millisecond
	}
	if out.Free <= 0 {
		out.Free = 128
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Latencies == nil {
		out.Latencies = runtimeLatencies()
	}
	return out
}

// Controller is what the gates of a process share. Use New.
type Controller struct {
	opts     Options
	epoch    time.Time
	inFlight atomic.Int64
	pulse    pulse
	refused  [reasons][classes]atomic.Int64
}

// New returns a Controller; opts may be nil.
func New(opts *Options) *Controller {
	c := &Controller{opts: opts.withDefaults()}
	c.epoch = c.opts.Now()
	c.pulse.read = c.opts.Latencies
	return c
}

// Begin counts a request that has arrived, for End to count it out.
func (c *Controller) Begin() { c.inFlight.Add(1) }

// End is called once for each Begin.
func (c *Controller) End() { c.inFlight.Add(-1) }

// Full says whether more are under way than a request of the class may find, itself included; if so it is counted as refused.
func (c *Controller) Full(k Class) bool {
	if c.inFlight.Load() <= k.share(c.opts.MaxInFlight) {
		return false
	}
	c.Refuse(Full, k)
	return true
}

// InFlight is the number of requests between Begin and End.
func (c *Controller) InFlight() int64 { return c.inFlight.Load() }

// Refused is one count of Refusals.
type Refused struct {
	Reason Reason
	Class  Class
	Count  int64
}

// Refusals returns how many requests were refused since New, by reason and class, those that never were left out.
func (c *Controller) Refusals() []Refused {
	var out []Refused
	for r := range c.refused {
		for k := range c.refused[r] {
			if n := c.refused[r][k].Load(); n > 0 {
				out = append(out, Refused{Reason: Reason(r), Class: Class(k), Count: n})
			}
		}
	}
	return out
}

// SchedulerDelay is the wait of goroutines for a processor as read last.
func (c *Controller) SchedulerDelay() time.Duration { return time.Duration(c.pulse.delay.Load()) }

// Refuse counts a refusal that somebody else decided.
func (c *Controller) Refuse(r Reason, k Class) {
	c.refused[min(r, reasons-1)][min(k, classes-1)].Add(1)
}

// since is the time on the Controller's clock, ns, above 0.
func (c *Controller) since(now time.Time) int64 { return max(int64(now.Sub(c.epoch)), 1) }
