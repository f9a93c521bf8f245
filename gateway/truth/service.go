package truth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway"
	"sluice/gateway/loop"
	"sluice/gateway/predlog"
	"sluice/tracking/mlflow"
)

// Deps are what a Service works with; all are required.
type Deps struct {
	Store    Store
	Segments Segments
	// Settings returns how an endpoint's ground truth is compared. Returns RESOURCE_DOES_NOT_EXIST for an unknown endpoint.
	Settings func(ctx context.Context, endpoint string) (gateway.GroundTruth, error)
}

// Options of New; nil and the zero value are the defaults.
type Options struct {
	// Retention is how long labels are kept, and how old a prediction may be that gets one; default 45 days.
	Retention time.Duration
	// Wait is how long an item waits for its prediction; default 24 h.
	Wait time.Duration
	// Window is the time that rolling numbers are about; default 24 h, in whole hours.
	Window time.Duration
	// MaxLabels and MaxWaiting bound what is kept; defaults 10 million and 1 million. At the bound Submit returns RESOURCE_EXHAUSTED.
	MaxLabels, MaxWaiting int
	// Interval is how often waiting items are tried and the numbers read, without being poked; default 10 s.
	Interval time.Duration
	// CacheBytes bounds the decoded segments in memory; default 64 MiB. One segment is kept whatever its size.
	CacheBytes int
	Log        *slog.Logger     // nil means silence
	Now        func() time.Time // nil means time.Now
}

func (o *Options) withDefaults() (Options, error) {
	var v Options
	if o != nil {
		v = *o
	}
	if v.Retention < 0 || v.Wait < 0 || v.Window < 0 || v.MaxLabels < 0 || v.MaxWaiting < 0 || v.Interval < 0 || v.CacheBytes < 0 {
		return v, fmt.Errorf("truth: a negative option: %+v", v)
	}
	set(&v.Retention, 45*24*time.Hour)
	set(&v.Wait, 24*time.Hour)
	set(&v.Window, 24*time.Hour)
	set(&v.MaxLabels, 10_000_000)
	set(&v.MaxWaiting, 1_000_000)
	set(&v.Interval, 10*time.Second)
	set(&v.CacheBytes, 64<<20)
	if v.Wait > v.Retention {
		v.Wait = v.Retention
	}
	if v.Log == nil {
		v.Log = slog.New(slog.DiscardHandler)
	}
	if v.Now == nil {
		v.Now = time.Now
	}
	return v, nil
}

func set[T int | time.Duration](v *T, byDefault T) {
	if *v == 0 {
		*v = byDefault
	}
}

// Service takes ground truth in. Make it with New, drive it with Run, end it with Close.
type Service struct {
	deps Deps
	opts Options
	find *finder
	wake chan struct{} // holds one token

	board atomic.Pointer[board]

	mu     sync.Mutex
	counts map[OutcomeKey]uint64 // guarded by mu
	loop   loop.Loop
}

// OutcomeKey names a counter of items.
type OutcomeKey struct {
	Endpoint string
	Outcome  Outcome
}

// board is what the tallies said when they were read last.
type board struct {
	total, window map[predlog.Series]Tally
	atMS          int64
	labels        uint64
}

// New returns a Service that reads its numbers at once and does nothing else until Run.
func New(ctx context.Context, deps Deps, opts *Options) (*Service, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if deps.Store == nil || deps.Segments == nil || deps.Settings == nil {
		return nil, errors.New("truth: a dependency is missing")
	}
	s := &Service{deps: deps, opts: o, find: newFinder(deps.Segments, o.CacheBytes), wake: make(chan struct{}, 1), counts: map[OutcomeKey]uint64{}}
	return s, s.refresh(ctx)
}

// Poke makes the loop try what waits and read the numbers.
func (s *Service) Poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run loops until ctx ends or Close is called; it is called once.
func (s *Service) Run(ctx context.Context) error {
	if err := s.loop.Run(ctx, s.join); err != nil {
		return fmt.Errorf("ground truth: %w", err)
	}
	return nil
}

func (s *Service) join(ctx context.Context) {
	tick := time.NewTicker(s.opts.Interval)
	defer tick.Stop()
	for {
		if err := s.Round(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Warn("ground truth not joined; trying again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// Close ends Run and waits for it.
func (s *Service) Close() error {
	s.loop.Close()
	return nil
}

// Bounds of one round.
const (
	roundTime   = 2 * time.Minute
	waitingPage = 2000
	expireBatch = 20_000
)

// Round tries everything that waits, removes what is old, and reads the numbers.
func (s *Service) Round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	return errors.Join(s.retry(ctx), s.expire(ctx), s.refresh(ctx))
}

// deliverySlack is how long after its request a record may reach the stored log without being missed until the item's last try.
const deliverySlack = 10 * time.Minute

// retry looks for the predictions of waiting items.
func (s *Service) retry(ctx context.Context) error {
	var after WaitingCursor
	for {
		page, next, err := s.deps.Store.Waiting(ctx, after, waitingPage)
		if err != nil || len(page) == 0 {
			return err
		}
		byEndpoint := map[string][]Waiting{}
		for _, w := range page {
			byEndpoint[w.Endpoint] = append(byEndpoint[w.Endpoint], w)
		}
		for _, endpoint := range sortedKeys(byEndpoint) {
			if err := s.retryEndpoint(ctx, endpoint, byEndpoint[endpoint]); err != nil {
				return err
			}
		}
		after = next
	}
}

func (s *Service) retryEndpoint(ctx context.Context, endpoint string, waiting []Waiting) error {
	settings, err := s.deps.Settings(ctx, endpoint)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist { // its log may be there still, and it may come back: the items wait on
		settings, err = gateway.GroundTruth{}, nil
	}
	if err != nil {
		return err
	}
	now := s.opts.Now()
	b := newBatch(endpoint, settings, now)
	for _, w := range waiting {
		from := now.Add(-lookback(settings))
		if last := w.ArrivedMS < now.Add(-s.opts.Wait).UnixMilli(); !last && w.SeenMS > 0 {
			if seen := time.UnixMilli(w.SeenMS).Add(-deliverySlack); seen.After(from) {
				from = seen
			}
		}
		b.addWaiting(w.Item, w.ArrivedMS, from)
	}
	b.found, err = s.find.find(ctx, endpoint, settings, b.lookups)
	b.complete = err == nil
	b.resolve(s.opts)
	if settleErr := s.settle(ctx, b); settleErr != nil {
		return errors.Join(err, settleErr)
	}
	var ended, still []Waiting
	for i, r := range b.results {
		if r.Outcome == Pending {
			still = append(still, waiting[i])
		} else {
			ended = append(ended, waiting[i])
		}
	}
	if forgetErr := s.deps.Store.Forget(ctx, ended); forgetErr != nil {
		return errors.Join(err, forgetErr)
	}
	s.count(b)
	if b.complete {
		err = s.deps.Store.Seen(ctx, still, now.UnixMilli())
	}
	return err
}

// expire removes what is older than the retention, a bounded number of times.
func (s *Service) expire(ctx context.Context) error {
	for range 10 {
		more, err := s.deps.Store.Expire(ctx, s.opts.Now().Add(-s.opts.Retention).UnixMilli(), expireBatch)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// count counts what became of items; one that goes on waiting was counted when it came.
func (s *Service) count(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range b.results {
		if r.Outcome != Pending || b.arrived[i] == b.now.UnixMilli() {
			s.counts[OutcomeKey{b.endpoint, r.Outcome}]++
		}
	}
}

// Counts returns how many items became what since the process started.
func (s *Service) Counts() map[OutcomeKey]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[OutcomeKey]uint64, len(s.counts))
	for k, n := range s.counts {
		out[k] = n
	}
	return out
}
