package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// Options of NewService; nil and the zero value work.
type Options struct {
	// Changed is called after every accepted change, without arguments and without waiting for its effect; nil means nobody listens.
	// cmd hands in the plan syncer's Poke.
	Changed func()
	// Feeds says whether something counts what a metric of rollouts compares; nil means everything is counted.
	Feeds func(MetricName) bool
	// Caches are where answers can be kept; nil means everywhere.
	Caches CacheStores
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log hears about events that could not be written; nil means silence.
	Log *slog.Logger
}

// Service applies the rules on endpoints in front of a Store. It is safe for concurrent use.
type Service struct {
	store    Store
	registry Registry
	opts     Options
}

// NewService returns a service over the store; registry answers what is registered now.
func NewService(store Store, registry Registry, opts *Options) *Service {
	s := &Service{store: store, registry: registry}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.Changed == nil {
		s.opts.Changed = func() {}
	}
	if s.opts.Now == nil {
		s.opts.Now = time.Now
	}
	if s.opts.Log == nil {
		s.opts.Log = slog.New(slog.DiscardHandler)
	}
	return s
}

// List returns all endpoints, implicit ones included, sorted by name.
func (s *Service) List(ctx context.Context) ([]Endpoint, error) {
	explicit, err := s.store.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	arms, err := s.store.Arms(ctx)
	if err != nil {
		return nil, err
	}
	reg, err := s.registry(ctx)
	if err != nil {
		return nil, err
	}
	return Effective(explicit, reg, arms), nil
}

// Get returns one endpoint, explicit or implicit. Returns RESOURCE_DOES_NOT_EXIST if neither exists.
func (s *Service) Get(ctx context.Context, name string) (Endpoint, error) {
	e, err := s.store.Endpoint(ctx, name)
	if mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		return e, err
	}
	return s.implicit(ctx, name, err)
}

// implicit returns the implicit endpoint of the name, or missing if there is none.
func (s *Service) implicit(ctx context.Context, name string, missing error) (Endpoint, error) {
	reg, err := s.registry(ctx)
	if err != nil {
		return Endpoint{}, err
	}
	records, err := s.records(ctx, name)
	if err != nil {
		return Endpoint{}, err
	}
	for _, e := range Effective(nil, &Registered{Models: pick(reg, name)}, records) {
		if e.Name == name {
			return e, nil
		}
	}
	return Endpoint{}, missing
}

func pick(reg *Registered, name string) map[string]Model {
	if m, ok := reg.Models[name]; ok {
		return map[string]Model{name: m}
	}
	return nil
}

func (s *Service) records(ctx context.Context, endpoint string) ([]ArmRecord, error) {
	all, err := s.store.Arms(ctx)
	return slices.DeleteFunc(all, func(r ArmRecord) bool { return r.Endpoint != endpoint }), err
}

// Resolve says what each served entity of the endpoints means now, by endpoint name and in the order of the configuration.
func (s *Service) Resolve(ctx context.Context, endpoints ...Endpoint) (map[string][]Resolution, error) {
	reg, err := s.registry(ctx)
	if err != nil {
		return nil, err
	}
	arms, err := s.store.Arms(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]Resolution, len(endpoints))
	for _, e := range endpoints {
		var own []ArmRecord
		for _, r := range arms {
			if r.Endpoint == e.Name {
				own = append(own, r)
			}
		}
		for _, entity := range e.Config.ServedEntities {
			out[e.Name] = append(out[e.Name], Resolve(entity, reg, findRecord(own, entity.Name)))
		}
	}
	return out, nil
}

// Create makes an explicit endpoint from e's Name, Description, Tags, Config and Creator. A name that is an implicit endpoint may be
// taken: it becomes explicit. Returns INVALID_PARAMETER_VALUE for a broken rule, RESOURCE_DOES_NOT_EXIST for an unknown registered
// model, version or alias, and RESOURCE_ALREADY_EXISTS for an explicit endpoint's name.
func (s *Service) Create(ctx context.Context, e Endpoint) (Endpoint, error) {
	reg, err := s.registry(ctx)
	if err != nil {
		return Endpoint{}, err
	}
	if err := s.checkNew(ctx, e, reg); err != nil {
		return Endpoint{}, err
	}
	e.Implicit, e.ConfigVersion = false, 1
	e.CreatedMS = s.nowMS()
	e.UpdatedMS = e.CreatedMS
	e.Tags = slices.Clone(e.Tags)
	slices.SortFunc(e.Tags, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
	if err := s.store.CreateEndpoint(ctx, e); err != nil {
		return Endpoint{}, err
	}
	s.changed(ctx, e.Name, EventCreated, "configuration 1 was written")
	return e, nil
}

func (s *Service) checkNew(ctx context.Context, e Endpoint, reg *Registered) error {
	if _, registered := reg.Models[e.Name]; !registered {
		if err := CheckName("name", e.Name); err != nil {
			return err
		}
	}
	if utf8.RuneCountInString(e.Description) > mlflow.MaxDescriptionLength {
		return mlflow.Invalidf("description is longer than %d characters", mlflow.MaxDescriptionLength)
	}
	if err := checkTags(e.Tags); err != nil {
		return err
	}
	return s.checkConfig(ctx, e.Name, e.Config, reg)
}

func (s *Service) checkConfig(ctx context.Context, endpoint string, c Config, reg *Registered) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := c.checkRollout(s.opts.Feeds); err != nil {
		return err
	}
	if err := s.checkCache(c); err != nil {
		return err
	}
	records, err := s.records(ctx, endpoint)
	if err != nil {
		return err
	}
	return c.checkAgainst(reg, records)
}

// UpdateConfig replaces the configuration of an endpoint; an implicit one becomes explicit. ifVersion, unless 0, must be the current
// ConfigVersion. Returns RESOURCE_CONFLICT with the detail config_version if it is not, RESOURCE_DOES_NOT_EXIST for an unknown
// endpoint, registered model, version or alias, and INVALID_PARAMETER_VALUE for a broken rule.
func (s *Service) UpdateConfig(ctx context.Context, name string, c Config, ifVersion int64, creator string) (Endpoint, error) {
	current, err := s.Get(ctx, name)
	if err != nil {
		return Endpoint{}, err
	}
	if current.Implicit {
		if ifVersion != 0 {
			return Endpoint{}, Conflict(name, 0)
		}
		current.Config, current.Creator = c, creator
		made, err := s.Create(ctx, current)
		if mlflow.CodeOf(err) != mlflow.ResourceAlreadyExists {
			return made, err
		} // somebody made it explicit meanwhile: the last writer wins, as always without a config_version
	}
	reg, err := s.registry(ctx)
	if err != nil {
		return Endpoint{}, err
	}
	if err := s.checkConfig(ctx, name, c, reg); err != nil {
		return Endpoint{}, err
	}
	e, err := s.store.UpdateConfig(ctx, name, c, ifVersion, s.nowMS())
	if err != nil {
		return Endpoint{}, err
	}
	s.changed(ctx, name, EventConfigUpdated, "configuration "+itoa(e.ConfigVersion)+" was written")
	return e, nil
}

// Conflict is the error of a compare-and-set against a configuration version that is not current.
func Conflict(endpoint string, current int64) error {
	return &mlflow.Error{
		Code:    mlflow.ResourceConflict,
		Message: "the configuration of endpoint " + quote(endpoint) + " changed meanwhile: its config_version is " + itoa(current),
		Details: map[string]any{"config_version": current},
	}
}

// RolloutConflict is the error of a change that an active rollout stands in the way of.
func RolloutConflict(active Rollout) error {
	return &mlflow.Error{
		Code: mlflow.ResourceConflict,
		Message: "a rollout of version " + itoa(int64(active.Canary)) + " is active at endpoint " + quote(active.Endpoint) +
			": promote or abort it first",
		Details: map[string]any{"rollout_id": active.ID},
	}
}

// UpdateTags sets and removes tags and returns all that are left, sorted by key. Returns INVALID_PARAMETER_VALUE for an implicit
// endpoint, which has no row to keep them in, and RESOURCE_DOES_NOT_EXIST for an unknown one.
func (s *Service) UpdateTags(ctx context.Context, name string, set []Tag, remove []string) ([]Tag, error) {
	if err := checkTags(set); err != nil {
		return nil, err
	}
	e, err := s.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if e.Implicit {
		return nil, mlflow.Invalidf("endpoint %q is implicit and keeps no tags: write a configuration for it first", name)
	}
	return s.store.UpdateTags(ctx, name, set, remove, s.nowMS())
}

// Delete removes an explicit endpoint; the name goes on as an implicit one while its registered model has a version in Production.
// An implicit endpoint that only keeps a stale version is removed. Returns INVALID_PARAMETER_VALUE for any other implicit endpoint and
// RESOURCE_DOES_NOT_EXIST for an unknown one.
func (s *Service) Delete(ctx context.Context, name string) error {
	e, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	if !e.Implicit {
		if err := s.store.DeleteEndpoint(ctx, name); err != nil {
			return err
		}
		s.changed(ctx, name, EventDeleted, "the configuration was deleted")
		return nil
	}
	reg, err := s.registry(ctx)
	if err != nil {
		return err
	}
	if v := reg.Models[name].InStage(Production); v > 0 {
		return mlflow.Invalidf("endpoint %q is implicit: it exists because version %d of registered model %q is in Production; "+
			"move the version out of Production to end it", name, v, name)
	}
	if err := s.store.DeleteArms(ctx, name); err != nil {
		return err
	}
	s.changed(ctx, name, EventDeleted, "the stale version was dropped")
	return nil
}

// Events returns the newest events of an endpoint, newest first. limit is 1–MaxEvents; 0 means 100.
func (s *Service) Events(ctx context.Context, name string, limit int) ([]Event, error) {
	if limit < 0 || limit > MaxEvents {
		return nil, mlflow.Invalidf("max_results %d is not between 1 and %d", limit, MaxEvents)
	}
	if limit == 0 {
		limit = 100
	}
	events, err := s.store.Events(ctx, name, limit)
	if err != nil || len(events) > 0 {
		return events, err
	}
	_, err = s.Get(ctx, name)
	return events, err
}

// changed writes the event and tells the listener. The change itself stands already, so a lost event is only logged.
func (s *Service) changed(ctx context.Context, name string, kind EventKind, reason string) {
	err := s.store.AddEvents(ctx, []Event{{Endpoint: name, Kind: kind, Reason: reason, TimeMS: s.nowMS()}})
	if err != nil {
		s.opts.Log.Warn("endpoint event not written", slog.String("endpoint", name), slog.Any("error", err))
	}
	s.opts.Changed()
}

func (s *Service) nowMS() int64 { return s.opts.Now().UnixMilli() }
