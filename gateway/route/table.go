// Package route owns the immutable routing table: which endpoint a name means, and which arm of it answers one request.
//
// It is called by plan, which builds a Table from the desired state, and by invoke, which picks from it for every request; it must not
// know HTTP, the registry, how a servable is loaded, or what happened to earlier requests. A Table never changes after NewTable and is
// safe for concurrent use; Pick and Resolve are pure and allocate nothing when they succeed.
//
// # How a split is made
//
// Every request falls into one of 10,000 buckets: hash(salt, endpoint, sticky key) mod 10,000, or a random bucket where it brings no key.
// The arms of an endpoint share the buckets in a fixed layout, so that changing a split moves as few keys as possible:
//
//	bucket 0                                                                  9999
//	| second canary → | fourth → |        stable        | ← third | ← first canary |
//
// The first arm given to NewTable is the stable one and takes what the others leave; the others are laid out from the two ends, in the order
// of their names. With one or two canaries, raising the weight of one at the expense of the stable arm moves keys only from stable into it: nobody
// leaves a canary whose weight rises, and the other canary is not touched. Past two, an arm's own rise still expels nobody from it.
// A weight of 0 is exactly zero requests. A new salt reshuffles everybody.
package route

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"sluice/runtime/servable"
)

// FullWeight is the sum of the weights of an endpoint's arms, in basis points: 100 %.
const FullWeight = 10_000

// Bounds on a table. NewTable refuses what is past them.
const (
	MaxEndpoints  = 10_000
	MaxArms       = 256
	MaxNameLength = 256 // bytes, of endpoint, arm, stage and alias names
)

// The errors of Pick and Resolve; errors.Is finds them, the wrapping text names what was asked for and what there is.
var (
	// ErrUnknownEndpoint: no endpoint has the name.
	ErrUnknownEndpoint = errors.New("no such endpoint")
	// ErrNoEndpointNamed: the request names none, no default is set, and there is not exactly one.
	ErrNoEndpointNamed = errors.New("no endpoint named")
	// ErrNoArms: the endpoint exists but has nothing ready to answer with.
	ErrNoArms = errors.New("nothing ready to serve")
	// ErrUnknownModel: no endpoint routes any version of the registered model.
	ErrUnknownModel = errors.New("registered model is not served")
	// ErrNotRouted: the registered model is served, but not by the version, stage or alias asked for.
	ErrNotRouted = errors.New("model version is not served")
	// ErrComing: what is asked for is on its way into the table.
	ErrComing = errors.New("model version is not ready")
)

// Arm is one target of an endpoint: a model version that was loaded and warmed when the table was published.
type Arm struct {
	Name     string      // unique in its endpoint; the client reads it in X-Sluice-Arm
	Servable servable.ID // the version that answers
	Stage    string      // the version's stage when the table was made; may be empty
	Aliases  []string    // the version's aliases when the table was made; may be nil
	Weight   int         // basis points, 0–10000; 0 means that only Resolve reaches the arm
	Stale    bool        // the arm keeps an earlier version because what it points at has none
	Reason   string      // why it is stale; empty otherwise

	ordinal int
	next    *Next // when it does not answer
}

// Ordinal is the arm's place among all arms of its Table: 0 ≤ ordinal < Table.Arms(). It lets a caller keep its own data beside the
// table in a slice.
func (a *Arm) Ordinal() int { return a.ordinal }

// Endpoint is one name that clients call.
type Endpoint struct {
	Name string
	// Salt goes into the bucket of a sticky key; a new salt reshuffles who is in the canary. May be empty.
	Salt string
	// Sticky is where the sticky key of a request stands; the zero value means nowhere.
	Sticky Part
	// Rules are looked at before the weights, in this order.
	Rules []Rule
	// Fallbacks say who answers when an arm does not; at most one from each arm.
	Fallbacks []Fallback
	// Shadows get copies of what the arms are asked.
	Shadows []Shadow
	// Limits bound how often the endpoint is asked.
	Limits []Limit
	// Redaction is what the prediction log keeps of columns; whoever publishes the table hands it to gateway/redact.
	Redaction []Redaction
	// SamplingFraction is the share of requests that the prediction log keeps, 0 < f ≤ 1; 0 means 1 (all).
	SamplingFraction float64
	// Cache says how long answers may be given again; nil: never. It is never changed.
	Cache *Cache
	// Arms holds the stable arm first. The weights sum to FullWeight, or all are 0 when nothing is ready.
	Arms []Arm
	// Coming are versions on their way: not loaded yet, or failing to. Their weights and staleness mean nothing; Reason says what keeps them.
	Coming []Arm
	// ConfigVersion is that of the configuration that the arms and settings come from; 0 where there is none.
	ConfigVersion int64
	// Timeout is the deadline of a request that names none; 0 means the gateway's default.
	Timeout time.Duration
	// Reason says why no arm is ready, where none is; the client reads it in the 503.
	Reason string

	seed        uint64
	sampleBelow uint64 // see Decision.Sampled; 0 means all
	next        *Next  // when no arm is there
	spans       []span
}

// Limit allows so many requests a minute, saved up for a minute at most: to each user, or to all together.
type Limit struct {
	PerMinute int64 // ≥ 1
	ByUser    bool
}

// Cache is how an endpoint's answers are kept.
type Cache struct {
	Store         string // the name of a store of answers
	TTL           time.Duration
	MaxEntryBytes int // larger answers are not kept
}

// Redaction says what is kept of a column: see redact.Column.
type Redaction struct {
	Column, Action string
	Length         int
}

// span gives an arm the buckets from the end of the previous span (or 0) up to, but without, end.
type span struct {
	end uint32
	arm int // index into Endpoint.Arms
}

// Decision is what Pick and Resolve answer. It points into the table: read it, do not change it.
type Decision struct {
	Endpoint *Endpoint
	Arm      *Arm
	Revision int64
	// Bucket is the bucket that chose the arm, 0–9999; −1 where the arm was named (Resolve).
	Bucket int
	// Rule is the name of the rule that chose the arm; "" where none did.
	Rule string
	// Draw are the bits, of the sticky key or else random, that the bucket was made of; they decide on copies for shadows.
	Draw uint64
	// Keyed says that Draw comes from the request's sticky key.
	Keyed bool
}

// Table is one published revision of all routes.
type Table struct {
	revision    int64
	endpoints   []Endpoint // sorted by name
	byName      map[string]int
	defaultName string // "" when there is none and not exactly one endpoint
	arms        []*Arm // by ordinal
	models      map[string]*model
	coming      map[string][]target // by registered model; the arm of a target is an index into Endpoint.Coming
}

// NewTable validates the endpoints and compiles them. It copies what it keeps. defaultName is the endpoint of requests that name none; empty
// means the only endpoint, if there is exactly one. A default that is not among the endpoints is an error, as is a doubled or empty name, a
// weight out of range, or weights that do not sum to FullWeight.
func NewTable(revision int64, endpoints []Endpoint, defaultName string) (*Table, error) {
	if len(endpoints) > MaxEndpoints {
		return nil, fmt.Errorf("%d endpoints are more than %d", len(endpoints), MaxEndpoints)
	}
	t := &Table{revision: revision, byName: make(map[string]int, len(endpoints)), defaultName: defaultName}
	t.endpoints = slices.Clone(endpoints)
	sort.Slice(t.endpoints, func(i, j int) bool { return t.endpoints[i].Name < t.endpoints[j].Name })
	for i := range t.endpoints {
		e := &t.endpoints[i]
		if _, twice := t.byName[e.Name]; twice {
			return nil, fmt.Errorf("endpoint %q appears twice", e.Name)
		}
		if err := t.compile(e); err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", e.Name, err)
		}
		t.byName[e.Name] = i
	}
	if err := t.setDefault(defaultName); err != nil {
		return nil, err
	}
	t.indexModels()
	return t, nil
}

// compile validates one endpoint, copies its arms, numbers them and lays them out over the buckets.
func (t *Table) compile(e *Endpoint) error {
	if err := e.validate(); err != nil {
		return err
	}
	e.Arms, e.Coming = slices.Clone(e.Arms), slices.Clone(e.Coming)
	e.Sticky.Tokens = slices.Clone(e.Sticky.Tokens)
	for i := range e.Arms {
		a := &e.Arms[i]
		a.Aliases = slices.Clone(a.Aliases)
		a.ordinal = len(t.arms)
		t.arms = append(t.arms, a)
	}
	e.compileRules()
	e.compileFallbacks()
	if err := e.compileShadows(); err != nil {
		return err
	}
	if err := e.compileSampling(); err != nil {
		return err
	}
	e.seed = seed(e.Salt, e.Name)
	e.spans = layout(e.Arms)
	return nil
}

func (e *Endpoint) validate() error {
	if err := checkName("name", e.Name); err != nil {
		return err
	}
	if e.Timeout < 0 {
		return fmt.Errorf("timeout %v is negative", e.Timeout)
	}
	if len(e.Arms) > MaxArms || len(e.Coming) > MaxArms {
		return fmt.Errorf("%d arms are more than %d", max(len(e.Arms), len(e.Coming)), MaxArms)
	}
	sum := 0
	seen := make(map[string]bool, len(e.Arms))
	for i := range e.Arms {
		a := &e.Arms[i]
		if err := a.validate(); err != nil {
			return err
		}
		if seen[a.Name] {
			return fmt.Errorf("arm %q appears twice", a.Name)
		}
		seen[a.Name] = true
		sum += a.Weight
	}
	if sum != 0 && sum != FullWeight {
		return fmt.Errorf("weights sum to %d basis points, not %d", sum, FullWeight)
	}
	return nil
}

func (a *Arm) validate() error {
	if err := checkName("arm name", a.Name); err != nil {
		return err
	}
	switch {
	case a.Weight < 0 || a.Weight > FullWeight:
		return fmt.Errorf("arm %q: weight %d is not between 0 and %d basis points", a.Name, a.Weight, FullWeight)
	case a.Servable.Model == "":
		return fmt.Errorf("arm %q names no registered model", a.Name)
	case a.Servable.Version < 1:
		return fmt.Errorf("arm %q: version %d is not positive", a.Name, a.Servable.Version)
	case len(a.Stage) > MaxNameLength:
		return fmt.Errorf("arm %q: stage is longer than %d bytes", a.Name, MaxNameLength)
	}
	return nil
}

func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%s is empty", what)
	}
	if len(name) > MaxNameLength {
		return fmt.Errorf("%s is longer than %d bytes", what, MaxNameLength)
	}
	return nil
}

func (t *Table) setDefault(name string) error {
	if name == "" {
		if len(t.endpoints) == 1 {
			t.defaultName = t.endpoints[0].Name
		}
		return nil
	}
	if _, ok := t.byName[name]; !ok {
		return fmt.Errorf("default endpoint %q: %w", name, ErrUnknownEndpoint)
	}
	return nil
}

// Revision is the number that the table was made with.
func (t *Table) Revision() int64 { return t.revision }

// Default is the name of the endpoint of requests that name none; empty when there is none.
func (t *Table) Default() string { return t.defaultName }

// Endpoints returns the endpoints, sorted by name. The slice and what it holds belong to the table: read only.
func (t *Table) Endpoints() []Endpoint { return t.endpoints }

// Endpoint returns the endpoint of the name, or nil.
func (t *Table) Endpoint(name string) *Endpoint {
	if i, ok := t.byName[name]; ok {
		return &t.endpoints[i]
	}
	return nil
}

// Arms returns every arm of every endpoint, by ordinal. The slice and what it holds belong to the table: read only.
func (t *Table) Arms() []*Arm { return t.arms }

// Servables returns the distinct versions that the table routes to, sorted by model and version.
func (t *Table) Servables() []servable.ID {
	ids := make([]servable.ID, 0, len(t.arms))
	for _, a := range t.arms {
		ids = append(ids, a.Servable)
	}
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids)
}

func compareIDs(a, b servable.ID) int {
	return cmp.Or(strings.Compare(a.Model, b.Model), cmp.Compare(a.Version, b.Version), strings.Compare(a.Backend, b.Backend), cmp.Compare(a.Joining, b.Joining))
}

// names lists the endpoints for an error message: at most ten, then how many more.
func (t *Table) names() string {
	const most = 10
	if len(t.endpoints) == 0 {
		return "there is none"
	}
	var b strings.Builder
	b.WriteString("there are ")
	for i := range t.endpoints {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(t.endpoints)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", t.endpoints[i].Name)
	}
	return b.String()
}
