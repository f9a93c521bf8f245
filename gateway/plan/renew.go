package plan

import (
	"log/slog"
	"slices"

	"sluice/runtime/servable"
)

// renew lets go of versions that were deleted and registered again under the same number: what is loaded is not what the number means now. The
// plan that follows asks for the new ones. The caller holds applyMu.
func (s *Syncer) renew() {
	var kept []servable.ID
	for id, created := range s.created {
		if now := s.createdMS(id); created == 0 || now == 0 || now == created {
			kept = append(kept, id)
			continue
		}
		delete(s.leaving, id)
		s.opts.Log.Info("a version of the same number was registered anew", slog.String("servable", id.String()))
	}
	if len(kept) < len(s.created) {
		slices.SortFunc(kept, compareIDs)
		s.deps.Servables.Aspire(kept)
	}
}

// aspire asks for the versions, and remembers which ones they are; one that was deleted is what it was. The caller holds applyMu.
func (s *Syncer) aspire(ids []servable.ID) {
	created := make(map[servable.ID]int64, len(ids))
	for _, id := range ids {
		if created[id] = s.createdMS(id); created[id] == 0 {
			created[id] = s.created[id]
		}
	}
	s.created = created
	s.deps.Servables.Aspire(ids)
}

func (s *Syncer) createdMS(id servable.ID) int64 {
	return s.input.Registered.Models[id.Model].CreatedMS(id.Version)
}
