package plan

import (
	"context"
	"log/slog"

	"sluice/gateway"
)

// read refreshes the input and says whether it could; else the old one stays and another read is owed.
func (s *Syncer) read(ctx context.Context) bool {
	before := s.applications()
	in, err := s.desired(ctx)
	if err == nil {
		if s.backoff > 0 {
			s.opts.Log.Info("desired state can be read again")
		}
		s.backoff = 0
		return s.replaceInput(in, before)
	}
	if ctx.Err() != nil {
		return false
	}
	if s.backoff == 0 {
		s.opts.Log.Error("desired state cannot be read; the last table keeps serving", slog.Any("error", err))
	}
	s.backoff = min(max(2*s.backoff, minBackoff), maxBackoff)
	return false
}

func (s *Syncer) applications() int {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	return s.applied
}

// replaceInput takes over what was read, unless Override made a plan real since then, whose records it may lack: then it is read again.
func (s *Syncer) replaceInput(in *Input, applied int) bool {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if s.input != nil && s.applied != applied {
		s.stale.Store(true)
		s.PokeStatus()
		return false
	}
	s.input = in
	return true
}

func (s *Syncer) desired(ctx context.Context) (*Input, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	// Rollouts before arms and registry: the end of one writes the arm's record and moves its stage, which must not be seen without it.
	var rollouts []gateway.Rollout
	if s.deps.Rollouts != nil {
		var err error
		if rollouts, err = s.deps.Rollouts(ctx); err != nil {
			return nil, err
		}
	}
	explicit, err := s.deps.Store.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	unsaved := s.ledger.unsaved() // before the read: what is saved meanwhile is in both
	arms, err := s.deps.Store.Arms(ctx)
	if err != nil {
		return nil, err
	}
	reg, err := s.deps.Registry(ctx)
	if err != nil {
		return nil, err
	}
	arms = overlay(arms, unsaved)
	return &Input{Endpoints: gateway.Effective(explicit, reg, arms), Registered: reg, Arms: arms, Rollouts: rollouts}, nil
}

// overlay replaces and adds records.
func overlay(arms, newer []gateway.ArmRecord) []gateway.ArmRecord {
	if len(newer) == 0 {
		return arms
	}
	at := make(map[armKey]int, len(arms))
	for i, r := range arms {
		at[armKey{r.Endpoint, r.Arm}] = i
	}
	for _, r := range newer {
		if i, known := at[armKey{r.Endpoint, r.Arm}]; known {
			arms[i] = r
		} else {
			arms = append(arms, r)
		}
	}
	return arms
}
