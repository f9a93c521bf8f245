package plan

import (
	"context"

	"sluice/gateway"
	"sluice/registry"
)

// Snapshotter is the slice of the registry's service that routing needs.
type Snapshotter interface {
	Snapshot(ctx context.Context) ([]registry.ModelSnapshot, error)
}

// FromRegistry adapts the registry's service to what the gateway reads.
func FromRegistry(s Snapshotter) gateway.Registry {
	return func(ctx context.Context) (*gateway.Registered, error) {
		models, err := s.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		out := &gateway.Registered{Models: make(map[string]gateway.Model, len(models))}
		for _, m := range models {
			out.Models[m.Name] = picture(m)
		}
		return out, nil
	}
}

func picture(m registry.ModelSnapshot) gateway.Model {
	p := gateway.Model{Versions: make([]gateway.Version, len(m.Versions))}
	for i, v := range m.Versions {
		p.Versions[i] = gateway.Version{Number: v.Version, Stage: string(v.Stage), CreatedMS: v.CreatedMS}
	}
	if len(m.Aliases) > 0 {
		p.Aliases = make(map[string]int, len(m.Aliases))
	}
	for _, a := range m.Aliases {
		p.Aliases[a.Name] = a.Version
	}
	return p
}

// MovesRoutes says whether an event of the registry can change what is routed; the others (tags, descriptions) need no Poke.
func MovesRoutes(e registry.Event) bool {
	switch e.Kind {
	case registry.ModelRenamed, registry.ModelDeleted, registry.AliasSet, registry.AliasDeleted,
		registry.VersionCreated, registry.VersionStaged, registry.VersionDeleted:
		return true
	}
	return false
}
