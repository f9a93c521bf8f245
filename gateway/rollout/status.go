package rollout

import (
	"cmp"
	"context"
	"slices"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// Status is a rollout and what its requests say.
type Status struct {
	Rollout gateway.Rollout
	Verdict Verdict // of the last look; where another process looks, of its last beat
	Reason  string
	// Canary and Stable are all requests since the rollout began that its driver answered; of those before a restart as many as were stored.
	Canary, Stable Totals
	Findings       []Finding
}

// Status returns the endpoint's active rollout, or its last one. Returns RESOURCE_DOES_NOT_EXIST if it never had one, or does not exist.
func (c *Controller) Status(ctx context.Context, endpoint string) (Status, error) {
	r, err := c.newest(ctx, endpoint)
	if err != nil {
		return Status{}, err
	}
	return c.Describe(r), nil
}

// Describe adds what is known of a rollout's requests.
func (c *Controller) Describe(r gateway.Rollout) Status {
	s := Status{Rollout: r, Reason: r.Reason}
	if r.Phase.Undecided() { // what the driver said last
		s.Verdict, s.Reason = Verdict(r.Verdict), r.Because
	}
	evidence := ParseEvidence(r.Evidence)
	c.mu.Lock()
	if known, ok := c.reports[r.ID]; ok && r.Phase.Undecided() {
		s.Verdict, s.Reason, evidence = known.verdict, known.reason, known.evidence
	}
	c.mu.Unlock()
	switch r.Phase {
	case gateway.RolloutRollingBack, gateway.RolloutRolledBack:
		s.Verdict = Rollback
	case gateway.RolloutPromoting, gateway.RolloutPromoted:
		s.Verdict = Promote
	}
	s.Canary, s.Stable, s.Findings = evidence.Canary, evidence.Stable, evidence.Findings(r.Plan.Analysis)
	return s
}

// History returns the rollouts of the endpoint, or of all for "", newest first. limit is 1–1000; 0 means 20.
func (c *Controller) History(ctx context.Context, endpoint string, limit int) ([]gateway.Rollout, error) {
	const most = 1000
	if limit < 0 || limit > most {
		return nil, mlflow.Invalidf("max_results %d is not between 1 and %d", limit, most)
	}
	if limit == 0 {
		limit = 20
	}
	found, err := c.deps.Store.RolloutHistory(ctx, endpoint, limit)
	if err != nil || len(found) > 0 || endpoint == "" {
		return found, err
	}
	_, err = c.deps.Endpoints.Get(ctx, endpoint)
	return nil, err
}

// Running is an active rollout as the metrics show it.
type Running struct {
	Endpoint string
	Version  int
	Phase    gateway.RolloutPhase
	Step     int
	Weight   gateway.Weight
}

// Running returns the undecided rollouts as the last look saw them, sorted by endpoint.
func (c *Controller) Running() []Running {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Running, 0, len(c.reports))
	for _, known := range c.reports {
		r := known.row
		out = append(out, Running{r.Endpoint, r.Canary, r.Phase, r.Step, r.Weight})
	}
	slices.SortFunc(out, func(a, b Running) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return out
}

// VerdictCount is how often a verdict was reached at an endpoint: counted when it differs from the one before, and with every step.
type VerdictCount struct {
	Endpoint string
	Verdict  Verdict
	Count    uint64
}

// Counts returns the verdicts since the process started, sorted by endpoint and verdict.
func (c *Controller) Counts() []VerdictCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]VerdictCount, 0, len(c.counts))
	for k, n := range c.counts {
		out = append(out, VerdictCount{k.endpoint, k.verdict, n})
	}
	slices.SortFunc(out, func(a, b VerdictCount) int {
		return cmp.Or(cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Verdict, b.Verdict))
	})
	return out
}
