package admit

import (
	"math"
	"sync/atomic"
	"time"
)

// Gate stands before one model version. Make it with Controller.Gate.
type Gate struct {
	c      *Controller
	inside atomic.Int64
	// cost is what one request inside adds to the wait of the next, ns; 0 until it is known.
	cost atomic.Int64
	// above is since when requests of a class found the version above their limit, on the Controller's clock; 0: they do not.
	above [classes]atomic.Int64
}

// Gate returns a new gate of a version.
func (c *Controller) Gate() *Gate { return &Gate{c: c} }

// fewest is how many must be inside for what they meet to say anything about the cost of one: fewer have processors to themselves.
const fewest = 8

// Ticket is what Leave needs to know of what Enter saw. The zero value is nobody's, and leaves nothing.
type Ticket struct{ found int64 } // requests inside, the holder included

// Ask is Enter for a request that is not to be let in yet, because it is still arriving.
func (g *Gate) Ask(now time.Time, left time.Duration, class Class, random uint64) Reason {
	r := g.judge(now, left, class, random, g.inside.Load()+1)
	if r != Admitted {
		g.c.Refuse(r, class)
	}
	return r
}

// Enter lets a request in, or says why not, which is counted; one that was let in leaves by Leave. now is the time, left what the request
// has until its deadline, and random are uniformly random bits, which share refusals out.
func (g *Gate) Enter(now time.Time, left time.Duration, class Class, random uint64) (Ticket, Reason) {
	n := g.inside.Add(1)
	if r := g.judge(now, left, class, random, n); r != Admitted {
		g.inside.Add(-1)
		g.c.Refuse(r, class)
		return Ticket{}, r
	}
	return Ticket{found: n}, Admitted
}

func (g *Gate) judge(now time.Time, left time.Duration, class Class, random uint64, n int64) Reason {
	o := &g.c.opts
	if o.MaxDelay < 0 {
		return Admitted
	}
	at := g.c.since(now)
	if g.c.refuses(at, class, random) {
		return Scheduler
	}
	cost := g.cost.Load()
	if n > fewest && (n-fewest)*cost > int64(left) {
		return Deadline
	}
	whole := limit(o, cost)
	limit := class.share(whole)
	if n > limit {
		if g.crowded(class, at) || class != Interactive && n > calm(whole) {
			return Delay
		}
	} else if g.above[class].Load() != 0 && n <= calm(limit) { // only a queue that has drained is calm, not one that is held at the limit
		g.above[class].Store(0)
	}
	return Admitted
}

// calm is how many may be inside for a queue with this limit to have drained. A burst of a lower class does not go beyond that of the
// whole, which leaves room for those that matter more; and a higher class is calm with the shares of the lower ones full.
func calm(limit int64) int64 { return limit - limit/4 }

// crowded notes that the class found the version above its limit, and says whether it, or one that matters more, has for Patience.
func (g *Gate) crowded(class Class, at int64) bool {
	g.above[class].CompareAndSwap(0, at)
	for k := range class + 1 {
		if since := g.above[k].Load(); since != 0 && at-since >= int64(g.c.opts.Patience) {
			return true
		}
	}
	return false
}

// limit is how many may be inside before more are refused.
func limit(o *Options, cost int64) int64 {
	if cost <= 0 {
		return math.MaxInt64
	}
	return max(o.Free, int64(o.MaxDelay)/cost)
}

// Leave is called once by each request that was let in, with the time that it spent inside (0: nobody knows). answered says that it was executed:
// one that ended early says little about what the others cost.
func (g *Gate) Leave(t Ticket, spent time.Duration, answered bool) {
	g.inside.Add(-1)
	if t.found < fewest || spent <= 0 {
		return
	}
	sample, cost := int64(spent)/t.found, g.cost.Load()
	switch {
	case cost == 0:
		cost = sample
	case answered || sample > cost: // who waited in vain would have waited longer
		cost += (sample - cost) / 16
	}
	g.cost.Store(cost) // an update that races with another one may be lost
}

// Inside is the number of requests let in that have not left.
func (g *Gate) Inside() int64 { return g.inside.Load() }

// Wait is what one more request would wait, as far as is known.
func (g *Gate) Wait() time.Duration { return time.Duration(g.inside.Load() * g.cost.Load()) }
