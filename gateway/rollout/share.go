package rollout

import (
	"context"
	"encoding/json"
	"time"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// shares is what a process that follows a rollout counts for the one that drives it.
type shares struct {
	mine   Block     // counted here, and not handed over
	seq    int64     // of the share handed over last; 0 if none
	known  bool      // seq is what the store has, also from before a restart
	lookAt time.Time // when this was looked at last, by follower or driver
	took   bool      // the driver took something in that its row does not tell yet
}

// due says whether it is time for another look at shares.
func (c *Controller) due(w *watch) bool {
	now := c.opts.Now()
	if !w.row.Phase.Undecided() || now.Sub(w.shares.lookAt) < c.opts.Share {
		return false
	}
	w.shares.lookAt = now
	return true
}

// contribute hands over what this process counted of a rollout that another one drives, once the share before was taken in. Outside the bake a share
// has requests of both arms: it is compared within itself.
func (c *Controller) contribute(ctx context.Context, w *watch) {
	if !c.due(w) {
		return
	}
	c.collect(w)
	b := &w.shares.mine
	if b.Canary.Requests+b.Stable.Requests == 0 || !b.Baking && (b.Canary.Requests == 0 || b.Stable.Requests == 0) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if !w.shares.known && !c.recallShare(ctx, w) || w.shares.seq > w.evidence.Taken[c.opts.Name] {
		return
	}
	seq := max(w.shares.seq, w.evidence.Taken[c.opts.Name]) + 1
	err := c.deps.Store.PutRolloutShare(ctx, gateway.RolloutShare{Rollout: w.row.ID, Member: c.opts.Name, Seq: seq, Counts: b.encode(w.row.Plan.Analysis)})
	if err == nil {
		w.shares.seq, w.shares.mine = seq, Block{}
	} else if mlflow.CodeOf(err) == mlflow.ResourceConflict {
		c.changed()
	}
}

// collect counts what was answered here since the last look.
func (c *Controller) collect(w *watch) {
	b := w.observer.look(&w.row, c.deps.Outcomes.Observe(w.row.Endpoint), nil) // ground truth is the database's: the driver counts all of it
	if c.deps.Shadowed != nil {
		w.observer.copies(&b, &w.row, c.deps.Shadowed)
	}
	w.shares.mine.Canary.add(&b.Canary)
	w.shares.mine.Stable.add(&b.Stable)
	w.shares.mine.Baking = b.Baking
}

// recallShare reads what this process handed over before it was started again.
func (c *Controller) recallShare(ctx context.Context, w *watch) bool {
	found, err := c.deps.Store.RolloutShares(ctx, w.row.ID)
	for _, s := range found {
		if s.Member == c.opts.Name {
			w.shares.seq = s.Seq
		}
	}
	w.shares.known = err == nil
	return w.shares.known
}

// gather takes in what the other processes counted, each share once: the row, which tells it, is written with what came of it.
func (c *Controller) gather(ctx context.Context, w *watch) {
	if w.pending || !c.due(w) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	found, err := c.deps.Store.RolloutShares(ctx, w.row.ID)
	if err != nil {
		return // as nothing is known of the others when the rows cannot be read, which is logged
	}
	for _, s := range found {
		if s.Seq <= w.evidence.Taken[s.Member] {
			continue
		}
		b := parseBlock(s.Counts)
		b.Baking = b.Baking || baking(&w.row)
		w.evidence = w.evidence.Join(b, w.row.Plan.Analysis)
		w.evidence.Taken[s.Member] = s.Seq
		w.shares.took = true
	}
}

// inherit adds what this process counted itself to the evidence that it takes over.
func (c *Controller) inherit(w *watch, row gateway.Rollout) {
	c.collect(w)
	mine := w.shares.mine
	w.row, w.observer, w.shares = row, observer{}, shares{}
	w.evidence = ParseEvidence(row.Evidence).Join(mine, row.Plan.Analysis)
}

// baking says that the canary has all the traffic.
func baking(r *gateway.Rollout) bool {
	return r.Phase == gateway.RolloutBaking || r.Weight == gateway.FullWeight
}

// storedBlock is a Block as it is stored.
type storedBlock struct {
	Canary Totals `json:"canary"`
	Stable Totals `json:"stable"`
	Baking bool   `json:"baking,omitempty"`
}

func (b *Block) encode(analysis gateway.Analysis) string {
	stored := storedBlock{Baking: b.Baking}
	stored.Canary.take(&b.Canary, analysis)
	stored.Stable.take(&b.Stable, analysis)
	text, err := json.Marshal(stored)
	if err != nil {
		return "" // counts can be encoded
	}
	return string(text)
}

// parseBlock reads what encode wrote; what cannot be read says nothing.
func parseBlock(text string) Block {
	var stored storedBlock
	if json.Unmarshal([]byte(text), &stored) != nil {
		return Block{}
	}
	return Block{Canary: stored.Canary.sample(), Stable: stored.Stable.sample(), Baking: stored.Baking}
}

// sample is the totals as a sample.
func (t *Totals) sample() Sample {
	return Sample{
		Requests: t.Requests, Errors: min(t.Errors, t.Requests), ClientErrors: min(t.ClientErrors, t.Requests), Shed: t.Shed,
		Latency: *t.latency(), Outputs: *t.outputs(),
	}
}
