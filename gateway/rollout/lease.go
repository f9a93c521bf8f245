package rollout

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// drives says whether this process counts, judges and writes for the rollout.
func (c *Controller) drives(w *watch) bool { return w.row.Driver == c.opts.Name }

// lease speaks for a rollout that is driven here, sooner where others wait to hear that their counts were taken in, and takes one over whose driver
// fell silent.
func (c *Controller) lease(ctx context.Context, w *watch) {
	silent := c.opts.Now().Sub(w.heardAt)
	switch {
	case c.drives(w) && (silent >= c.opts.Lease/3 || w.shares.took && silent >= c.opts.Share):
		c.keep(ctx, w)
	case w.row.Driver == "" || !c.drives(w) && silent >= c.opts.Lease:
		c.takeOver(ctx, w, silent.Round(100*time.Millisecond).String())
	}
}

// keep says that this process is still there, and stores what it counted. While the database is away it stays the driver for what it does alone,
// taking a canary back; what it writes afterwards is refused if another one took over.
func (c *Controller) keep(ctx context.Context, w *watch) {
	if w.pending {
		return // saving what is decided comes first
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	now := c.opts.Now()
	r := w.row
	r.Evidence = w.evidence.String()
	c.mu.Lock()
	if said, ok := c.reports[r.ID]; ok {
		r.Verdict, r.Because = string(said.verdict), said.reason
	}
	c.mu.Unlock()
	beat, err := c.deps.Store.KeepRollout(ctx, r)
	if err != nil {
		w.heardAt = now // not before another third of the lease
		c.changed()
		if mlflow.CodeOf(err) != mlflow.ResourceConflict && ctx.Err() == nil {
			c.opts.Log.Error("what a rollout's requests say cannot be written", slog.String("endpoint", r.Endpoint), slog.Any("error", err))
		}
		return
	}
	r.Beat = beat
	w.row, w.heardAt, w.shares.took = r, now, false
}

// takeOver makes this process the driver. Whoever else tries in the same moment loses, and reads the row again.
func (c *Controller) takeOver(ctx context.Context, w *watch, silent string) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	event := gateway.Event{
		Endpoint: w.row.Endpoint, Kind: gateway.EventRolloutTaken, Arm: w.row.CanaryArm, Version: w.row.Canary, TimeMS: c.opts.Now().UnixMilli(),
		Reason: fmt.Sprintf("another process carries out the rollout of version %d: the one before was silent for %s", w.row.Canary, silent),
	}
	if w.row.Driver == "" {
		event.Reason = fmt.Sprintf("another process carries out the rollout of version %d: the one before left", w.row.Canary)
	}
	r, err := c.deps.Store.TakeRollout(ctx, w.row, c.opts.Name, []gateway.Event{event})
	if err != nil {
		w.heardAt = c.opts.Now()
		c.changed()
		return
	}
	c.opts.Log.Info("rollout taken over", slog.String("endpoint", r.Endpoint), slog.Int("version", r.Canary), slog.String("before", w.row.Driver))
	w.heardAt = c.opts.Now()
	c.inherit(w, r)
	c.deps.Table.Poke()
}

// release leaves the rollouts to whoever is there, so that nobody waits for the end of a lease.
func (c *Controller) release() {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	for _, w := range c.watched {
		if !c.drives(w) {
			continue
		}
		if !w.pending {
			c.keep(ctx, w)
		}
		if _, err := c.deps.Store.TakeRollout(ctx, w.row, "", nil); err != nil && mlflow.CodeOf(err) != mlflow.ResourceConflict {
			c.opts.Log.Warn("a rollout waits for the end of its lease", slog.String("endpoint", w.row.Endpoint), slog.Any("error", err))
		}
	}
}
