package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sluice/registry"
)

// Options are the settings of an Outbox; nil and the zero value work.
type Options struct {
	// Workers is how many deliveries are under way at once; default 10, as in MLflow.
	Workers int
	// PerWebhook is how many of them may go to one webhook, so that a slow receiver leaves room for the others; default 4.
	PerWebhook int
	// GiveUpAfter is how old a change may become before what could not be delivered is given up; default 24 h.
	GiveUpAfter time.Duration
	// MaxPending and MaxDead bound what waits and what was given up, of one webhook; defaults 10,000 and 1,000.
	MaxPending, MaxDead int
	// Backoff is the pause after an attempt that failed, 1 for the first; default DefaultBackoff.
	Backoff func(attempt int) time.Duration
	// Poll is how often the database is asked without being poked, for pauses that end and changes of other processes; default 1 s.
	Poll time.Duration
	// Now is the clock; default time.Now.
	Now    func() time.Time
	Logger *slog.Logger // nil means silence
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	set(&out.Workers, 10)
	set(&out.PerWebhook, 4)
	set(&out.GiveUpAfter, 24*time.Hour)
	set(&out.MaxPending, 10_000)
	set(&out.MaxDead, 1_000)
	set(&out.Poll, time.Second)
	if out.Backoff == nil {
		out.Backoff = DefaultBackoff
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out
}

func set[T int | time.Duration](field *T, byDefault T) {
	if *field <= 0 {
		*field = byDefault
	}
}

// leaseMargin is how much longer than an attempt a claim lasts; a server that was killed leaves its claims for that long.
const leaseMargin = 5 * time.Second

// trimEvery is how often the bounds of what waits are kept.
const trimEvery = time.Minute

// burst is how many deliveries of one stream a worker makes before others get their turn.
const burst = 32

// Outbox is the loop that carries deliveries out. Make it with Start, end it with Close.
type Outbox struct {
	store  registry.DeliveryStore
	sender *Sender
	opts   Options

	poke     chan struct{}
	finished chan registry.Stream
	quit     chan struct{} // closed by Close: no further attempts begin
	once     sync.Once
	done     chan struct{} // closed when the loop and its workers have ended
	abort    context.CancelFunc
}

// Start starts delivering from store, which stays the caller's to close after Close has returned.
func Start(store registry.DeliveryStore, sender *Sender, opts *Options) *Outbox {
	o := &Outbox{
		store: store, sender: sender, opts: opts.withDefaults(), poke: make(chan struct{}, 1), finished: make(chan registry.Stream),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.abort = cancel
	go o.loop(ctx)
	return o
}

// Poke makes the loop look at once; it never waits.
func (o *Outbox) Poke() {
	select {
	case o.poke <- struct{}{}:
	default:
	}
}

// Close waits for the attempts under way until ctx ends, then breaks them off; what was not delivered is there at the next start.
func (o *Outbox) Close(ctx context.Context) error {
	o.once.Do(func() { close(o.quit) })
	defer o.abort()
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		o.abort()
		<-o.done
		return nil
	}
}

// loop is the only goroutine that knows which streams are under way.
func (o *Outbox) loop(ctx context.Context) {
	defer close(o.done)
	busy := busyStreams{streams: map[registry.Stream]bool{}, perHook: map[string]int{}}
	tick := time.NewTicker(o.opts.Poll)
	defer tick.Stop()
	var trimmed time.Time
	for {
		if now := o.opts.Now(); now.Sub(trimmed) >= trimEvery {
			trimmed = now
			o.trim(ctx, now)
		}
		o.dispatch(ctx, &busy)
		select {
		case <-o.quit:
			for len(busy.streams) > 0 {
				busy.remove(<-o.finished)
			}
			return
		case s := <-o.finished:
			busy.remove(s)
		case <-o.poke:
		case <-tick.C:
		}
	}
}

// busyStreams are the streams that workers have.
type busyStreams struct {
	streams map[registry.Stream]bool
	perHook map[string]int
}

func (b *busyStreams) add(s registry.Stream) {
	b.streams[s] = true
	b.perHook[s.WebhookID]++
}

func (b *busyStreams) remove(s registry.Stream) {
	delete(b.streams, s)
	if b.perHook[s.WebhookID]--; b.perHook[s.WebhookID] == 0 {
		delete(b.perHook, s.WebhookID)
	}
}

// dispatch hands streams that are due to workers, as many as are free.
func (o *Outbox) dispatch(ctx context.Context, busy *busyStreams) {
	if len(busy.streams) >= o.opts.Workers {
		return
	}
	due, err := o.store.Due(ctx, o.opts.Now().UnixMilli(), 2*o.opts.PerWebhook)
	if err != nil {
		o.opts.Logger.Error("webhook deliveries cannot be read", slog.Any("error", err))
		return
	}
	for _, s := range due {
		if busy.streams[s] || busy.perHook[s.WebhookID] >= o.opts.PerWebhook {
			continue
		}
		if len(busy.streams) >= o.opts.Workers {
			return
		}
		busy.add(s)
		go func() {
			o.serve(ctx, s)
			o.finished <- s
		}()
	}
}

// serve delivers the stream from its oldest on, until nothing of it is due, an attempt fails, or others wait long enough.
func (o *Outbox) serve(ctx context.Context, s registry.Stream) {
	for range burst {
		select {
		case <-o.quit:
			return
		default:
		}
		more, err := o.deliverNext(ctx, s)
		if err != nil {
			o.opts.Logger.Error("webhook delivery cannot be recorded", slog.String("webhook", s.WebhookID), slog.Any("error", err))
		}
		if err != nil || !more {
			return
		}
	}
}

// deliverNext makes one attempt and records its outcome; more says that the next of the stream may follow.
func (o *Outbox) deliverNext(ctx context.Context, s registry.Stream) (more bool, err error) {
	now := o.opts.Now()
	lease := now.Add(o.sender.Timeout() + leaseMargin)
	d, w, ok, err := o.store.Claim(ctx, s, now.UnixMilli(), lease.UnixMilli())
	if err != nil || !ok {
		return false, err
	}
	got, err := o.sender.post(ctx, w, message{d.ID, d.Event, d.TimeMS, d.Payload})
	record := context.WithoutCancel(ctx)
	if stopped(ctx, err) {
		return false, o.store.Postpone(record, d, 0, 0, "the server was stopped")
	}
	v, reason := judge(got, err)
	if v == again {
		o.opts.Logger.Warn("webhook delivery failed", slog.String("webhook", w.ID), slog.String("delivery", d.ID),
			slog.Int("attempt", d.Attempts), slog.String("reason", reason))
		pause := max(retryAfter(got.retryAfter, o.opts.Now()), o.opts.Backoff(d.Attempts))
		return false, o.store.Postpone(record, d, o.opts.Now().Add(pause).UnixMilli(), got.status, reason)
	}
	if v == hopeless {
		o.opts.Logger.Error("webhook delivery given up", slog.String("webhook", w.ID), slog.String("delivery", d.ID),
			slog.Int("attempt", d.Attempts), slog.String("reason", reason))
		return true, o.store.Bury(record, d, got.status, reason)
	}
	return true, o.store.Delivered(record, d)
}

func (o *Outbox) trim(ctx context.Context, now time.Time) {
	buried, deleted, err := o.store.Trim(ctx, registry.DeliveryBounds{
		OldestMS: now.Add(-o.opts.GiveUpAfter).UnixMilli(), MaxPending: o.opts.MaxPending, MaxDead: o.opts.MaxDead,
	})
	if err != nil {
		o.opts.Logger.Error("webhook deliveries cannot be trimmed", slog.Any("error", fmt.Errorf("trim: %w", err)))
		return
	}
	if buried > 0 || deleted > 0 {
		o.opts.Logger.Error("webhook deliveries given up", slog.Int("given_up", buried), slog.Int("deleted", deleted))
	}
}
