// Package gateway holds the nouns, rules and contracts of endpoints, routes and rollouts.
//
// It owns Endpoint (the desired state of one name that clients call), the rules on its configuration (Service), what a served entity
// means against the registry (Resolve, Effective), the live State that plan reports, and the contract of its Store. It is called by
// gateway/rest, plan and cmd; it must not know HTTP, SQL, or how a prediction is made. The Service is safe for concurrent use; the
// functions are pure.
//
// # Explicit and implicit endpoints
//
// An endpoint that somebody configured is explicit: it is a row of the Store. A registered model with a version in Production is an
// endpoint of its own name without any row: implicit, one arm, 100 % Production. Writing a configuration for it makes it explicit;
// deleting the explicit one returns it to implicit, or removes it when nothing is in Production. An implicit endpoint whose Production
// stage became empty keeps its last version, marked stale, until its arm record is deleted.
package gateway

// Bounds on what one endpoint may hold; the Service refuses more.
const (
	MaxServedEntities    = 32   // arms of one endpoint
	MaxTags              = 100  // tags of one endpoint
	MaxNameLength        = 128  // characters of an endpoint's or arm's name
	MaxTagKeyLength      = 250  // characters
	MaxTagValueLength    = 5000 // characters
	MaxEvents            = 1000 // newest events kept for one endpoint
	MaxEventReasonLength = 2000 // bytes; longer reasons are cut
	MaxEndpoints         = 5000 // explicit endpoints
)

// Endpoint is the desired state of one name that clients call.
type Endpoint struct {
	Name        string
	Description string
	Tags        []Tag // sorted by key
	Config      Config
	// ConfigVersion is 1 for the first configuration and one higher with each; 0 for an implicit endpoint.
	ConfigVersion int64
	CreatedMS     int64 // ms since the epoch; 0 for an implicit endpoint
	UpdatedMS     int64 // ms since the epoch; 0 for an implicit endpoint
	Creator       string
	// Implicit says that nobody configured the endpoint: it follows from a version in Production.
	Implicit bool
}

// Tag is a key and its value on an endpoint.
type Tag struct{ Key, Value string }

// Config says what an endpoint serves. The weights of its entities sum to FullWeight.
type Config struct {
	ServedEntities []ServedEntity
	Sticky         Sticky
	Rules          []Rule // in the order in which they are looked at
	Fallbacks      []Fallback
	Shadows        []Shadow
	// Rollout says how a version that an arm's stage or alias moves to takes over; nil means at once.
	Rollout    *RolloutPlan
	RateLimits []RateLimit // at most one of the endpoint and one by user
	// GroundTruth says how the endpoint's predictions are compared with what they should have been.
	GroundTruth GroundTruth
	Cache       Cache // the zero value: every request is executed
	// Drift says how they are compared with what they were.
	Drift Drift
	// Redaction says what the prediction log keeps of columns that hold secrets.
	Redaction []RedactedColumn
	// SamplingFraction is the share of requests that the prediction log keeps, 0 < f ≤ 1; 0 means 1 (all).
	SamplingFraction float64
}

// ServedEntity is one arm: a name, the version that it means, and its share of the traffic.
type ServedEntity struct {
	Name   string // the arm's name, unique in the endpoint
	Model  string // a registered model
	Target Selector
	Weight Weight
	// WorkloadSize is "", "Small", "Medium" or "Large". It is kept and answered, and reserves nothing: every arm may use the
	// whole machine, which is at least what any size asks for.
	WorkloadSize string
	// ScaleToZero permits to unload the version while it is idle. It is a permission, not an order: versions leave memory when
	// the memory budget needs room, and come back with the next request.
	ScaleToZero bool
	// Backend is what must execute the version: "onnx", "python", or empty for what is best.
	Backend string
	// Batching says when concurrent predictions are joined: "always", "never", or empty for where a measurement shows that it is safe and pays.
	Batching string
}

// Entity returns the served entity of the name.
func (c Config) Entity(name string) (ServedEntity, bool) {
	for _, e := range c.ServedEntities {
		if e.Name == name {
			return e, true
		}
	}
	return ServedEntity{}, false
}

// Kept are the arms that the configuration needs beside its served entities: they get no traffic by weight. Their names hold "~", which no
// served entity's does.
func (c Config) Kept() []ServedEntity { return c.pinned() }

// ArmRecord remembers what an arm served last, so that it can go on when its stage becomes empty, also after a restart.
type ArmRecord struct {
	Endpoint, Arm string
	Model         string
	Target        Selector // what the arm followed then; a record of another target says nothing about today's
	Version       int      // ≥ 1
	UpdatedMS     int64
}

// EventKind names what happened to an endpoint.
type EventKind string

// The kinds of events.
const (
	EventCreated       EventKind = "created"
	EventConfigUpdated EventKind = "config_updated"
	EventDeleted       EventKind = "deleted"
	EventServing       EventKind = "serving"        // an arm took up a version
	EventStale         EventKind = "stale"          // an arm keeps its last version because its target is empty
	EventEmpty         EventKind = "empty"          // an arm has nothing to serve; its weight goes to the others
	EventLoadFailed    EventKind = "load_failed"    // a version could not be loaded
	EventNotReady      EventKind = "not_ready"      // no arm serves
	EventReady         EventKind = "ready"          // the endpoint serves again, or for the first time
	EventPredictionGap EventKind = "prediction_gap" // records of the prediction log may be missing: a server was cut off
	EventUpdateApplied EventKind = "update_applied" // a new configuration serves completely
)

// Event is something that happened to an endpoint.
type Event struct {
	Endpoint string
	Kind     EventKind
	Arm      string // empty when it concerns the whole endpoint
	Version  int    // 0 when it concerns no version
	Reason   string // a sentence
	TimeMS   int64  // ms since the epoch
}
