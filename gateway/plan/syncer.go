package plan

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway"
	"sluice/gateway/loop"
	"sluice/gateway/route"
	"sluice/runtime/servable"
	"sluice/tracking/mlflow"
)

// Store is the slice of gateway.Store that the loop needs.
type Store interface {
	Endpoints(ctx context.Context) ([]gateway.Endpoint, error)
	gateway.ArmStore
	AddEvents(ctx context.Context, events []gateway.Event) error
}

// Servables is the slice of servable.Manager that the loop needs.
type Servables interface {
	// Aspire gives the complete list of versions to have loaded; what is not in it is unloaded once nobody uses it.
	Aspire(ids []servable.ID)
	// Status answers at once, from memory.
	Status(id servable.ID) servable.Status
}

// Deps are what a Syncer works with.
type Deps struct {
	Store     Store
	Registry  gateway.Registry
	Servables Servables
	// Publish takes every new table, in order; it must not block, nor call Override.
	Publish func(*route.Table)
	// Rollouts reads the active rollouts, and those whose replaced version stays loaded; nil means there are none.
	Rollouts func(ctx context.Context) ([]gateway.Rollout, error)
	// StartRollouts is told which rollouts must begin, again and again until they did; it must not block. nil if Rollouts is.
	StartRollouts func([]gateway.RolloutStart)
}

// Options of NewSyncer; nil and the zero value work.
type Options struct {
	// DefaultEndpoint answers requests that name no endpoint; empty means the only one there is.
	DefaultEndpoint string
	// OnlyONNX are the stages that accept no model that Python would execute.
	OnlyONNX []string
	// Resync is how often everything is read without being poked, to see what other processes wrote; 0 means 5 s.
	Resync time.Duration
	// Linger is how long a version that left the table stays loaded, for requests that picked it before the swap; 0 means 2 s.
	Linger time.Duration
	// Now is the clock of events and records; nil means time.Now.
	Now func() time.Time
	// Log hears about a database that cannot be read; nil means silence.
	Log *slog.Logger
}

const (
	readTimeout = 10 * time.Second
	minBackoff  = 100 * time.Millisecond
	maxBackoff  = 10 * time.Second
)

// Syncer is the loop that keeps what is served equal to what is desired. Make it with NewSyncer, drive it with Run, wake it with Poke
// and PokeStatus, end it with Close.
type Syncer struct {
	deps Deps
	opts Options

	wake    chan struct{} // holds one token
	stale   atomic.Bool   // the desired state must be read again
	current atomic.Pointer[Plan]
	wasOnce atomic.Bool  // every routed version was ready once
	poked   atomic.Int64 // how often Poke was called
	shown   atomic.Int64 // what poked was when the published table's input was read

	loop   loop.Loop
	ledger *ledger

	overrideMu sync.Mutex
	overrides  map[string]gateway.Rollout // by id; guarded by overrideMu

	// applyMu is held while a plan is made real, by Run's goroutine or by Override; never while the database is read.
	applyMu sync.Mutex
	input   *Input                    // what was read last; nil until the first success; guarded by applyMu
	leaving map[servable.ID]time.Time // guarded by applyMu
	created map[servable.ID]int64     // the versions that were asked for last, and when they were created; guarded by applyMu
	applied int                       // plans made real so far; guarded by applyMu

	backoff time.Duration // 0 while reading succeeds; belongs to Run's goroutine
}

// NewSyncer returns a Syncer that does nothing until Run.
func NewSyncer(deps Deps, opts *Options) *Syncer {
	s := &Syncer{deps: deps, wake: make(chan struct{}, 1), leaving: map[servable.ID]time.Time{}, overrides: map[string]gateway.Rollout{}}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Resync <= 0 {
		s.opts.Resync = 5 * time.Second
	}
	if s.opts.Linger <= 0 {
		s.opts.Linger = 2 * time.Second
	}
	if s.opts.Now == nil {
		s.opts.Now = time.Now
	}
	if s.opts.Log == nil {
		s.opts.Log = slog.New(slog.DiscardHandler)
	}
	s.ledger = newLedger(deps.Store, s.opts.Log)
	s.Poke()
	return s
}

// Poke tells the loop that the registry or a configuration changed. It returns at once; many pokes may become one turn.
func (s *Syncer) Poke() {
	s.poked.Add(1)
	s.stale.Store(true)
	s.PokeStatus()
}

// PokeStatus tells the loop that a servable changed its state. It returns at once and causes no read of the database.
func (s *Syncer) PokeStatus() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run loops until ctx ends or Close is called. The first turn happens at once: it reads the database, publishes a table and asks for the
// versions. It returns nil, or an error if it was called twice or after Close.
func (s *Syncer) Run(ctx context.Context) error {
	if err := s.loop.Run(ctx, s.turns); err != nil {
		return fmt.Errorf("syncer: %w", err)
	}
	return nil
}

func (s *Syncer) turns(ctx context.Context) {
	s.ledger.start()
	defer s.ledger.close()
	resync := time.NewTicker(s.opts.Resync)
	defer resync.Stop()
	again := time.NewTimer(0) // the next turn that the loop owes itself
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-again.C:
		case <-resync.C:
			s.stale.Store(true)
		}
		if next := s.turn(ctx); next > 0 {
			again.Reset(next)
		}
	}
}

// Close ends Run, waits for it, and gives pending records and events a last chance to be written.
func (s *Syncer) Close() error {
	s.loop.Close()
	return nil
}

// turn reads if it must, computes, publishes and aspires. It returns when the loop must turn again by itself; 0 means not.
func (s *Syncer) turn(ctx context.Context) time.Duration {
	poked := s.shown.Load()
	if s.stale.Swap(false) {
		if now := s.poked.Load(); s.read(ctx) {
			poked = now
		}
	}
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if s.input != nil && s.apply() {
		s.shown.Store(poked)
	}
	return s.nextTurn()
}

// Behind says whether there is news, told by Poke, that the published table does not show yet; before the first table there is.
func (s *Syncer) Behind() bool { return s.shown.Load() != s.poked.Load() }

// apply computes a plan from the last input and makes it real: the table first, so that nothing is let go that it still names. It says whether
// a plan could be made. The caller holds applyMu.
func (s *Syncer) apply() bool {
	s.applied++
	s.renew()
	in := *s.input
	in.Status, in.Previous = s.deps.Servables.Status, s.current.Load()
	in.DefaultEndpoint, in.OnlyONNX, in.NowMS = s.opts.DefaultEndpoint, s.opts.OnlyONNX, s.opts.Now().UnixMilli()
	in.Rollouts = s.overridden(in.Rollouts)
	p, err := Compute(in)
	if err != nil {
		s.opts.Log.Error("no table can be made of the desired state; the last one keeps serving", slog.Any("error", err))
		return false
	}
	s.current.Store(p)
	if in.Previous == nil || p.Table != in.Previous.Table {
		s.deps.Publish(p.Table)
	}
	if len(p.Waiting) == 0 {
		s.wasOnce.Store(true)
	}
	s.aspire(s.withLeaving(in.Previous, p))
	s.input.Arms = slices.DeleteFunc(overlay(s.input.Arms, p.Records), func(r gateway.ArmRecord) bool {
		return slices.Contains(p.Obsolete, r.Endpoint)
	})
	s.ledger.add(p)
	if len(p.Starts) > 0 && s.deps.StartRollouts != nil {
		s.deps.StartRollouts(p.Starts)
	}
	return true
}

// withLeaving returns the plan's versions and those that left it less than Linger ago. The caller holds applyMu.
func (s *Syncer) withLeaving(before, now *Plan) []servable.ID {
	at := time.Now()
	if before != nil {
		for _, id := range before.Aspired {
			if _, already := s.leaving[id]; !already && !now.serves(id) {
				s.leaving[id] = at.Add(s.opts.Linger)
			}
		}
	}
	ids := slices.Clone(now.Aspired)
	for id, until := range s.leaving {
		if now.serves(id) || !at.Before(until) {
			delete(s.leaving, id)
			continue
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	return ids
}

// nextTurn is when the loop must look again although nobody pokes it: to read again, or to let versions go. The caller holds applyMu.
func (s *Syncer) nextTurn() time.Duration {
	next := s.backoff
	if next > 0 {
		s.stale.Store(true)
	}
	for _, until := range s.leaving {
		if wait := max(time.Until(until), time.Millisecond); next == 0 || wait < next {
			next = wait
		}
	}
	return next
}

// State returns what the endpoint does now; false if the plan does not know it (yet).
func (s *Syncer) State(endpoint string) (gateway.State, bool) {
	p := s.current.Load()
	if p == nil {
		return gateway.State{}, false
	}
	st, ok := p.States[endpoint]
	return st, ok
}

// RoutedVersion says whether the table routes to the version, or it is on its way into the table. The registry asks before it deletes.
func (s *Syncer) RoutedVersion(name string, version int) bool {
	p := s.current.Load()
	return p != nil && slices.ContainsFunc(p.Aspired, func(id servable.ID) bool { return id.Model == name && id.Version == version })
}

// GuardDelete refuses the deletion of a version that is routed, or on its way into the table; version 0 stands for the whole registered
// model. Returns RESOURCE_CONFLICT naming the endpoints. It is the registry's Options.GuardDelete.
func (s *Syncer) GuardDelete(_ context.Context, name string, version int) error {
	p := s.current.Load()
	if p == nil {
		return nil
	}
	var endpoints []string
	for endpoint, state := range p.States {
		if p.uses(endpoint, state, name, version) {
			endpoints = append(endpoints, strconv.Quote(endpoint))
		}
	}
	if endpoints == nil {
		return nil
	}
	slices.Sort(endpoints)
	what := fmt.Sprintf("version %d of registered model %q", version, name)
	if version == 0 {
		what = fmt.Sprintf("registered model %q", name)
	}
	return mlflow.Errorf(mlflow.ResourceConflict, "%s is served by endpoint %s: route its traffic elsewhere first, or force the deletion",
		what, strings.Join(endpoints, ", "))
}

// uses says whether the endpoint's arms, those of its configuration or those in the table, mean the version (0: any) of the model.
func (p *Plan) uses(endpoint string, state gateway.State, model string, version int) bool {
	held := p.served[endpoint]
	for _, a := range held.arms {
		if a.Servable.Model == model && (version == 0 || a.Servable.Version == version) {
			return true
		}
	}
	for _, a := range state.Arms {
		if a.Model == model && a.Want > 0 && (version == 0 || a.Want == version) {
			return true
		}
	}
	return false
}

// Ready says whether every version that is routed was loaded and warmed. Once it was, it stays true: an endpoint that is made later, or
// fails later, answers for itself and does not take the server out of its load balancer. reasons tell what is waited for in either case.
func (s *Syncer) Ready() (ok bool, reasons []string) {
	p := s.current.Load()
	if p == nil {
		return false, []string{"the desired state was not read yet"}
	}
	return s.wasOnce.Load(), p.Waiting
}

// Degraded lists versions that could not be loaded although something else answers in their place: the server is ready with them.
func (s *Syncer) Degraded() []string {
	if p := s.current.Load(); p != nil {
		return p.Degraded
	}
	return nil
}
