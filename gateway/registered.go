package gateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Registered is an immutable picture of the registry: which versions exist, in which stage, under which alias.
// The zero value is an empty registry.
type Registered struct {
	Models map[string]Model // by name
}

// Model is one registered model in the picture.
type Model struct {
	Versions []Version      // any order
	Aliases  map[string]int // alias → version number
}

// Version is one version of a registered model.
type Version struct {
	Number int
	Stage  string // "None" or "" when it has none
	// CreatedMS tells a version from another one that had its number before it was deleted; Unix time, ms, 0 if it is not known.
	CreatedMS int64
}

// Registry reads the picture of now. cmd adapts the registry's service to it.
type Registry func(ctx context.Context) (*Registered, error)

// Has says whether the model has the version.
func (m Model) Has(version int) bool {
	return slices.ContainsFunc(m.Versions, func(v Version) bool { return v.Number == version })
}

// CreatedMS is when the version was created; 0 if the model has none, or that is not known.
func (m Model) CreatedMS(version int) int64 {
	for _, v := range m.Versions {
		if v.Number == version {
			return v.CreatedMS
		}
	}
	return 0
}

// InStage returns the highest version number in the stage, 0 if none is.
func (m Model) InStage(stage string) int {
	best := 0
	for _, v := range m.Versions {
		if v.Stage == stage && v.Number > best {
			best = v.Number
		}
	}
	return best
}

// StageOf returns the stage of the version; empty if the version does not exist or is in none.
func (m Model) StageOf(version int) string {
	for _, v := range m.Versions {
		if v.Number == version && v.Stage != "None" {
			return v.Stage
		}
	}
	return ""
}

// AliasesOf returns the aliases of the version, sorted; nil if none.
func (m Model) AliasesOf(version int) []string {
	var out []string
	for a, v := range m.Aliases {
		if v == version {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return out
}

// lookup returns the version that the selector means now, 0 if none.
func (m Model) lookup(s Selector) int {
	switch {
	case s.Alias != "":
		if v := m.Aliases[s.Alias]; m.Has(v) {
			return v
		}
		return 0
	case s.Stage != "":
		return m.InStage(s.Stage)
	}
	if m.Has(s.Version) {
		return s.Version
	}
	return 0
}

// Resolution is what a served entity means against a picture of the registry.
type Resolution struct {
	Version int    // 0 when there is nothing to serve
	Stale   bool   // the target is empty: Version is the last one that it had
	Reason  string // why it is stale or empty; empty otherwise
}

// Resolve says which version the entity means now. last is the arm's record, nil if it has none.
//
// A stage or alias that names no version any more keeps the record's version, marked stale, as long as that version exists; without a
// record (or with a record of another target) there is nothing to serve.
func Resolve(e ServedEntity, reg *Registered, last *ArmRecord) Resolution {
	model, ok := reg.Models[e.Model]
	if !ok {
		return Resolution{Reason: fmt.Sprintf("registered model %q does not exist", e.Model)}
	}
	if v := model.lookup(e.Target); v > 0 {
		return Resolution{Version: v}
	}
	empty := fmt.Sprintf("%s of registered model %q has no version", e.Target.Words(), e.Model)
	if e.Target.Version > 0 {
		return Resolution{Reason: fmt.Sprintf("version %d of registered model %q does not exist", e.Target.Version, e.Model)}
	}
	if last == nil || last.Model != e.Model || last.Target != e.Target || !model.Has(last.Version) {
		return Resolution{Reason: empty}
	}
	return Resolution{Version: last.Version, Stale: true, Reason: fmt.Sprintf("%s; version %d keeps serving", empty, last.Version)}
}

// Effective returns the explicit endpoints and the implicit ones that follow from the registry and the arm records, sorted by name.
func Effective(explicit []Endpoint, reg *Registered, arms []ArmRecord) []Endpoint {
	out := slices.Clone(explicit)
	taken := make(map[string]bool, len(explicit))
	for _, e := range explicit {
		taken[e.Name] = true
	}
	for name, m := range reg.Models {
		if !taken[name] && m.InStage(Production) > 0 {
			out = append(out, Implicit(name))
			taken[name] = true
		}
	}
	for i := range arms {
		name := arms[i].Endpoint
		if taken[name] {
			continue
		}
		if e := Implicit(name); Resolve(e.Config.ServedEntities[0], reg, recordFor(&arms[i], e)).Version > 0 {
			out = append(out, e)
			taken[name] = true
		}
	}
	slices.SortFunc(out, func(a, b Endpoint) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// recordFor returns the record if it belongs to the only arm of the implicit endpoint, else nil.
func recordFor(r *ArmRecord, e Endpoint) *ArmRecord {
	if r.Arm != e.Config.ServedEntities[0].Name {
		return nil
	}
	return r
}

// Implicit returns the endpoint that a registered model with a version in Production is without configuration.
func Implicit(model string) Endpoint {
	target := Selector{Stage: Production}
	return Endpoint{
		Name:     model,
		Implicit: true,
		Config: Config{ServedEntities: []ServedEntity{{
			Name: DefaultEntityName(model, target), Model: model, Target: target, Weight: FullWeight,
		}}},
	}
}
