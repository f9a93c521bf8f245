package registry

import (
	"context"
	"fmt"
	"regexp"
	"time"
)

// Options are the settings of a Service; nil and the zero value work.
type Options struct {
	// Sources tells of runs and logged models; nil knows none, and sources that must belong to one are refused.
	Sources Sources
	// GuardDelete is asked before a version is deleted, or a whole registered model (version 0), unless the caller forces it. An
	// error refuses the deletion and is what the caller gets, for example RESOURCE_CONFLICT for a version that is routed to.
	// nil allows everything. It is called while no other change of the registry runs and must not change the registry.
	GuardDelete func(ctx context.Context, name string, version int) error
	// SourcePattern must match somewhere in the source of a new version; nil allows every source.
	SourcePattern *regexp.Regexp
	// TrustedLocations are URIs of the server's own artifact storage: sources may name their hosts, no others.
	TrustedLocations []string
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Sources tells what the registry must know of runs and logged models. Methods return RESOURCE_DOES_NOT_EXIST for an unknown id.
type Sources interface {
	// RunArtifactRoot returns the artifact URI of a run.
	RunArtifactRoot(ctx context.Context, runID string) (string, error)
	LoggedModel(ctx context.Context, modelID string) (LoggedModelSource, error)
	// LinkVersion notes at the logged model that a version was made from it; noting twice is nothing.
	LinkVersion(ctx context.Context, modelID, name string, version int) error
}

// LoggedModelSource is what the registry must know of a logged model.
type LoggedModelSource struct {
	ArtifactLocation string // URI of its artifact folder
	SourceRunID      string // the run that logged it; "" means none
}

// Service is the registry's rules in front of a Store. Its methods return *mlflow.Error for everything that a client did wrong.
type Service struct {
	store Store
	opts  Options

	// writing holds one token while no change runs: it serialises changes with the delivery of their events, and is taken before
	// feed.mu.
	writing chan struct{}
	feed    feed
}

// New returns a Service on store, which stays the caller's to close.
func New(store Store, opts *Options) *Service {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{store: store, opts: o, writing: make(chan struct{}, 1)}
	s.writing <- struct{}{}
	return s
}

// Snapshot returns every registered model that is not a prompt, by name, as of one commit.
func (s *Service) Snapshot(ctx context.Context) ([]ModelSnapshot, error) {
	return s.store.Snapshot(ctx)
}

// Revision returns the revision of the newest event, 0 if there is none.
func (s *Service) Revision(ctx context.Context) (int64, error) { return s.store.Revision(ctx) }

// Events returns events with a revision above after, in order; limit 0 and anything above MaxEvents mean MaxEvents.
func (s *Service) Events(ctx context.Context, after int64, limit int) ([]Event, error) {
	if limit <= 0 || limit > MaxEvents {
		limit = MaxEvents
	}
	return s.store.Events(ctx, after, limit)
}

// Subscribe calls fn for every later change made through this Service, after its commit, in the order of revisions, until cancel
// is called; after cancel has returned fn is not called again. fn runs on the writer's goroutine: it must be quick and must
// neither change the registry nor call cancel. Typically it wakes a loop that reads Snapshot.
func (s *Service) Subscribe(fn func(Event)) (cancel func()) { return s.feed.add(fn) }

func (s *Service) now() int64 { return s.opts.Now().UnixMilli() }

// change runs one write and delivers its events; waiting for its turn ends with ctx. write gets the time of the change.
func (s *Service) change(ctx context.Context, write func(at int64) ([]Event, error)) error {
	select {
	case <-s.writing:
	case <-ctx.Done():
		return fmt.Errorf("wait for the registry's writer: %w", ctx.Err())
	}
	defer func() { s.writing <- struct{}{} }()
	events, err := write(s.now())
	if err != nil {
		return err
	}
	s.feed.deliver(events)
	return nil
}

// Import runs a change that is made elsewhere, in turn with all others, and delivers its events; waiting for its turn ends with ctx.
func (s *Service) Import(ctx context.Context, write func() ([]Event, error)) error {
	return s.change(ctx, func(int64) ([]Event, error) { return write() })
}

// guardDelete asks Options.GuardDelete unless force. The token of s.writing is held.
func (s *Service) guardDelete(ctx context.Context, name string, version int, force bool) error {
	if force || s.opts.GuardDelete == nil {
		return nil
	}
	return s.opts.GuardDelete(ctx, name, version)
}
