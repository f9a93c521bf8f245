package admit

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"
)

// line is a simulated version: slots that each take service for a request, and everybody else in a queue. Its time is its own, so that the
// tests mean the same on every machine.
type line struct {
	gate    *Gate
	at      time.Time
	slots   int
	service func() time.Duration
	running ends
	queue   []*visit
	visits  []*visit
}

// visit is one request and what became of it.
type visit struct {
	class         Class
	begun, end    time.Time
	left, execute time.Duration
	ticket        Ticket
	reason        Reason
}

func (v *visit) latency() time.Duration { return v.end.Sub(v.begun) }

// ends are the requests that run, the first to end on top.
type ends []*visit

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].end.Before(e[j].end) }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(*visit)) }
func (e *ends) Pop() any          { o := *e; x := o[len(o)-1]; *e = o[:len(o)-1]; return x }

func newLine(t *testing.T, slots int, service time.Duration, opts *Options) *line {
	t.Helper()
	start := time.Now()
	var o Options
	if opts != nil {
		o = *opts
	}
	o.Now = func() time.Time { return start }
	if o.Latencies == nil {
		o.Latencies = func(*Latencies) {}
	}
	random := rand.New(rand.NewPCG(1, 2))
	return &line{gate: New(&o).Gate(), at: start, slots: slots, service: func() time.Duration {
		return time.Duration((0.5 + random.Float64()) * float64(service)) // half to one and a half
	}}
}

// advance lets the line work until at.
func (l *line) advance(at time.Time) {
	for len(l.running) > 0 && !l.running[0].end.After(at) {
		v := heap.Pop(&l.running).(*visit)
		l.at = v.end
		l.gate.Leave(v.ticket, v.latency(), true)
		l.start()
	}
	l.at = at
}

func (l *line) start() {
	for len(l.queue) > 0 && len(l.running) < l.slots {
		v := l.queue[0]
		l.queue = l.queue[1:]
		v.end = l.at.Add(l.service())
		heap.Push(&l.running, v)
	}
}

// arrive asks for admission at a time.
func (l *line) arrive(at time.Time, class Class, left time.Duration) *visit {
	l.advance(at)
	v := &visit{class: class, begun: at, left: left}
	v.ticket, v.reason = l.gate.Enter(at, left, class, 0)
	l.visits = append(l.visits, v)
	if v.reason == Admitted {
		l.queue = append(l.queue, v)
		l.start()
	}
	return v
}

// drain works until nobody is inside.
func (l *line) drain() {
	for len(l.running) > 0 {
		l.advance(l.running[0].end)
	}
}

// count returns how many of the visits f holds for.
func (l *line) count(f func(*visit) bool) (n int) {
	for _, v := range l.visits {
		if f(v) {
			n++
		}
	}
	return n
}

const noDeadline = time.Hour

// poisson lets requests arrive at a rate for a while.
func (l *line) poisson(random *rand.Rand, rate float64, class func() Class, within time.Duration) {
	begun := l.at
	for at := 0.0; ; {
		at += random.ExpFloat64() / rate
		if at >= within.Seconds() {
			return
		}
		l.arrive(begun.Add(time.Duration(at*1e9)), class(), noDeadline)
	}
}

func interactive() Class { return Interactive }

func TestOverloadKeepsTheGoodput(t *testing.T) {
	for _, c := range []struct {
		name    string
		slots   int
		service time.Duration
		limit   time.Duration // of the 99th percentile of those answered
	}{
		{"2 slots of 4 ms", 2, 4 * time.Millisecond, 600 * time.Millisecond},
		{"2 slots of 200 µs", 2, 200 * time.Microsecond, 400 * time.Millisecond},
		{"one slot of 20 ms", 1, 20 * time.Millisecond, 4 * time.Second},
		{"16 slots of 1 ms", 16, time.Millisecond, 400 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t, c.slots, c.service, nil)
			random := rand.New(rand.NewPCG(3, 4))
			capacity := float64(c.slots) / c.service.Seconds()
			lasts := min(10*time.Second, 10_000*c.service)
			begun := l.at
			l.poisson(random, 3*capacity, interactive, lasts)
			stopped := begun.Add(lasts)
			good := l.count(func(v *visit) bool { return v.reason == Admitted && !v.end.IsZero() && v.end.Before(stopped) })
			if share := float64(good) / (capacity * lasts.Seconds()); share < 0.97 {
				t.Errorf("goodput %.2f of the capacity", share)
			}
			l.drain()
			late := l.count(func(v *visit) bool { return v.reason == Admitted && v.latency() > c.limit })
			if late*100 > good {
				t.Errorf("%d of %d answers took longer than %v", late, good, c.limit)
			}
			if refused := l.count(func(v *visit) bool { return v.reason == Delay }); refused < good {
				t.Errorf("%d refused of which two thirds of the requests are too many", refused)
			}
			// The load stops: when the last of the queue is answered the next requests are let in and find nobody.
			if took := l.at.Sub(stopped); took > 2*c.limit {
				t.Errorf("the queue drained within %v", took)
			}
			l.visits = nil
			l.poisson(random, capacity/2, interactive, time.Second)
			if n := l.count(func(v *visit) bool { return v.reason != Admitted }); n > 0 {
				t.Errorf("%d of %d refused after the overload", n, len(l.visits))
			}
		})
	}
}

func TestClosedLoopsMeetNoRefusal(t *testing.T) {
	for _, service := range []time.Duration{20 * time.Microsecond, time.Millisecond, 50 * time.Millisecond, time.Second} {
		l := newLine(t, 2, service, nil)
		waiting := make([]*visit, 128)
		for i := range waiting {
			waiting[i] = l.arrive(l.at, Interactive, noDeadline)
		}
		for range 5000 {
			first := l.running[0]
			l.advance(first.end)
			for i, v := range waiting {
				if v == first {
					waiting[i] = l.arrive(l.at, Interactive, noDeadline)
				}
			}
		}
		if n := l.count(func(v *visit) bool { return v.reason != Admitted }); n > 0 {
			t.Errorf("%v: %d of %d refused", service, n, len(l.visits))
		}
	}
}

func TestABurstIsLetIn(t *testing.T) {
	l := newLine(t, 2, 2*time.Millisecond, nil)
	l.poisson(rand.New(rand.NewPCG(5, 6)), 500, interactive, 5*time.Second) // half the capacity, so that the cost is known
	for range 400 {
		l.arrive(l.at, Interactive, noDeadline)
	}
	l.drain()
	if n := l.count(func(v *visit) bool { return v.reason != Admitted }); n > 0 {
		t.Errorf("%d of %d refused", n, len(l.visits))
	}
}

func TestLowerClassesAreRefusedFirst(t *testing.T) {
	const capacity = 500.0
	for _, c := range []struct {
		name         string
		rates        [classes]float64 // of the capacity
		least, wants [classes]float64 // of what each class asks for, the part that is answered: at least, and about
	}{
		{"interactive fits, batch is too much", [classes]float64{0.7, 2, 0}, [classes]float64{0.98, 0.10, 0}, [classes]float64{1, 0.15, 0}},
		{"batch fits, shadow is too much", [classes]float64{0.4, 0.3, 3}, [classes]float64{0.98, 0.98, 0.05}, [classes]float64{1, 1, 0.1}},
		{"interactive alone is too much", [classes]float64{3, 1, 1}, [classes]float64{0.31, 0, 0}, [classes]float64{1. / 3, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLine(t, 2, 4*time.Millisecond, nil)
			random := rand.New(rand.NewPCG(7, 8))
			total := c.rates[0] + c.rates[1] + c.rates[2]
			l.poisson(random, total*capacity, func() Class {
				x := random.Float64() * total
				for k := range classes {
					if x -= c.rates[k]; x < 0 {
						return k
					}
				}
				return Interactive
			}, 20*time.Second)
			l.drain()
			for k := range classes {
				asked := l.count(func(v *visit) bool { return v.class == k })
				let := l.count(func(v *visit) bool { return v.class == k && v.reason == Admitted })
				if asked > 0 && float64(let) < c.least[k]*float64(asked) {
					t.Errorf("%v: %d of %d let in, want at least %.0f %%", k, let, asked, 100*c.least[k])
				}
				if asked > 0 && float64(let) > (c.wants[k]+0.1)*float64(asked) {
					t.Errorf("%v: %d of %d let in, want about %.0f %%", k, let, asked, 100*c.wants[k])
				}
			}
		})
	}
}

func TestADeadlineThatCannotBeMet(t *testing.T) {
	l := newLine(t, 2, 10*time.Millisecond, nil)
	for range 400 { // a closed loop of 40 teaches the cost, 5 ms
		for l.gate.Inside() < 40 {
			l.arrive(l.at, Interactive, noDeadline)
		}
		l.advance(l.running[0].end)
	}
	if v := l.arrive(l.at, Interactive, 50*time.Millisecond); v.reason != Deadline {
		t.Errorf("50 ms with 40 in front of it: %v", v.reason)
	}
	if v := l.arrive(l.at, Interactive, time.Second); v.reason != Admitted {
		t.Errorf("1 s with 40 in front of it: %v", v.reason)
	}
	l.drain()
	if v := l.arrive(l.at, Interactive, time.Millisecond); v.reason != Admitted {
		t.Errorf("a request that finds nobody may try, or what it costs would never be learned again: %v", v.reason)
	}
}

func TestWhatIsNotKnownTeachesNothing(t *testing.T) {
	g := New(&Options{Latencies: func(*Latencies) {}}).Gate()
	var last Ticket
	for range 100 {
		last, _ = g.Enter(time.Now(), noDeadline, Interactive, 0)
	}
	for _, spent := range []time.Duration{0, -time.Hour} {
		g.Leave(last, spent, true)
	}
	if g.Inside() != 98 || g.Wait() != 0 {
		t.Errorf("%d inside, a wait of %v", g.Inside(), g.Wait())
	}
	g.Leave(last, 100*time.Millisecond, true)
	g.Leave(last, time.Millisecond, false) // who was cut off after less than that says nothing
	if g.Wait() != 96*time.Millisecond {
		t.Errorf("a wait of %v behind 96 that cost 1 ms each", g.Wait())
	}
}

func TestSwitchedOffTheWaitRefusesNobody(t *testing.T) {
	l := newLine(t, 2, 4*time.Millisecond, &Options{MaxDelay: -1})
	l.poisson(rand.New(rand.NewPCG(9, 10)), 2000, interactive, 2*time.Second)
	if n := l.count(func(v *visit) bool { return v.reason != Admitted }); n > 0 {
		t.Errorf("%d refused", n)
	}
}

func TestRefusalsAreCounted(t *testing.T) {
	c := New(&Options{MaxInFlight: 4})
	for range 2 {
		c.Begin()
	}
	if c.Full(Interactive) || c.Full(Batch) || !c.Full(Shadow) {
		t.Error("a quarter of 4 may be shadows")
	}
	c.Refuse(Queue, Batch)
	got := c.Refusals()
	want := []Refused{{Full, Shadow, 1}, {Queue, Batch, 1}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
	c.End()
	if c.InFlight() != 1 {
		t.Errorf("%d in flight", c.InFlight())
	}
}

func TestClassesAreReadBack(t *testing.T) {
	for k := range classes {
		if got, ok := ParseClass([]byte(k.String())); !ok || got != k {
			t.Errorf("%v is read as %v %v", k, got, ok)
		}
	}
	if _, ok := ParseClass([]byte("high")); ok {
		t.Error("high is no class")
	}
}

func BenchmarkEnterAndLeave(b *testing.B) {
	c := New(nil)
	g, now := c.Gate(), time.Now()
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			c.Begin()
			if t, r := g.Enter(now, time.Minute, Interactive, 1); r == Admitted {
				g.Leave(t, time.Microsecond, true)
			}
			c.End()
		}
	})
}

// The shares that lower classes hold, and their bursts, leave room for those that matter more.
func TestLowerClassesLeaveRoom(t *testing.T) {
	start := time.Now()
	g := New(&Options{Now: func() time.Time { return start }, Latencies: func(*Latencies) {}}).Gate()
	g.cost.Store(int64(time.Millisecond)) // the limit is Free: 128
	at := start
	enter := func(class Class, n int) (tickets []Ticket) {
		for range n {
			if ticket, r := g.Enter(at, time.Minute, class, 0); r == Admitted {
				tickets = append(tickets, ticket)
			}
		}
		return tickets
	}
	leave := func(tickets []Ticket) {
		for _, ticket := range tickets {
			g.Leave(ticket, 0, true)
		}
	}
	held := enter(Batch, 300)
	if len(held) != 96 {
		t.Fatalf("a burst of batch requests filled %d places of 128, want 96", len(held))
	}
	leave(held[64:])
	leave(enter(Interactive, 100)) // more than fit for a moment
	at = at.Add(time.Second)
	leave(enter(Interactive, 1)) // finds the share of batch full, which is no queue of its own
	at = at.Add(time.Second)
	if got := len(enter(Interactive, 100)); got != 100 {
		t.Errorf("%d of 100 interactive requests were let in beside a full share of batch", got)
	}
}
