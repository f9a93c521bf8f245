package rollout

import (
	"context"
	"log/slog"
	"time"

	"sluice/gateway"
)

// read follows the rows, if somebody changed one or it is time.
func (c *Controller) read(ctx context.Context) {
	now := c.opts.Now()
	c.mu.Lock()
	due := c.stale || len(c.watched) > 0 || now.Sub(c.readAt) >= c.opts.Resync // what another process writes must be in this one's table soon
	c.stale = false
	c.mu.Unlock()
	if !due {
		return
	}
	c.readAt = now
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	rows, err := c.deps.Store.Rollouts(ctx, now.UnixMilli())
	if err != nil {
		c.unread(ctx, now, err)
		return
	}
	c.blind = false
	c.follow(rows, now)
}

// unread notes that the rows cannot be read; who cannot listen does not say that others are silent.
func (c *Controller) unread(ctx context.Context, now time.Time, err error) {
	for _, w := range c.watched {
		if !c.drives(w) {
			w.heardAt = now
		}
	}
	if ctx.Err() == nil && !c.blind {
		c.opts.Log.Error("rollouts cannot be read", slog.Any("error", err))
	}
	c.blind = true
}

// follow watches the active rows and no others.
func (c *Controller) follow(rows []gateway.Rollout, now time.Time) {
	before := len(c.watched)
	next := make(map[string]*watch, len(rows))
	changed := false
	for _, r := range rows {
		if !r.Phase.Active() {
			continue
		}
		w, known := c.watched[r.ID]
		switch {
		case !known:
			w = &watch{row: r, evidence: ParseEvidence(r.Evidence), heardAt: now}
			changed = true
		case r.Revision > w.row.Revision || r.Beat != w.row.Beat:
			c.take(w, r, now)
		}
		next[r.ID] = w
	}
	ended := len(next) < before
	c.watched = next
	if changed || ended {
		c.watchEndpoints()
	}
	if ended {
		c.deps.Table.Poke() // somebody else ended it
	}
}

// take replaces the row by a newer one. Whoever drives it knows of more requests than the row: its step began at what it knows.
func (c *Controller) take(w *watch, r gateway.Rollout, now time.Time) {
	drove := c.drives(w)
	if r.Beat != w.row.Beat || r.Driver != w.row.Driver {
		w.heardAt = now
	}
	if r.Revision > w.row.Revision {
		c.deps.Table.Poke()
	}
	if drove && r.Driver == c.opts.Name && r.Writer != c.opts.Name && (r.Step != w.row.Step || r.Phase != w.row.Phase) {
		r.StepRequests = int64(w.evidence.Canary.Requests)
	}
	w.row, w.unsaved, w.pending = r, nil, false
	if r.Driver == c.opts.Name {
		return
	}
	w.evidence = ParseEvidence(r.Evidence) // the driver's
	if drove {
		w.observer, w.shares = observer{}, shares{}
		c.forget(r.ID)
	}
}

func (c *Controller) watchEndpoints() {
	names := make([]string, 0, len(c.watched))
	for _, w := range c.watched {
		names = append(names, w.row.Endpoint)
	}
	c.deps.Outcomes.Watch(names)
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.reports {
		if c.watched[id] == nil {
			delete(c.reports, id)
		}
	}
}

// forget drops what this process said about a rollout that another one drives.
func (c *Controller) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.reports, id)
}
