package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"sluice/gateway/outcome"
	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/registry"
	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// Tracking is the slice of *tracking.Service that serving runs need.
type Tracking interface {
	Experiments
	Runs
}

// Experiments is Tracking's part about experiments.
type Experiments interface {
	CreateExperiment(ctx context.Context, spec tracking.ExperimentSpec) (string, error)
	ExperimentByName(ctx context.Context, name string) (tracking.Experiment, error)
	SearchExperiments(ctx context.Context, q tracking.ExperimentQuery) (tracking.ExperimentPage, error)
	RestoreExperiment(ctx context.Context, id string) error
}

// Runs is Tracking's part about runs.
type Runs interface {
	CreateRun(ctx context.Context, spec tracking.RunSpec) (tracking.Run, error)
	Run(ctx context.Context, id string) (tracking.Run, error)
	SearchRuns(ctx context.Context, q tracking.RunQuery) (tracking.RunPage, error)
	UpdateRun(ctx context.Context, id string, u tracking.RunUpdate) (tracking.RunInfo, error)
	LogBatch(ctx context.Context, runID string, b tracking.Batch) error
	LogInputs(ctx context.Context, runID string, datasets []tracking.DatasetInput, models []tracking.ModelInput) error
}

// Versions is the slice of *registry.Service that serving runs need.
type Versions interface {
	Version(ctx context.Context, name string, version int) (registry.Version, error)
	SetVersionTag(ctx context.Context, name string, version int, tag registry.Tag) error
}

// Artifacts finds the place that an artifact URI names; *artifact.Resolver implements it.
type Artifacts interface {
	Resolve(uri string) (*artifact.Repo, error)
}

// Index is where it is written what was delivered; a predictions.Index is one.
type Index interface {
	Add(ctx context.Context, e predictions.Entry) error
	AddGap(ctx context.Context, g predlog.Gap) error
}

// Sources are what a Monitor reads from and writes to; all but SampledOut, Observed, Rollouts, Totals and Gap are required.
type Sources struct {
	Tracking  Tracking
	Versions  Versions
	Artifacts Artifacts
	Index     Index
	// Outcomes returns the cumulative counts of what was served: (*outcome.Book).Snapshot.
	Outcomes func() []outcome.SeriesSnapshot
	// Dropped returns the cumulative drops of the prediction log: (*predlog.Log).DroppedBySeries. It is not called before Start.
	Dropped func() map[predlog.Series]predlog.Drops
	// SampledOut returns the cumulative requests that sampling left out of the log: (*predlog.Log).SampledOutBySeries. nil: none. It is not
	// called before Start.
	SampledOut func() map[predlog.Series]int64
	// Totals keeps the sums of the runs, where other processes serve the same endpoints. nil: there are none.
	Totals Totals
	// Observed returns what else is known of versions: their quality, their drift. nil: nothing. It is not called before Start.
	Observed func() []Observation
	// Gap hears once of each gap of the log, with the endpoints that are routed then. nil: nobody does.
	Gap func(ctx context.Context, endpoints []string, g predlog.Gap) error
	// Rollouts returns the ids of the rollouts that act now, by the version that takes over. nil: there are none. It is not called before Start.
	Rollouts func(ctx context.Context) (map[predlog.Series]string, error)
}

// Options of New; nil and the zero value are the defaults.
type Options struct {
	// Interval is how often metrics are written while there is traffic, and what failed is tried again; default 10 s.
	Interval time.Duration
	// Timeout bounds one round of writing; default 60 s.
	Timeout time.Duration
	// Logger receives failures and decisions; nil discards.
	Logger *slog.Logger
	// Now is the clock of times written to tracking; nil means time.Now.
	Now func() time.Time
}

// Served is one version behind an endpoint.
type Served struct {
	Endpoint string
	Model    string
	Version  int
	Stage    string // through which it is routed, "" if none
	Arm      string
}

func (s Served) series() predlog.Series {
	return predlog.Series{Endpoint: s.Endpoint, Model: s.Model, Version: s.Version}
}

// Monitor keeps the serving runs; make it with New.
type Monitor struct {
	src  Sources
	opts Options

	kick    chan struct{} // capacity 1: Routed changed something
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	started bool // Start was called

	wantedMu sync.Mutex
	routed   bool     // Routed was called
	wanted   []Served // as last told

	mu      sync.Mutex // one writer of serving runs at a time; guards everything below and is held during calls to tracking
	swept   bool       // runs of an earlier life were looked for
	runs    map[predlog.Series]*servingRun
	counts  map[outcome.Key]outcome.Histogram // as last written
	dropped map[predlog.Series]int64          // as last written
	skipped map[predlog.Series]int64          // as last written
	rows    map[predlog.Series]int64          // delivered and not yet written
	seen    map[observationKey]Observation    // as last written
	gaps    []predlog.Gap                     // not yet told
}

var _ predlog.Sink = (*Monitor)(nil)

// New returns a Monitor that writes nothing on its own before Start; Deliver works at once. It takes what Outcomes counts now as already
// written: counts of an earlier Monitor on the same Book are not written twice.
func New(src Sources, opts *Options) (*Monitor, error) {
	if src.Tracking == nil || src.Versions == nil || src.Artifacts == nil || src.Index == nil || src.Outcomes == nil || src.Dropped == nil {
		return nil, errors.New("monitor: a source is missing")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Interval < 0 || o.Timeout < 0 {
		return nil, fmt.Errorf("monitor: a negative option: %+v", o)
	}
	if o.Interval == 0 {
		o.Interval = 10 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Monitor{
		src: src, opts: o, kick: make(chan struct{}, 1), runs: map[predlog.Series]*servingRun{},
		counts: map[outcome.Key]outcome.Histogram{}, dropped: map[predlog.Series]int64{}, skipped: map[predlog.Series]int64{}, rows: map[predlog.Series]int64{},
		seen: map[observationKey]Observation{},
	}
	for _, s := range src.Outcomes() {
		m.counts[s.Key] = s.Histogram
	}
	return m, nil
}

// Start begins writing every Options.Interval and after each change told to Routed. Call it once.
func (m *Monitor) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.started = cancel, true
	m.wg.Go(func() { m.loop(ctx) })
}

func (m *Monitor) loop(ctx context.Context) {
	tick := time.NewTicker(m.opts.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-m.kick:
		case <-ctx.Done():
			return
		}
		round, cancel := context.WithTimeout(ctx, m.opts.Timeout)
		err := m.Flush(round)
		cancel()
		if err != nil && ctx.Err() == nil {
			m.opts.Logger.Warn("serving runs not written; trying again", slog.Any("error", err))
		}
	}
}

// Routed tells which versions are served now, all of them. It returns at once; the runs follow, with retries.
func (m *Monitor) Routed(_ context.Context, current []Served) {
	m.wantedMu.Lock()
	m.routed, m.wanted = true, slices.Clone(current)
	m.wantedMu.Unlock()
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// target returns what was told to Routed.
func (m *Monitor) target() (wanted []Served, told bool) {
	m.wantedMu.Lock()
	defer m.wantedMu.Unlock()
	return m.wanted, m.routed
}

// Flush writes now: the runs that Routed asked for, and the metrics since the last time. What failed stays for the next time.
func (m *Monitor) Flush(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.writeMetrics(ctx), m.reconcile(ctx), m.writeObservations(ctx), m.tellGaps(ctx))
}

// Close stops the loop and writes the last metrics. Serving runs stay RUNNING: another member may serve them, and this one after its restart.
func (m *Monitor) Close(ctx context.Context) error {
	if m.started {
		m.cancel()
		m.wg.Wait()
	}
	return m.Flush(ctx)
}

// Deliver stores the segment under its serving run and enters it into the index. It is idempotent: a file that is there whole is left
// alone, and so is an entry.
func (m *Monitor) Deliver(ctx context.Context, s predlog.Segment) error {
	err := m.store(ctx, s)
	if gone(err) { // a person deleted the run or the experiment since we looked: look again, once
		m.forget(s.Series)
		err = m.store(ctx, s)
	}
	return err
}

func (m *Monitor) store(ctx context.Context, s predlog.Segment) error {
	m.mu.Lock()
	run, err := m.ensure(ctx, s.Series)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	// The run is asked each time, so that no segment goes to one that a person deleted meanwhile.
	if got, err := m.src.Tracking.Run(ctx, run.id); err != nil {
		return fmt.Errorf("serving run %s: %w", run.id, err)
	} else if got.Info.Lifecycle != tracking.Active {
		return tracking.RunNotActive(run.id, got.Info.Lifecycle)
	}
	repo, err := m.src.Artifacts.Resolve(run.artifactURI)
	if err != nil {
		return fmt.Errorf("artifacts of serving run %s: %w", run.id, err)
	}
	if err := upload(ctx, repo, s); err != nil {
		return fmt.Errorf("upload segment %s: %w", s.ID, err)
	}
	summary, err := predlog.Summarize(s.Path)
	if err != nil {
		return err
	}
	place := predictions.Place{RunID: run.id, ArtifactURI: run.artifactURI, Path: SegmentPath(s)}
	if err := m.src.Index.Add(ctx, predictions.Entry{Summary: summary, Place: place}); err != nil {
		return fmt.Errorf("index segment %s: %w", s.ID, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.logDataset(ctx, run); err != nil {
		return fmt.Errorf("dataset input of serving run %s: %w", run.id, err)
	}
	m.rows[s.Series] += s.Rows
	return nil
}

// SegmentPath returns where a segment lies below its serving run's artifacts.
func SegmentPath(s predlog.Segment) string {
	return "predictions/" + s.First.UTC().Format(time.DateOnly) + "/" + s.ID + ".parquet"
}

func upload(ctx context.Context, repo *artifact.Repo, s predlog.Segment) error {
	path := SegmentPath(s)
	info, err := repo.Stat(ctx, path)
	if err == nil && !info.IsDir && info.Size == s.Bytes {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		return err
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = repo.Write(ctx, path, f)
	return err
}

// gone says that tracking answered: what you write to is not there (any more).
func gone(err error) bool {
	switch mlflow.CodeOf(err) {
	case mlflow.ResourceDoesNotExist, mlflow.InvalidParameterValue, mlflow.InvalidState:
		return true
	}
	return false
}

func (m *Monitor) forget(s predlog.Series) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(s)
}

// drop forgets a run that is gone; what was observed is written into its successor. The caller holds mu.
func (m *Monitor) drop(s predlog.Series) {
	delete(m.runs, s)
	maps.DeleteFunc(m.seen, func(k observationKey, _ Observation) bool { return k.Series == s })
}
