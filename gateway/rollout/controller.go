package rollout

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sluice/gateway"
	"sluice/gateway/loop"
	"sluice/gateway/outcome"
	"sluice/registry"
	"sluice/tracking/mlflow"
)

// Endpoints is the slice of gateway.Service that rollouts need.
type Endpoints interface {
	Get(ctx context.Context, name string) (gateway.Endpoint, error)
	Resolve(ctx context.Context, endpoints ...gateway.Endpoint) (map[string][]gateway.Resolution, error)
}

// Registry is the slice of registry.Service that the end of a rollout needs.
type Registry interface {
	Version(ctx context.Context, name string, version int) (registry.Version, error)
	// SetStageFrom and SetAliasFrom return RESOURCE_CONFLICT if another version than from (0: none) has the stage or alias.
	SetStageFrom(ctx context.Context, name string, version int, stage string, archiveOthers bool, from int) (registry.Version, error)
	SetAliasFrom(ctx context.Context, name, alias string, version, from int) error
	SetVersionTag(ctx context.Context, name string, version int, tag registry.Tag) error
}

// Table is the slice of plan.Syncer that rollouts need.
type Table interface {
	State(endpoint string) (gateway.State, bool)
	// Override makes the table follow the row before it is written.
	Override(r gateway.Rollout)
	// Poke makes it read the rows.
	Poke()
}

// Outcomes is the slice of outcome.Book that rollouts need.
type Outcomes interface {
	Watch(endpoints []string)
	Observe(endpoint string) []outcome.Observed
}

// Deps are what a Controller works with; all but Truth, Drifted, Shadowed and Feeds are required.
type Deps struct {
	Store     gateway.RolloutStore
	Endpoints Endpoints
	Registry  Registry
	Table     Table
	Outcomes  Outcomes
	// Truth counts the predictions of a version at an endpoint for which ground truth is known, and how many of them were wrong; it only
	// rises. nil: nothing feeds the accuracy.
	Truth func(endpoint, model string, version int) Count
	// Drifted says how far the requests and predictions of a version are from its baseline, in windows that ended after since; false if nothing was
	// compared yet. alpha bounds the probability that Drifted.AtLeast is ever too large. It answers from memory. nil: nothing feeds the baseline_drift.
	Drifted func(endpoint, model string, version int, since time.Time, alpha float64) (Drifted, bool)
	// Shadowed counts the copies of requests that the version executed as a shadow, and those of them that failed; both only rise while it is
	// routed. nil: nothing counts them, and an analysis of a shadow never sees its requests.
	Shadowed func(endpoint, arm, model string, version int) (executed, failed uint64)
	// Feeds says whether something counts what the metric compares; nil means everything but the accuracy without Truth and the
	// baseline_drift without Drifted.
	Feeds func(gateway.MetricName) bool
	// NewID makes the id of a rollout, at most 36 characters.
	NewID func() string
}

// Options of New; nil and the zero value work.
type Options struct {
	// Interval is how often requests are counted and judged; default 200 ms.
	Interval time.Duration
	// Resync is how often rows are read without being poked while none is active, to see what other processes wrote; default 2 s. Active ones are
	// read every Interval.
	Resync time.Duration
	// Lease is how long the process that drives a rollout may be silent before another takes over; default 6 s. It speaks three times as often.
	Lease time.Duration
	// Share is how often processes that follow a rollout hand over what they counted, and the driver looks for it; default 1 s.
	Share time.Duration
	// Name tells this process from others on the same database, and is the same after a restart if nobody else can have it: then it goes on at
	// once, else after Lease. Default one of NewID's.
	Name string
	// Now is the clock; default time.Now.
	Now func() time.Time
	Log *slog.Logger // nil means silence
}

// writeTimeout bounds one write, so that one stuck rollout does not stop the others for long.
const writeTimeout = 5 * time.Second

// Controller is the loop. Make it with New, drive it with Run, end it with Close.
type Controller struct {
	deps Deps
	opts Options
	wake chan struct{} // holds one token

	mu      sync.Mutex
	stale   bool                            // rows must be read; guarded by mu
	wanted  map[string]gateway.RolloutStart // by endpoint; guarded by mu
	reports map[string]report               // by rollout id, what the last look said; guarded by mu
	counts  map[countKey]uint64             // verdicts so far; guarded by mu
	loop    loop.Loop

	// The rest belongs to Run's goroutine.
	watched map[string]*watch // by rollout id
	readAt  time.Time
	blind   bool // the last read failed
}

// watch is an active rollout and what is known of it here.
type watch struct {
	row      gateway.Rollout
	evidence Evidence
	observer observer
	unsaved  []gateway.Event // of a decision that is in the table and not yet in the row; nil if there is none
	pending  bool            // row is ahead of what is stored
	retryAt  time.Time       // of settling
	heardAt  time.Time       // when Driver and Beat were seen to change, or this process spoke, last
	said     Verdict         // the verdict counted last
	shares   shares
}

// report is what Status shows beside the row.
type report struct {
	row      gateway.Rollout
	verdict  Verdict
	reason   string
	evidence Evidence
}

type countKey struct {
	endpoint string
	verdict  Verdict
}

// New returns a Controller that does nothing until Run.
func New(deps Deps, opts *Options) *Controller {
	c := &Controller{
		deps: deps, wake: make(chan struct{}, 1), stale: true, wanted: map[string]gateway.RolloutStart{}, reports: map[string]report{},
		counts: map[countKey]uint64{}, watched: map[string]*watch{},
	}
	if opts != nil {
		c.opts = *opts
	}
	set(&c.opts.Interval, 200*time.Millisecond)
	set(&c.opts.Resync, 2*time.Second)
	set(&c.opts.Lease, 6*time.Second)
	set(&c.opts.Share, time.Second)
	if c.opts.Name == "" {
		c.opts.Name = deps.NewID()
	}
	if c.opts.Now == nil {
		c.opts.Now = time.Now
	}
	if c.opts.Log == nil {
		c.opts.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func set(field *time.Duration, byDefault time.Duration) {
	if *field <= 0 {
		*field = byDefault
	}
}

// feeds says whether something here counts what the metric compares.
func (c *Controller) feeds(m gateway.MetricName) bool {
	return (m != gateway.MetricAccuracy || c.deps.Truth != nil) && (m != gateway.MetricBaselineDrift || c.deps.Drifted != nil) && (c.deps.Feeds == nil || c.deps.Feeds(m))
}

// Wanted takes over rollouts that must begin because a stage or alias moved. It returns at once.
func (c *Controller) Wanted(starts []gateway.RolloutStart) {
	c.mu.Lock()
	for _, s := range starts {
		c.wanted[s.Endpoint] = s
	}
	c.mu.Unlock()
	c.poke()
}

// changed makes the loop read the rows.
func (c *Controller) changed() {
	c.mu.Lock()
	c.stale = true
	c.mu.Unlock()
	c.poke()
}

func (c *Controller) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run loops until ctx ends or Close is called. It returns nil, or an error if it was called twice or after Close.
func (c *Controller) Run(ctx context.Context) error {
	if err := c.loop.Run(ctx, c.turns); err != nil {
		return fmt.Errorf("rollout controller: %w", err)
	}
	return nil
}

func (c *Controller) turns(ctx context.Context) {
	tick := time.NewTicker(c.opts.Interval)
	defer tick.Stop()
	for {
		c.turn(ctx)
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-tick.C:
		}
	}
}

// Close ends Run, waits for it, and leaves the rollouts to others. What was not written is decided again after the next start.
func (c *Controller) Close() error {
	if c.loop.Close() {
		c.release()
	}
	return nil
}

// turn begins what is wanted, reads if it must, decides about every rollout that is driven here, and only then waits for the database.
func (c *Controller) turn(ctx context.Context) {
	c.begin(ctx)
	c.read(ctx)
	decided := map[*watch]Decision{}
	for _, w := range c.watched {
		if !c.drives(w) {
			continue
		}
		if d, ok := c.decide(ctx, w); ok {
			decided[w] = d
		}
	}
	for w, d := range decided {
		c.write(ctx, w, d)
	}
	for _, w := range c.watched {
		if c.drives(w) && !w.row.Phase.Undecided() {
			c.finish(ctx, w)
		}
	}
	for _, w := range c.watched {
		if c.drives(w) {
			c.gather(ctx, w)
		} else {
			c.contribute(ctx, w)
		}
		c.lease(ctx, w)
	}
}

// decide counts, judges, and puts a rollback into the table.
func (c *Controller) decide(ctx context.Context, w *watch) (Decision, bool) {
	if w.pending || !w.row.Phase.Undecided() {
		return Decision{}, false
	}
	var truth func(int) Count
	if c.deps.Truth != nil {
		truth = func(version int) Count { return c.deps.Truth(w.row.Endpoint, w.row.Model, version) }
	}
	block := w.observer.look(&w.row, c.deps.Outcomes.Observe(w.row.Endpoint), truth)
	if c.deps.Shadowed != nil {
		w.observer.copies(&block, &w.row, c.deps.Shadowed)
	}
	w.evidence = w.evidence.Add(block, w.row.Plan.Analysis)
	c.drifted(w)
	d := Next(w.row, w.evidence, c.facts(ctx, &w.row), c.opts.Now())
	c.note(w, d)
	if d.Changed && d.Rollout.Phase == gateway.RolloutRollingBack {
		ahead := d.Rollout
		ahead.Revision++
		c.deps.Table.Override(ahead)
	}
	return d, d.Changed
}

// note keeps what Status and the metrics show.
func (c *Controller) note(w *watch, d Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports[w.row.ID] = report{d.Rollout, d.Verdict, d.Reason, w.evidence}
	if d.Verdict != w.said || d.Changed {
		c.counts[countKey{w.row.Endpoint, d.Verdict}]++
		w.said = d.Verdict
	}
}

// facts asks what the table says about the rollout.
func (c *Controller) facts(ctx context.Context, r *gateway.Rollout) Facts {
	state, ok := c.deps.Table.State(r.Endpoint)
	if !ok {
		_, err := c.deps.Endpoints.Get(ctx, r.Endpoint)
		if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
			return Facts{Gone: "the endpoint does not exist any more"}
		}
		return Facts{}
	}
	arm, hasArm := state.Arm(r.Arm)
	canary, hasCanary := state.Arm(r.CanaryArm)
	switch {
	case !hasArm || arm.Model != r.Model:
		return Facts{Gone: "the endpoint has no arm " + r.Arm + " for " + r.Model + " any more"}
	case !hasCanary || canary.Want != r.Canary:
		return Facts{} // the table is behind
	}
	f := Facts{Known: true, Means: arm.Means, Loaded: canary.State == gateway.Serving}
	if canary.State == gateway.LoadFailed {
		f.Failed = canary.Reason
	}
	if canary.State == gateway.Empty {
		f.Failed = "it does not exist any more"
	}
	return f
}

// write stores a decision. What cannot be stored is decided again; a rollback stays in the table and is stored later.
func (c *Controller) write(ctx context.Context, w *watch, d Decision) {
	r := d.Rollout
	r.Evidence, r.Writer = w.evidence.String(), c.opts.Name
	events := []gateway.Event{eventOf(&w.row, &r, d.Reason)}
	err := c.save(ctx, w, r, events, nil)
	if err == nil || mlflow.CodeOf(err) == mlflow.ResourceConflict || mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return
	}
	c.opts.Log.Error("a rollout's step cannot be written", slog.String("endpoint", r.Endpoint), slog.Any("error", err))
	if r.Phase == gateway.RolloutRollingBack {
		w.row, w.unsaved, w.pending = r, events, true
	}
}

// save writes the row and makes the table read it. After a conflict the rows are read again.
func (c *Controller) save(ctx context.Context, w *watch, r gateway.Rollout, events []gateway.Event, config *gateway.Config) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	revision, err := c.deps.Store.SaveRollout(ctx, r, events, config)
	if err != nil {
		c.changed()
		return err
	}
	c.opts.Log.Info("rollout", slog.String("endpoint", r.Endpoint), slog.Int("version", r.Canary), slog.String("phase", string(r.Phase)),
		slog.String("weight", r.Weight.String()), slog.String("reason", events[0].Reason))
	r.Driver, r.Beat = w.row.Driver, w.row.Beat
	w.row, w.unsaved, w.pending = r, nil, false
	w.row.Revision = revision
	c.deps.Table.Poke()
	if !r.Phase.Active() {
		delete(c.watched, r.ID)
		c.watchEndpoints()
	}
	return nil
}
