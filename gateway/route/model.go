package route

import (
	"fmt"
	"slices"
	"strings"
)

// By says how a request names a version of a registered model.
type By uint8

const (
	ByVersion By = iota // a version number, decimal
	ByStage             // a stage: the highest version in it
	ByAlias             // an alias
)

func (b By) String() string {
	switch b {
	case ByStage:
		return "stage"
	case ByAlias:
		return "alias"
	default:
		return "version"
	}
}

// target is an arm and the endpoint that it stands in.
type target struct {
	endpoint int // index into Table.endpoints
	arm      int // index into Endpoint.Arms
}

// model is what the table knows about one registered model: which arm serves which version, stage and alias.
type model struct {
	versions map[int]target
	stages   map[string]target
	aliases  map[string]target
}

// Resolve finds the arm that serves one version of a registered model, whatever its weight. Where several endpoints route the version, the
// endpoint of the model's own name answers, else the first by name. Resolve keeps neither string.
//
// Errors: ErrUnknownModel, ErrNotRouted, ErrComing.
func (t *Table) Resolve(modelName string, by By, x string) (Decision, error) {
	m, ok := t.models[modelName]
	if !ok {
		if err := t.comes(modelName, by, x); err != nil {
			return Decision{}, err
		}
		return Decision{}, fmt.Errorf("%w: %q", ErrUnknownModel, modelName)
	}
	var tg target
	switch by {
	case ByStage:
		tg, ok = m.stage(x)
	case ByAlias:
		tg, ok = m.aliases[x]
	default:
		var v int
		if v, ok = version(x); ok {
			tg, ok = m.versions[v]
		}
	}
	if !ok {
		if err := t.comes(modelName, by, x); err != nil {
			return Decision{}, err
		}
		return Decision{}, fmt.Errorf("%w: registered model %q, %s %q", ErrNotRouted, modelName, by, x)
	}
	e := &t.endpoints[tg.endpoint]
	return Decision{Endpoint: e, Arm: &e.Arms[tg.arm], Revision: t.revision, Bucket: -1}, nil
}

// comes returns ErrComing if what is asked for is on its way, with the reason why it takes time; else nil.
func (t *Table) comes(modelName string, by By, x string) error {
	for _, tg := range t.coming[modelName] {
		e := &t.endpoints[tg.endpoint]
		if e.Coming[tg.arm].is(by, x) {
			return e.notYet(&e.Coming[tg.arm])
		}
	}
	return nil
}

// is says whether the arm is the version, stage or alias asked for.
func (a *Arm) is(by By, x string) bool {
	switch by {
	case ByStage:
		return a.Stage != "" && strings.EqualFold(a.Stage, x)
	case ByAlias:
		return slices.Contains(a.Aliases, x)
	}
	v, ok := version(x)
	return ok && v == a.Servable.Version
}

// notYet says why an arm on its way cannot answer. The endpoint's own reason, where it has one, tells more.
func (e *Endpoint) notYet(a *Arm) error {
	reason := e.Reason
	if reason == "" {
		reason = a.Reason
	}
	return fmt.Errorf("%w: registered model %q, version %d at endpoint %q: %s", ErrComing, a.Servable.Model, a.Servable.Version, e.Name, reason)
}

// ResolveArm finds the arm of an endpoint that serves the version, whatever its weight. It keeps neither string.
//
// Errors: ErrUnknownEndpoint, ErrNotRouted, ErrComing.
func (t *Table) ResolveArm(endpoint, x string) (Decision, error) {
	e := t.Endpoint(endpoint)
	if e == nil {
		return Decision{}, fmt.Errorf("%w: %q; %s", ErrUnknownEndpoint, endpoint, t.names())
	}
	if v, ok := version(x); ok {
		for i := range e.Arms {
			if e.Arms[i].Servable.Version == v {
				return Decision{Endpoint: e, Arm: &e.Arms[i], Revision: t.revision, Bucket: -1}, nil
			}
		}
	}
	for i := range e.Coming {
		if e.Coming[i].is(ByVersion, x) {
			return Decision{}, e.notYet(&e.Coming[i])
		}
	}
	return Decision{}, fmt.Errorf("%w: endpoint %q, version %q", ErrNotRouted, endpoint, x)
}

// stage finds a stage by its name, in any case of letters as MLflow's clients do.
func (m *model) stage(name string) (target, bool) {
	if tg, ok := m.stages[name]; ok {
		return tg, true
	}
	for s, tg := range m.stages {
		if strings.EqualFold(s, name) {
			return tg, true
		}
	}
	return target{}, false
}

// ParseVersion reads a version number as Resolve does: positive, decimal, at most nine digits, no leading zeros.
func ParseVersion(s string) (int, bool) { return version(s) }

// version parses a positive decimal number of at most nine digits without leading zeros.
func version(s string) (int, bool) {
	if s == "" || len(s) > 9 || s[0] == '0' {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// indexModels fills t.models; endpoints are sorted by name already.
func (t *Table) indexModels() {
	t.models, t.coming = make(map[string]*model), make(map[string][]target)
	for ei := range t.endpoints {
		for ai := range t.endpoints[ei].Coming {
			name := t.endpoints[ei].Coming[ai].Servable.Model
			t.coming[name] = append(t.coming[name], target{ei, ai})
		}
		for ai := range t.endpoints[ei].Arms {
			t.indexArm(target{ei, ai})
		}
	}
}

func (t *Table) indexArm(tg target) {
	a := &t.endpoints[tg.endpoint].Arms[tg.arm]
	m := t.models[a.Servable.Model]
	if m == nil {
		m = &model{versions: map[int]target{}, stages: map[string]target{}, aliases: map[string]target{}}
		t.models[a.Servable.Model] = m
	}
	if old, ok := m.versions[a.Servable.Version]; !ok || t.better(old, tg) {
		m.versions[a.Servable.Version] = tg
	}
	if a.Stage != "" && !a.Stale {
		if old, ok := m.stages[a.Stage]; !ok || t.higher(old, tg) {
			m.stages[a.Stage] = tg
		}
	}
	for _, alias := range a.Aliases {
		if old, ok := m.aliases[alias]; !ok || t.better(old, tg) {
			m.aliases[alias] = tg
		}
	}
}

// higher says whether b serves a higher version than a, or the same one from a better endpoint.
func (t *Table) higher(a, b target) bool {
	va := t.endpoints[a.endpoint].Arms[a.arm].Servable.Version
	vb := t.endpoints[b.endpoint].Arms[b.arm].Servable.Version
	return vb > va || vb == va && t.better(a, b)
}

// better says whether b stands in the endpoint of the model's own name and a does not.
func (t *Table) better(a, b target) bool {
	own := t.endpoints[b.endpoint].Arms[b.arm].Servable.Model
	return t.endpoints[b.endpoint].Name == own && t.endpoints[a.endpoint].Name != own
}
