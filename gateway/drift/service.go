package drift

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway"
	"sluice/gateway/loop"
	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/tracking/mlflow"
)

// Store keeps States. Implementations pass storetest.RunDrift. It is safe for concurrent use, also by several processes.
type Store interface {
	// Update reads the state of a series (the zero State if there is none), lets change work on it, and writes it, in one transaction; nothing
	// is written if change returns an error. change may run more than once.
	Update(ctx context.Context, s predlog.Series, nowMS int64, change func(*State) error) error
	// Reports returns the Report of every state, and the Seq of each.
	Reports(ctx context.Context) ([]SeriesReport, error)
	// Forget removes the states that were last written before beforeMS.
	Forget(ctx context.Context, beforeMS int64) error
}

// SeriesReport is the Report of one version at one endpoint.
type SeriesReport struct {
	predlog.Series
	Seq       int64 // of the last segment in it
	UpdatedMS int64 // ms since the epoch
	Report
}

// Segments are the stored pieces of the prediction log; *predictions.Reader implements it.
type Segments interface {
	Segments(ctx context.Context, q predictions.Query, after int64) iter.Seq2[predictions.Segment, error]
	SegmentSample(ctx context.Context, s predictions.Segment, most int64) iter.Seq2[predlog.Row, error]
}

// Deps are what a Service works with; all but Baseline are required.
type Deps struct {
	Store    Store
	Segments Segments
	// Settings returns how an endpoint is compared, and what its ground truth names: the output that is looked at, and the key, which identifies rows
	// and is left out. Returns RESOURCE_DOES_NOT_EXIST for an unknown endpoint.
	Settings func(ctx context.Context, endpoint string) (gateway.Drift, gateway.GroundTruth, error)
	// Baseline finds what a version is compared with; the settings have their defaults, output is ground_truth.output. An error is one that may be
	// gone the next time. nil: the first predictions, always.
	Baseline func(ctx context.Context, s predlog.Series, settings gateway.Drift, output string) (Given, error)
	// Events writes events of endpoints.
	Events func(ctx context.Context, events []gateway.Event) error
}

// Options of New; nil and the zero value are the defaults.
type Options struct {
	// Interval is how often the index is asked for new segments; default 10 s.
	Interval time.Duration
	// Reach is how old a segment may be that is still taken in, after a time without this Service; default 24 h.
	Reach time.Duration
	// Keep is how long the state of a version without requests is kept; default 90 days.
	Keep time.Duration
	Log  *slog.Logger     // nil means silence
	Now  func() time.Time // nil means time.Now
}

// Service follows the prediction log. Make it with New, drive it with Run, end it with Close.
type Service struct {
	deps Deps
	opts Options

	round   sync.Mutex             // one round at a time; guards after, tries, refused and budget
	after   int64                  // the last segment that was looked at
	tries   map[predlog.Series]int // failed ones, of finding a baseline
	refused int                    // how often the segment after `after` could not be read
	budget  budget
	board   atomic.Pointer[[]SeriesReport]
	loop    loop.Loop

	mu     sync.Mutex
	routed []predlog.Series // guarded by mu
}

// New returns a Service that reads its reports at once and does nothing else until Run.
func New(ctx context.Context, deps Deps, opts *Options) (*Service, error) {
	s := &Service{deps: deps, tries: map[predlog.Series]int{}}
	if opts != nil {
		s.opts = *opts
	}
	if deps.Store == nil || deps.Segments == nil || deps.Settings == nil || deps.Events == nil {
		return nil, errors.New("drift: a dependency is missing")
	}
	if s.opts.Interval < 0 || s.opts.Reach < 0 || s.opts.Keep < 0 {
		return nil, fmt.Errorf("drift: a negative option: %+v", s.opts)
	}
	set(&s.opts.Interval, 10*time.Second)
	set(&s.opts.Reach, 24*time.Hour)
	set(&s.opts.Keep, 90*24*time.Hour)
	if s.opts.Log == nil {
		s.opts.Log = slog.New(slog.DiscardHandler)
	}
	if s.opts.Now == nil {
		s.opts.Now = time.Now
	}
	return s, s.refresh(ctx)
}

func set(v *time.Duration, byDefault time.Duration) {
	if *v == 0 {
		*v = byDefault
	}
}

// Run loops until ctx ends or Close is called; it is called once.
func (s *Service) Run(ctx context.Context) error {
	if err := s.loop.Run(ctx, s.follow); err != nil {
		return fmt.Errorf("drift: %w", err)
	}
	return nil
}

func (s *Service) follow(ctx context.Context) {
	tick := time.NewTicker(s.opts.Interval)
	defer tick.Stop()
	for {
		if err := s.Round(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Warn("drift not followed; trying again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close ends Run and waits for it.
func (s *Service) Close() error {
	s.loop.Close()
	return nil
}

// Round takes in every segment that was delivered since the last one, and reads the reports.
func (s *Service) Round(ctx context.Context) error {
	s.round.Lock()
	defer s.round.Unlock()
	now := s.opts.Now()
	s.settleRouted(ctx)
	for segment, err := range s.deps.Segments.Segments(ctx, predictions.Query{From: now.Add(-s.opts.Reach)}, s.after) {
		if err == nil {
			err = s.take(ctx, segment)
		}
		if err != nil {
			return errors.Join(err, s.refresh(ctx))
		}
		s.after, s.refused = segment.Seq, 0
	}
	return errors.Join(s.forget(ctx, now.Add(-s.opts.Keep).UnixMilli()), s.refresh(ctx))
}

// forget removes what nobody has asked for since, if there is any.
func (s *Service) forget(ctx context.Context, beforeMS int64) error {
	if !slices.ContainsFunc(*s.board.Load(), func(r SeriesReport) bool { return r.UpdatedMS < beforeMS }) {
		return nil
	}
	return s.deps.Store.Forget(ctx, beforeMS)
}

// take adds a segment to the state of its version.
func (s *Service) take(ctx context.Context, segment predictions.Segment) error {
	if segment.Model == "" || s.has(segment) {
		return nil
	}
	settings, ground, err := s.deps.Settings(ctx, segment.Endpoint)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist || err == nil && settings.Off {
		return nil
	}
	if err != nil {
		return err
	}
	settings = settings.WithDefaults()
	s.settle(ctx, segment.Series, settings, ground.Output)
	records := s.budget.take(s.opts.Now(), segment.Rows)
	pieces, err := digest(records, s.deps.Segments.SegmentSample(ctx, segment, records), settings.Window, ground)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && s.again(err) {
		return fmt.Errorf("segment %s of the prediction log: %w", segment.ID, err)
	}
	unreadable, changes := leftOut(err), []Change(nil)
	err = s.deps.Store.Update(ctx, segment.Series, s.opts.Now().UnixMilli(), func(st *State) error {
		if changes = nil; segment.Seq <= st.Seq {
			return nil // another server took it in
		}
		if unreadable != nil {
			st.Report.SegmentsLeftOut++
		}
		st.leaveOut(ground.Key)
		more, err := st.Add(segment.Seq, pieces, settings)
		changes = slices.Concat(unreadable, more)
		return err
	})
	if err != nil {
		return fmt.Errorf("drift of %s at %s: %w", segment.Model, segment.Endpoint, err)
	}
	s.tell(ctx, segment.Series, changes)
	return nil
}

// has says whether the segment is in its state already, as far as the reports were read.
func (s *Service) has(segment predictions.Segment) bool {
	r := s.known(segment.Series)
	return r != nil && r.Seq >= segment.Seq
}

// known is the report of the version, as far as the reports were read; nil if there is none.
func (s *Service) known(series predlog.Series) *SeriesReport {
	board := *s.board.Load()
	for i := range board {
		if board[i].Series == series {
			return &board[i]
		}
	}
	return nil
}

// note puts a new report on the board, before it is read anew.
func (s *Service) note(series predlog.Series, seq int64, report Report) {
	board := slices.DeleteFunc(slices.Clone(*s.board.Load()), func(r SeriesReport) bool { return r.Series == series })
	board = append(board, SeriesReport{Series: series, Seq: seq, UpdatedMS: s.opts.Now().UnixMilli(), Report: report})
	s.board.Store(&board)
}

// tell writes events; one that cannot be written is logged.
func (s *Service) tell(ctx context.Context, series predlog.Series, changes []Change) {
	var events []gateway.Event
	for _, c := range changes {
		events = append(events, gateway.Event{Endpoint: series.Endpoint, Kind: c.Kind, Version: series.Version, Reason: c.Reason, TimeMS: s.opts.Now().UnixMilli()})
		s.opts.Log.Warn("drift", slog.String("endpoint", series.Endpoint), slog.String("model", series.Model), slog.Int("version", series.Version),
			slog.String("kind", string(c.Kind)), slog.String("reason", c.Reason))
	}
	if err := s.deps.Events(ctx, events); err != nil {
		s.opts.Log.Warn("endpoint event not written", slog.String("endpoint", series.Endpoint), slog.Any("error", err))
	}
}

func (s *Service) refresh(ctx context.Context) error {
	reports, err := s.deps.Store.Reports(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(reports, func(x, y SeriesReport) int {
		if c := strings.Compare(x.Endpoint+"\x00"+x.Model, y.Endpoint+"\x00"+y.Model); c != 0 {
			return c
		}
		return x.Version - y.Version
	})
	s.board.Store(&reports)
	return nil
}

// Reports returns what is known of the versions of the endpoint, or of all endpoints for "", sorted; at most Options.Interval old.
func (s *Service) Reports(endpoint string) []SeriesReport {
	var out []SeriesReport
	for _, r := range *s.board.Load() {
		if endpoint == "" || r.Endpoint == endpoint {
			out = append(out, r)
		}
	}
	return out
}
