package rollout

import (
	"fmt"
	"time"

	"sluice/gateway"
)

// Facts are what Next must know beside the evidence.
type Facts struct {
	// Known says that the table's state was seen with this rollout in it; nothing moves forward before.
	Known bool
	// Loaded says that the canary answers, or could.
	Loaded bool
	// Failed says why the canary could not be loaded; empty if it could.
	Failed string
	// Means is the version that the arm means now in the registry; 0 if none.
	Means int
	// Gone says that the arm is no longer what the rollout began with; empty if it is.
	Gone string
}

// Decision is what Next answers.
type Decision struct {
	// Rollout is the row to write if Changed, else the one that came in.
	Rollout gateway.Rollout
	Changed bool
	Verdict Verdict
	Reason  string // why, in sentences
}

// Next decides what becomes of a rollout that is running or baking: it stays, takes a step, or is decided. It is pure.
func Next(r gateway.Rollout, e Evidence, f Facts, now time.Time) Decision {
	if !r.Phase.Undecided() {
		return Decision{Rollout: r, Verdict: Hold, Reason: "it is decided"}
	}
	if why := overtaken(r, f); why != "" {
		return end(r, gateway.RolloutSuperseded, Hold, why, now)
	}
	if f.Failed != "" {
		return back(r, gateway.RolloutRolledBack, Rollback, fmt.Sprintf("version %d could not be loaded: %s", r.Canary, f.Failed), now)
	}
	findings := e.Findings(r.Plan.Analysis)
	if why := reasons(findings, Rollback); why != "" {
		return back(r, gateway.RolloutRolledBack, Rollback, why, now)
	}
	if !f.Known || !f.Loaded {
		return hold(r, fmt.Sprintf("version %d is being loaded", r.Canary))
	}
	if r.Phase == gateway.RolloutBaking {
		return bake(r, findings, now)
	}
	return step(r, e, findings, now)
}

// overtaken says why the rollout has no object any more; empty if it has.
func overtaken(r gateway.Rollout, f Facts) string {
	switch {
	case f.Gone != "":
		return f.Gone
	case !f.Known || f.Means == r.Canary:
		return ""
	case r.Origin == gateway.OriginTransition && (f.Means == r.Stable || f.Means == 0):
		return fmt.Sprintf("%s no longer means version %d", r.Target.Words(), r.Canary)
	case f.Means != r.Stable && f.Means != 0:
		return fmt.Sprintf("%s means version %d now", r.Target.Words(), f.Means)
	}
	return ""
}

// step carries out the present step and those behind it that take no time.
func step(r gateway.Rollout, e Evidence, findings []Finding, now time.Time) Decision {
	began := r
	verdict, why := Hold, ""
	for r.Phase == gateway.RolloutRunning {
		s := r.Plan.Steps[r.Step]
		begun := began.Step == r.Step && (s.Kind != gateway.StepShadow || began.Shadow > 0) // else it begins now
		switch s.Kind {
		case gateway.StepSetWeight:
			r.Weight, r.Shadow = s.Weight, 0
		case gateway.StepShadow:
			r.Shadow = s.Weight
		}
		if !begun {
			r.StepSinceMS = now.UnixMilli()
		}
		done := s.Kind == gateway.StepSetWeight
		if !done && begun {
			done, verdict, why = over(r, s, e, findings, now)
		} else if !done {
			why = s.Words()
		}
		if !done {
			break
		}
		r = advance(r, e, now)
		verdict = Promote
	}
	changed := r.Step != began.Step || r.Phase != began.Phase || r.Shadow != began.Shadow
	if changed {
		r.UpdatedMS = now.UnixMilli()
	}
	return Decision{Rollout: r, Changed: changed, Verdict: verdict, Reason: why}
}

// over says whether a step that takes time is done, and the verdict if it is not.
func over(r gateway.Rollout, s gateway.RolloutStep, e Evidence, findings []Finding, now time.Time) (bool, Verdict, string) {
	left := s.Duration - now.Sub(time.UnixMilli(r.StepSinceMS))
	switch {
	case s.Kind == gateway.StepApproval:
		return false, Hold, "somebody must approve: promote, or abort"
	case s.Kind != gateway.StepAnalyse:
		return left <= 0, Hold, s.Words()
	}
	seen := int64(e.Canary.Requests) - r.StepRequests
	switch {
	case seen < s.MinRequests:
		return false, InsufficientTraffic, fmt.Sprintf("the canary answered %d of %d requests", max(seen, 0), s.MinRequests)
	case r.Weight < gateway.FullWeight && int64(e.Stable.Requests) < s.MinRequests:
		return false, InsufficientTraffic, fmt.Sprintf("stable answered %d of %d requests to compare with", e.Stable.Requests, s.MinRequests)
	case left > 0:
		return false, Hold, fmt.Sprintf("enough requests; the step lasts %s longer", left.Round(time.Second))
	}
	if why := reasons(findings, InsufficientTraffic); why != "" {
		return false, InsufficientTraffic, why
	}
	if why := reasons(findings, Hold); why != "" {
		return false, Hold, why
	}
	return true, Promote, reasons(findings, Promote)
}

// advance goes to the next step, or past the last one.
func advance(r gateway.Rollout, e Evidence, now time.Time) gateway.Rollout {
	r.StepSinceMS, r.StepRequests = now.UnixMilli(), int64(e.Canary.Requests)
	if r.Step+1 < len(r.Plan.Steps) {
		r.Step++
		return r
	}
	return full(r, now)
}

// full gives the canary everything.
func full(r gateway.Rollout, now time.Time) gateway.Rollout {
	r.Step, r.Weight, r.Shadow = len(r.Plan.Steps), gateway.FullWeight, 0
	r.StepSinceMS, r.UpdatedMS = now.UnixMilli(), now.UnixMilli()
	r.Phase = gateway.RolloutBaking
	if r.Plan.BakeTime == 0 {
		r.Phase = gateway.RolloutPromoting
	}
	return r
}

func bake(r gateway.Rollout, findings []Finding, now time.Time) Decision {
	left := r.Plan.BakeTime - now.Sub(time.UnixMilli(r.StepSinceMS))
	if left > 0 {
		return hold(r, fmt.Sprintf("version %d answers everything; the bake lasts %s longer", r.Canary, left.Round(time.Second)))
	}
	if why := reasons(findings, InsufficientTraffic); why != "" {
		return Decision{Rollout: r, Verdict: InsufficientTraffic, Reason: why}
	}
	if why := reasons(findings, Hold); why != "" {
		return hold(r, why)
	}
	r.Phase, r.UpdatedMS = gateway.RolloutPromoting, now.UnixMilli()
	return Decision{Rollout: r, Changed: true, Verdict: Promote, Reason: reasons(findings, Promote)}
}

func hold(r gateway.Rollout, why string) Decision {
	return Decision{Rollout: r, Verdict: Hold, Reason: why}
}

// back takes the canary out of the traffic; ending is what the rollout ends as once the registry agrees.
func back(r gateway.Rollout, ending gateway.RolloutPhase, v Verdict, why string, now time.Time) Decision {
	r.Phase, r.Ending, r.Reason = gateway.RolloutRollingBack, ending, why
	r.Weight, r.Shadow, r.UpdatedMS = 0, 0, now.UnixMilli()
	return Decision{Rollout: r, Changed: true, Verdict: v, Reason: why}
}

// end ends the rollout where it stands.
func end(r gateway.Rollout, phase gateway.RolloutPhase, v Verdict, why string, now time.Time) Decision {
	r.Phase, r.Weight, r.Shadow = phase, 0, 0
	if why != "" {
		r.Reason = why
	}
	r.UpdatedMS, r.EndedMS = now.UnixMilli(), now.UnixMilli()
	return Decision{Rollout: r, Changed: true, Verdict: v, Reason: why}
}
