package predictions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/gateway/predlog"
	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// Options of a Keeper; the zero value keeps everything.
type Options struct {
	// MaxAge is how long a segment is kept after its last record; 0 means for ever.
	MaxAge time.Duration
	// MaxBytes bounds all segments together, the oldest go first; 0 means no bound.
	MaxBytes int64
	// Every is how often it is looked; default 10 min.
	Every time.Duration
	// Logger receives what was removed and failures; nil discards.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Keeper removes segments that are too old or too many, and makes the index again if it was lost. Of each version behind an endpoint the
// newest segment always stays.
type Keeper struct {
	index     Index
	artifacts Artifacts
	runs      func(context.Context) iter.Seq2[Place, error]
	opts      Options

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewKeeper returns a Keeper that does nothing before Start; runs lists all serving runs, with an empty Path.
func NewKeeper(index Index, artifacts Artifacts, runs func(context.Context) iter.Seq2[Place, error], opts Options) *Keeper {
	if opts.Every == 0 {
		opts.Every = 10 * time.Minute
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Keeper{index: index, artifacts: artifacts, runs: runs, opts: opts, cancel: func() {}}
}

// Start makes the index again if it is empty, and then sweeps now and then, in the background.
func (k *Keeper) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	k.wg.Go(func() { k.loop(ctx) })
}

// Close ends what Start began.
func (k *Keeper) Close(context.Context) error {
	k.cancel()
	k.wg.Wait()
	return nil
}

func (k *Keeper) loop(ctx context.Context) {
	k.report(ctx, "index of prediction segments not made again", k.restore(ctx))
	tick := time.NewTicker(k.opts.Every)
	defer tick.Stop()
	for {
		_, err := k.Sweep(ctx)
		k.report(ctx, "old prediction segments not removed; trying again", err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (k *Keeper) report(ctx context.Context, msg string, err error) {
	if err != nil && ctx.Err() == nil {
		k.opts.Logger.Warn(msg, slog.Any("error", err))
	}
}

// restore makes the index again if there is nothing in it.
func (k *Keeper) restore(ctx context.Context) error {
	some, err := k.index.Segments(ctx, Query{}, 0, 1)
	if err != nil || len(some) > 0 {
		return err
	}
	_, err = k.Reindex(ctx)
	return err
}

// Reindex enters every segment of the serving runs that the index does not have, the oldest first, and returns how many those were. A file that is
// no segment is reported and left out.
func (k *Keeper) Reindex(ctx context.Context) (added int, err error) {
	var unknown []Place
	for run, err := range k.runs(ctx) {
		if err == nil {
			unknown, err = k.unknown(ctx, run, unknown)
		}
		if err != nil {
			return 0, err
		}
	}
	slices.SortFunc(unknown, func(x, y Place) int { return strings.Compare(path.Base(x.Path), path.Base(y.Path)) })
	for _, at := range unknown {
		switch err := k.enter(ctx, at); {
		case errors.Is(err, errUnreadable):
			k.opts.Logger.Warn("file among prediction segments left out", slog.String("run", at.RunID), slog.String("path", at.Path), slog.Any("error", err))
		case err != nil:
			return added, fmt.Errorf("segment %s of serving run %s: %w", at.Path, at.RunID, err)
		default:
			added++
		}
	}
	if added > 0 {
		k.opts.Logger.Info("prediction segments entered into the index", slog.Int("segments", added))
	}
	return added, nil
}

// unknown appends the segments of the run that the index does not have.
func (k *Keeper) unknown(ctx context.Context, run Place, to []Place) ([]Place, error) {
	repo, err := k.artifacts.Resolve(run.ArtifactURI)
	if err != nil {
		return nil, fmt.Errorf("artifacts of serving run %s: %w", run.RunID, err)
	}
	var paths, ids []string
	err = repo.Walk(ctx, "predictions", func(i artifact.Info) error {
		if id, ok := strings.CutSuffix(path.Base(i.Path), ".parquet"); ok {
			paths, ids = append(paths, i.Path), append(ids, id)
		}
		return nil
	})
	if err != nil && !missing(err) {
		return nil, fmt.Errorf("segments of serving run %s: %w", run.RunID, err)
	}
	known, err := k.index.Known(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i, p := range paths {
		if !known[ids[i]] {
			run.Path = p
			to = append(to, run)
		}
	}
	return to, nil
}

var errUnreadable = errors.New("predictions: not a segment")

// enter reads a segment's summary and enters it.
func (k *Keeper) enter(ctx context.Context, at Place) error {
	r := Reader{artifacts: k.artifacts}
	file, err := r.file(ctx, Segment{Place: at})
	if err != nil {
		return err
	}
	defer file.close()
	f, err := predlog.OpenSegment(file, file.size)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	s, err := f.Summary()
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return k.index.Add(ctx, Entry{Summary: s, Place: at})
}

// missing says that there is no such file or folder.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist
}

// Sweep removes what is too old or too much now and returns how many segments that were. Each file goes before its row: what a crash leaves
// is a row without a file, which the next Sweep removes. A segment that cannot be removed is passed by.
func (k *Keeper) Sweep(ctx context.Context) (removed int, err error) {
	if k.opts.MaxAge == 0 && k.opts.MaxBytes == 0 {
		return 0, nil
	}
	r := Reader{index: k.index}
	newest, total := map[predlog.Series]int64{}, int64(0)
	for s, err := range r.Segments(ctx, Query{}, 0) {
		if err != nil {
			return 0, err
		}
		newest[s.Series] = s.Seq
		total += s.Bytes
	}
	var oldest time.Time
	if k.opts.MaxAge > 0 {
		oldest = k.opts.Now().Add(-k.opts.MaxAge)
	}
	failed, last := 0, error(nil)
	for s, err := range r.Segments(ctx, Query{}, 0) {
		if err != nil {
			return removed, err
		}
		over := k.opts.MaxBytes > 0 && total > k.opts.MaxBytes
		if s.Seq >= newest[s.Series] || !s.Last.Before(oldest) && !over {
			continue
		}
		if err := k.remove(ctx, s); err != nil { // of one run, perhaps: the others are not kept by it
			if err = fmt.Errorf("remove prediction segment %s: %w", s.ID, err); ctx.Err() != nil {
				return removed, err
			}
			failed, last = failed+1, err
			continue
		}
		total -= s.Bytes
		removed++
	}
	if removed > 0 {
		k.opts.Logger.Info("prediction segments removed", slog.Int("segments", removed), slog.Int64("bytes_left", total))
	}
	if failed > 0 {
		return removed, fmt.Errorf("%d segments stay, the last one because: %w", failed, last)
	}
	return removed, nil
}

func (k *Keeper) remove(ctx context.Context, s Segment) error {
	repo, err := k.artifacts.Resolve(s.ArtifactURI)
	if err == nil {
		err = repo.Delete(ctx, s.Place.Path)
	}
	if err != nil && !missing(err) {
		return err
	}
	return k.index.Remove(ctx, []string{s.ID})
}
