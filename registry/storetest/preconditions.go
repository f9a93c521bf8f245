package storetest

import (
	"errors"
	"sync"

	"sluice/registry"
	"sluice/tracking/mlflow"
)

// testPreconditions: a stage or alias moves only from the version that the caller believes it to mean.
func testPreconditions(s *suite) {
	ctx := s.Context()
	s.model("a")
	for range 9 {
		s.version("a")
	}
	at := s.tick()
	stage := func(version, from int) error {
		_, _, err := s.store.SetStageFrom(ctx, "a", version, registry.StageProduction, true, from, at)
		return err
	}
	s.code(stage(1, 7), mlflow.ResourceConflict)
	s.ok(stage(1, 0))
	s.code(stage(2, 0), mlflow.ResourceConflict)
	s.ok(stage(2, 1))
	refused := stage(3, 1)
	s.code(refused, mlflow.ResourceConflict)
	if e := (*mlflow.Error)(nil); errors.As(refused, &e) {
		equal(s, "the version of now", e.Details["current_version"], any(2))
	}
	v, err := s.store.Version(ctx, "a", 1)
	s.ok(err)
	equal(s, "archived by the move that was allowed", v.Stage, registry.StageArchived)
	v, err = s.store.Version(ctx, "a", 3)
	s.ok(err)
	equal(s, "a refused move changes nothing", v.Stage, registry.StageNone)

	alias := func(version, from int) error {
		_, err := s.store.SetAliasFrom(ctx, "a", "champ", version, from, at)
		return err
	}
	s.code(alias(1, 2), mlflow.ResourceConflict)
	s.ok(alias(1, 0))
	s.code(alias(2, 0), mlflow.ResourceConflict)
	s.ok(alias(2, 1))
	s.code(alias(9, 9), mlflow.ResourceConflict)

	// Of many that move from the same version one wins.
	var wg sync.WaitGroup
	stages, aliases := make([]error, 6), make([]error, 6)
	for i := range stages {
		wg.Go(func() { stages[i], aliases[i] = stage(3+i, 2), alias(3+i, 2) })
	}
	wg.Wait()
	for what, errs := range map[string][]error{"stage": stages, "alias": aliases} {
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				s.code(err, mlflow.ResourceConflict)
			}
		}
		equal(s, what+": winners", won, 1)
	}
}
