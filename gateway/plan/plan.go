// Package plan turns the desired state and the registry into the routing table and the list of versions to load.
//
// It owns Compute, which is pure, and the Syncer, the loop that reads, computes, publishes and asks for versions. It is called by cmd,
// which wires it, and read by gateway/rest (State), the readiness probe (Ready) and the registry's delete guard (RoutedVersion); it
// must not know HTTP, SQL, or how a version is loaded. A Plan never changes; a Syncer is safe for concurrent use.
//
// # Rules
//
//   - A published table never names a version that was not Ready when it was published.
//   - Make before break: the version that an arm means is loaded while the one that serves goes on; the table is swapped when it is
//     Ready; the old one is let go some time after the swap, when no request can still be on its way to it.
//   - A version that cannot be loaded changes nothing: the old one serves on, and the arm's state says why.
//   - A stage or alias that became empty leaves its arm on the last version that served, marked stale. An arm that never served gives
//     its weight to the others, in proportion to theirs.
//   - A new configuration is applied as a whole: while a version that it gives traffic to is not Ready, and everything that served
//     before still can, the arms and weights of the old configuration stay. So a canary never inherits the stable arm's traffic because
//     the new stable version takes longer to load.
//   - While a rollout is active its arm serves the version that the rollout says, whatever the arm means, and its canary stands beside it.
//     Where the endpoint has a plan for rollouts, an arm whose stage or alias moves stays on its version until one begins.
//   - With the database gone the last state read goes on: tables are still swapped when versions become Ready.
package plan

import (
	"cmp"
	"slices"

	"sluice/gateway"
	"sluice/gateway/route"
	"sluice/runtime/servable"
)

// Input is everything that Compute looks at.
type Input struct {
	// Endpoints are the effective ones (gateway.Effective), names unique.
	Endpoints  []gateway.Endpoint
	Registered *gateway.Registered
	Arms       []gateway.ArmRecord
	// Rollouts are the active ones, at most one for each endpoint, and those whose replaced version stays loaded.
	Rollouts []gateway.Rollout
	// Status answers what state a version is in now.
	Status func(servable.ID) servable.Status
	// Previous is the plan that was published last; nil at the start.
	Previous *Plan
	// DefaultEndpoint answers requests that name no endpoint; empty means the only one there is. If it does not exist yet, it is in the
	// table without arms.
	DefaultEndpoint string
	// OnlyONNX are the stages whose arms ONNX Runtime must execute.
	OnlyONNX []string
	NowMS    int64 // ms since the epoch
}

// Plan is what Compute decides.
type Plan struct {
	// Revision is 1 for the first table and rises with every table that differs from the one before.
	Revision int64
	// Table is the routing table; the previous plan's own if nothing in it changed.
	Table *route.Table
	// Aspired are the versions to have loaded, sorted by model and version: those that the table names, and those on their way into it.
	Aspired []servable.ID
	// States tells every endpoint's state, by name.
	States map[string]gateway.State
	// Records are arm records that changed and must be written.
	Records []gateway.ArmRecord
	// Obsolete are endpoints that no longer exist but have arm records to delete, sorted.
	Obsolete []string
	// Starts are the rollouts that must begin: their arms stay as they are until then.
	Starts []gateway.RolloutStart
	// Events are what happened since the previous plan.
	Events []gateway.Event
	// Degraded are the reasons why arms answer with another version than they mean, or not at all, although their endpoint answers; sorted.
	Degraded []string
	// Waiting are the reasons why some wanted version is served by nothing, sorted; empty when every routed version is ready.
	Waiting []string

	served    map[string]served
	endpoints []route.Endpoint
}

// served is what the table says about one endpoint, and the configuration that it comes from.
type served struct {
	config  gateway.Config
	version int64       // the configuration's
	arms    []route.Arm // the stable one first
}

// serves says whether the plan's table routes to the version, or the version is on its way into it.
func (p *Plan) serves(id servable.ID) bool {
	_, found := slices.BinarySearchFunc(p.Aspired, id, compareIDs)
	return found
}

func compareIDs(a, b servable.ID) int {
	return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Joining, b.Joining))
}
