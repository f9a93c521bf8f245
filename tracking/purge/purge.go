// Package purge ends for good what was soft-deleted: runs, logged models, experiments, with their artifacts.
//
// It owns the preview of what would go, in bytes, the rule for what is kept, and the order of removal. It is called by
// tracking/rest and by cmd (`sluice gc`); it must not know SQL or HTTP, nor who names artifacts from outside tracking: cmd hands in Named.
//
// Artifacts go first, rows after them, so that whatever is interrupted is found and finished by the next call. Something is kept
// whole, rows and files, while a registered version was made from it. Nothing that is active is ever touched; what is restored while
// a purge runs may have lost its artifacts.
package purge

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// Named is an artifact that somebody outside tracking points at.
type Named struct {
	By      string // who, for the preview: "version 3 of wine"
	URI     string
	ModelID string // of the logged model that it is; "" means none
}

// Options are the settings of a Purger; Named is required.
type Options struct {
	// Named returns every artifact that must not go.
	Named func(ctx context.Context) ([]Named, error)
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Purger previews and purges; safe for concurrent use.
type Purger struct {
	store     tracking.Purger
	artifacts *artifact.Resolver
	opts      Options
}

// New returns a Purger on store.
func New(store tracking.Purger, artifacts *artifact.Resolver, opts Options) *Purger {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Purger{store, artifacts, opts}
}

// Query says what may go; the zero value means everything that is soft-deleted.
type Query struct {
	// OlderThan spares what was deleted less than this long ago.
	OlderThan time.Duration
	// IDs restrict to these runs, logged models and experiments; one that is not soft-deleted is refused.
	IDs []string
}

// Item is one thing that goes, or is kept.
type Item struct {
	tracking.Remains
	Files int
	Bytes int64 // of its artifacts
	// AtLeast says that Files and Bytes are lower bounds: the folder could not be counted to its end.
	AtLeast bool
	// Kept says why it stays; "" means that it goes.
	Kept string
}

// Report is what goes and what is kept.
type Report struct {
	Items []Item
	// Files and Bytes sum what goes.
	Files int
	Bytes int64
	// More says that this is the most that one call handles, and another would find more.
	More bool
}

// Preview returns what Run would do now; nothing changes.
func (p *Purger) Preview(ctx context.Context, q Query) (Report, error) {
	report, err := p.collect(ctx, q)
	report.sum()
	return report, err
}

// Run purges. The report says what went; an item whose removal failed is kept with the reason, and the others go on.
func (p *Purger) Run(ctx context.Context, q Query) (Report, error) {
	report, err := p.collect(ctx, q)
	if err != nil {
		return Report{}, err
	}
	for i := range report.Items {
		item := &report.Items[i]
		if item.Kept != "" {
			continue
		}
		if err := p.end(ctx, item.Remains); err != nil {
			if ctx.Err() != nil {
				return report, ctx.Err()
			}
			item.Kept = reason(err)
		}
	}
	report.sum()
	return report, nil
}

// reason words a failure for the report; only errors with a code were written for clients.
func reason(err error) string {
	var coded *mlflow.Error
	if errors.As(err, &coded) {
		return coded.Message
	}
	return "it could not be removed"
}

func (r *Report) sum() {
	for _, item := range r.Items {
		if item.Kept == "" {
			r.Files += item.Files
			r.Bytes += item.Bytes
		}
	}
}

// end removes the artifacts, then the rows.
func (p *Purger) end(ctx context.Context, d tracking.Remains) error {
	if repo, err := p.folder(d); err != nil {
		return err
	} else if repo != nil {
		if err := repo.Clear(ctx); err != nil {
			return err
		}
	}
	return p.store.Purge(ctx, d)
}

// folder returns the Repo of what is d's alone; nil if nothing is.
func (p *Purger) folder(d tracking.Remains) (*artifact.Repo, error) {
	if !owned(d) {
		return nil, nil
	}
	return p.artifacts.Resolve(d.ArtifactURI)
}

// owned says whether the artifact folder is d's alone: the server names folders after the id of what they belong to. One that a user
// named may hold anything, and is left.
func owned(d tracking.Remains) bool {
	if d.Kind == tracking.RemainsOfExperiment {
		return path.Base(d.ArtifactURI) == d.ID
	}
	return slices.Contains(strings.Split(d.ArtifactURI, "/"), d.ID)
}

func (p *Purger) collect(ctx context.Context, q Query) (Report, error) {
	if q.OlderThan < 0 {
		return Report{}, mlflow.Invalidf("older_than must not be negative.")
	}
	all, err := p.store.Remains(ctx, p.opts.Now().Add(-q.OlderThan).UnixMilli())
	if err != nil {
		return Report{}, err
	}
	chosen, err := choose(all, q.IDs)
	if err != nil {
		return Report{}, err
	}
	named, err := p.opts.Named(ctx)
	if err != nil {
		return Report{}, err
	}
	keep := newKeeper(p.artifacts, named)
	report := Report{More: len(all) >= tracking.MaxRemains}
	occupied := map[string]string{} // experiments in which something is kept, or not chosen, and what
	for _, d := range all {
		if d.Kind != tracking.RemainsOfExperiment && !slices.Contains(chosen, d) {
			occupied[d.ExperimentID] = string(d.Kind) + " " + d.ID + " stays"
		}
	}
	for _, d := range chosen {
		item := Item{Remains: d, Kept: keep.why(d)}
		if d.Kind == tracking.RemainsOfExperiment && item.Kept == "" {
			item.Kept = occupied[d.ID]
		}
		if item.Kept != "" {
			occupied[d.ExperimentID] = string(d.Kind) + " " + d.ID + " stays"
		}
		if err := p.measure(ctx, &item); err != nil {
			return Report{}, err
		}
		report.Items = append(report.Items, item)
	}
	return report, nil
}

func choose(all []tracking.Remains, ids []string) ([]tracking.Remains, error) {
	if len(ids) == 0 {
		return all, nil
	}
	var out []tracking.Remains
	found := map[string]bool{}
	for _, d := range all {
		if slices.Contains(ids, d.ID) {
			out, found[d.ID] = append(out, d), true
		}
	}
	for _, id := range ids {
		if !found[id] {
			return nil, mlflow.Errorf(mlflow.InvalidState, "Nothing that was deleted long enough ago has the id %s.", mlflow.Repr(id))
		}
	}
	return out, nil
}

// measure counts the artifacts; of an experiment only what is not counted at its runs and models.
func (p *Purger) measure(ctx context.Context, item *Item) error {
	if item.Kind == tracking.RemainsOfExperiment {
		return nil
	}
	repo, err := p.folder(item.Remains)
	if repo == nil || err != nil {
		if err != nil && item.Kept == "" {
			item.Kept = reason(err)
		}
		return nil
	}
	err = repo.Walk(ctx, "", func(info artifact.Info) error {
		item.Files++
		item.Bytes += info.Size
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	item.AtLeast = err != nil
	return nil
}

// keeper knows what must not go.
type keeper struct {
	artifacts *artifact.Resolver
	models    map[string]string // logged model → who
	runs      map[string]string
	places    []place
}

type place struct{ at, by string }

func newKeeper(artifacts *artifact.Resolver, named []Named) *keeper {
	k := &keeper{artifacts: artifacts, models: map[string]string{}, runs: map[string]string{}}
	for _, n := range named {
		if n.ModelID != "" {
			k.models[n.ModelID] = n.By
		}
		if rest, ok := strings.CutPrefix(n.URI, "runs:/"); ok {
			id, _, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
			k.runs[id] = n.By
		}
		k.places = append(k.places, place{k.canonical(n.URI), n.By})
	}
	return k
}

// canonical spells a place in one way, however it is named: local files by their path.
func (k *keeper) canonical(uri string) string {
	if repo, err := k.artifacts.Resolve(uri); err == nil {
		if local, ok := repo.LocalPath(""); ok {
			return path.Clean(local)
		}
	}
	u, err := artifact.ParseURI(uri)
	if err != nil {
		return uri
	}
	if u.Scheme == "file" {
		return path.Clean(u.Path)
	}
	return u.Scheme + "://" + u.Host + path.Clean("/"+u.Path)
}

// why says who needs d; "" if nobody does.
func (k *keeper) why(d tracking.Remains) string {
	by := ""
	switch d.Kind {
	case tracking.RemainsOfRun:
		by = k.runs[d.ID]
	case tracking.RemainsOfLoggedModel:
		by = k.models[d.ID]
	}
	if by == "" && owned(d) {
		at := k.canonical(d.ArtifactURI)
		for _, p := range k.places {
			if within(p.at, at) || within(at, p.at) {
				by = p.by
				break
			}
		}
	}
	if by == "" {
		return ""
	}
	return by + " was made from it"
}

// within says whether inner is outer or lies below it.
func within(inner, outer string) bool {
	return inner == outer || strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/")
}
