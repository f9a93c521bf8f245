package gateway

import (
	"context"
	"time"
)

// Bounds of rollouts.
const (
	MaxRolloutSteps    = 50 // of one plan
	MaxRolloutHistory  = 50 // ended rollouts kept for one endpoint
	MaxRolloutDuration = 30 * 24 * time.Hour
)

// RolloutPhase is where a rollout stands.
//
//	running ──► baking ──► promoting ──► promoted
//	   │           │           │
//	   └───────────┴──► rolling_back ──► rolled_back | aborted
//	   (from any of the upper row, when the arm means a third version) ──► superseded
type RolloutPhase string

// The phases. The first four are active: an endpoint has at most one active rollout.
const (
	RolloutRunning     RolloutPhase = "running"      // its steps are taken
	RolloutBaking      RolloutPhase = "baking"       // the canary has all the traffic; the stable version is loaded and waits
	RolloutPromoting   RolloutPhase = "promoting"    // decided: the arm serves the canary's version; stage, alias or configuration follow
	RolloutRollingBack RolloutPhase = "rolling_back" // decided: the arm serves the stable version; stage or alias follow
	RolloutPromoted    RolloutPhase = "promoted"
	RolloutRolledBack  RolloutPhase = "rolled_back" // by its own verdict
	RolloutAborted     RolloutPhase = "aborted"     // by somebody's order
	RolloutSuperseded  RolloutPhase = "superseded"  // somebody moved the arm to a third version, or away from the canary's
)

// Active says whether the rollout still acts on its endpoint.
func (p RolloutPhase) Active() bool {
	switch p {
	case RolloutRunning, RolloutBaking, RolloutPromoting, RolloutRollingBack:
		return true
	}
	return false
}

// Undecided says whether the rollout may still go either way.
func (p RolloutPhase) Undecided() bool { return p == RolloutRunning || p == RolloutBaking }

// RolloutOrigin says who started a rollout.
type RolloutOrigin string

// The origins.
const (
	OriginRequest    RolloutOrigin = "request"    // somebody asked for it: the arm still means the stable version
	OriginTransition RolloutOrigin = "transition" // the arm's stage or alias moved to the canary's version
)

// Rollout is one version taking over an arm from another, step by step. It is a row of the RolloutStore, and everything that the table
// says about it follows from the row.
type Rollout struct {
	ID        string
	Endpoint  string
	Arm       string // the arm that is taken over
	CanaryArm string // the name that the new version answers under meanwhile
	Model     string
	Target    Selector // what the arm follows
	Stable    int      // the version that is left, and gone back to
	Canary    int      // the version that takes over
	Origin    RolloutOrigin
	Creator   string
	Plan      RolloutPlan

	Phase  RolloutPhase
	Step   int    // index into Plan.Steps while running
	Weight Weight // the canary's share of the arm's traffic
	Shadow Weight // the share of the arm's requests that are copied to the canary, whose answers are discarded
	// Ending is the phase that rolling_back ends in.
	Ending RolloutPhase
	Reason string // why it went back, ended or was superseded; empty otherwise
	// StepRequests is how many requests the canary had answered when the step began.
	StepRequests int64
	// Evidence is gateway/rollout's own: what was counted until the row was written, in JSON.
	Evidence string
	// Writer names the controller that wrote the row last.
	Writer string

	// Driver names the controller that counts, judges and writes; empty means nobody. Beat is higher each time that the driver says that it is
	// still there: one that falls silent is replaced. Both are KeepRollout's and TakeRollout's alone.
	Driver string
	Beat   int64
	// Verdict and Because are what the driver's last look said, as of its last beat.
	Verdict, Because string

	StartedMS   int64 // ms since the epoch, as the others
	StepSinceMS int64 // when the step, or the bake, began
	UpdatedMS   int64
	EndedMS     int64 // 0 while active
	// Revision is 1 for the first row and one higher with each change: writes compare it.
	Revision int64
}

// WarmUntilMS is until when a promoted rollout keeps the version loaded that it replaced; 0 for any other.
func (r *Rollout) WarmUntilMS() int64 {
	if r.Phase != RolloutPromoted || r.Plan.KeepWarm == 0 {
		return 0
	}
	return r.EndedMS + r.Plan.KeepWarm.Milliseconds()
}

// Split returns the arm and its canary as the rollout has them; ok is false where there is no canary beside the arm (any more).
// What the canary gets is taken from the arm alone: other arms keep their weights.
func (r *Rollout) Split(e ServedEntity) (arm, canary ServedEntity, ok bool) {
	if !r.Phase.Undecided() {
		return e, ServedEntity{}, false
	}
	canary = ServedEntity{Name: r.CanaryArm, Model: e.Model, Target: Selector{Version: r.Canary}}
	if r.Weight > 0 && e.Weight > 0 {
		canary.Weight = max(e.Weight*r.Weight/FullWeight, 1)
	}
	e.Weight -= canary.Weight
	return e, canary, true
}

// Pinned is the version that the arm serves whatever it means in the registry, and false when the rollout does not say.
func (r *Rollout) Pinned() (version int, ok bool) {
	switch r.Phase {
	case RolloutRunning, RolloutBaking, RolloutRollingBack:
		return r.Stable, true
	case RolloutPromoting:
		return r.Canary, true
	}
	return 0, false
}

// RolloutStart is a rollout that a transition asks for.
type RolloutStart struct {
	Endpoint, Arm, Model string
	Target               Selector
	Stable, Canary       int
}

// RolloutStore keeps rollouts. Implementations pass storetest.RunRollouts and are safe for concurrent use. A write that returned nil
// survives kill -9. An endpoint with an active rollout can be neither configured nor deleted: EndpointStore's writes return
// RESOURCE_CONFLICT, with the detail rollout_id.
type RolloutStore interface {
	// Rollouts returns the active ones, and the promoted ones that keep a version loaded at nowMS, sorted by endpoint.
	Rollouts(ctx context.Context, nowMS int64) ([]Rollout, error)
	// RolloutHistory returns the rollouts of the endpoint (empty: of all), the active one included, newest first, at most limit (≥ 1).
	RolloutHistory(ctx context.Context, endpoint string, limit int) ([]Rollout, error)
	// CreateRollout inserts an active one at revision 1 with the endpoint's events, and drops history past its bound. Returns
	// RESOURCE_CONFLICT, with the detail rollout_id, if the endpoint has an active one.
	CreateRollout(ctx context.Context, r Rollout, events []Event) error
	// SaveRollout writes r over the row of its ID and Revision, raises the revision by one and returns it, with the endpoint's events,
	// and the configuration if there is one, in one transaction. Returns RESOURCE_CONFLICT, with the detail revision, if the row has
	// another revision, and RESOURCE_DOES_NOT_EXIST if it is gone.
	//
	// The row keeps its Driver and Beat, whatever r says.
	SaveRollout(ctx context.Context, r Rollout, events []Event, config *Config) (int64, error)
	RolloutLease
	RolloutShareStore
}

// MaxRolloutMembers is how many processes may hand over what they counted of one rollout.
const MaxRolloutMembers = 256

// RolloutShare is what one process counted of a rollout that another one drives. Each process has one at a time: it is written over once the row of the
// rollout tells that it was taken in.
type RolloutShare struct {
	Rollout string // its ID
	Member  string // the process
	Seq     int64  // one higher with each share of the member
	Counts  string // gateway/rollout's own, in JSON
}

// RolloutShareStore keeps shares as long as their rollout is active: SaveRollout removes them with its end.
type RolloutShareStore interface {
	// PutRolloutShare writes over the member's share. Returns RESOURCE_CONFLICT if the rollout is not active, or has shares of MaxRolloutMembers others,
	// and RESOURCE_DOES_NOT_EXIST if it is gone.
	PutRolloutShare(ctx context.Context, s RolloutShare) error
	// RolloutShares returns the shares of the rollout, sorted by member.
	RolloutShares(ctx context.Context, rollout string) ([]RolloutShare, error)
}

// RolloutLease says which of several controllers on one database drives a rollout. No clock of another machine counts: who waits to take over
// measures by its own how long Driver and Beat have stood still. What fences a driver that lost its rollout and does not know is the revision,
// which TakeRollout raises.
type RolloutLease interface {
	// KeepRollout stores r's Evidence, Verdict and Because and raises the Beat, which it returns; the revision stays. Returns RESOURCE_CONFLICT
	// if the row has another driver or revision than r, or is not active, and RESOURCE_DOES_NOT_EXIST if it is gone.
	KeepRollout(ctx context.Context, r Rollout) (beat int64, err error)
	// TakeRollout makes driver (empty: nobody) the row's, raises Beat and Revision, and returns the row, with the endpoint's events in one transaction.
	// Returns RESOURCE_CONFLICT if the row's Driver, Beat or revision are not r's any more or it is not active, and RESOURCE_DOES_NOT_EXIST if it is gone.
	TakeRollout(ctx context.Context, r Rollout, driver string, events []Event) (Rollout, error)
}

// The kinds of events of rollouts.
const (
	EventRolloutStarted    EventKind = "rollout_started"
	EventRolloutStep       EventKind = "rollout_step"
	EventRolloutTaken      EventKind = "rollout_taken_over" // another process drives it: the one before fell silent
	EventRolloutDecided    EventKind = "rollout_decided"    // promoting or rolling back
	EventRolloutPromoted   EventKind = "rollout_promoted"
	EventRolloutRolledBack EventKind = "rollout_rolled_back"
	EventRolloutAborted    EventKind = "rollout_aborted"
	EventRolloutSuperseded EventKind = "rollout_superseded"
)
