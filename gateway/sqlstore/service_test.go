package sqlstore_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// newService is the real service over the real store; the registry is a picture.
func newService(t *testing.T, changed func()) *gateway.Service {
	t.Helper()
	reg := &gateway.Registered{Models: map[string]gateway.Model{"wine": {
		Versions: []gateway.Version{{Number: 1, Stage: "Production"}, {Number: 2, Stage: "None"}},
	}}}
	return gateway.NewService(fresh(t), func(context.Context) (*gateway.Registered, error) { return reg, nil },
		&gateway.Options{Changed: changed, Now: func() time.Time { return time.UnixMilli(42) }})
}

func pinned(version int) gateway.Config {
	return gateway.Config{ServedEntities: []gateway.ServedEntity{
		{Name: "a", Model: "wine", Target: gateway.Selector{Version: version}, Weight: gateway.FullWeight},
	}}
}

func TestServiceImplicit(t *testing.T) {
	var changes atomic.Int32
	s := newService(t, func() { changes.Add(1) })
	ctx := t.Context()
	e, err := s.Get(ctx, "wine")
	if err != nil || !e.Implicit || e.ConfigVersion != 0 {
		t.Fatalf("got %+v (%v)", e, err)
	}
	if _, err := s.UpdateConfig(ctx, "wine", pinned(1), 3, ""); mlflow.CodeOf(err) != mlflow.ResourceConflict {
		t.Errorf("a config_version on an implicit endpoint: %v", err)
	}
	if changes.Load() != 0 {
		t.Error("a refusal was announced as a change")
	}

	errs := make([]error, 6) // all take the implicit endpoint over at once; the last wins
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.UpdateConfig(ctx, "wine", pinned(1+i%2), 0, "ann") })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if e, err = s.Get(ctx, "wine"); err != nil || e.Implicit || e.ConfigVersion != 6 || e.CreatedMS != 42 || e.Creator != "ann" {
		t.Errorf("got %+v (%v), want configuration 6", e, err)
	}
	if changes.Load() != 6 {
		t.Errorf("%d changes were announced, want 6", changes.Load())
	}
	if err := s.Delete(ctx, "wine"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, "wine"); mlflow.CodeOf(err) != mlflow.InvalidParameterValue || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("deleting the implicit endpoint: %v", err)
	}
	if events, err := s.Events(ctx, "wine", 0); err != nil || len(events) != 7 || events[0].Kind != gateway.EventDeleted || events[6].Kind != gateway.EventCreated {
		t.Errorf("events %+v (%v)", events, err)
	}
	if _, err := s.Events(ctx, "nobody", 0); mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		t.Errorf("events of nobody: %v", err)
	}
}

func TestServiceRefusesLongTexts(t *testing.T) {
	s := newService(t, nil)
	for name, e := range map[string]gateway.Endpoint{
		"description": {Name: "e", Description: strings.Repeat("x", mlflow.MaxDescriptionLength+1), Config: pinned(1)},
		"tag key":     {Name: "e", Tags: []gateway.Tag{{Key: strings.Repeat("x", gateway.MaxTagKeyLength+1)}}, Config: pinned(1)},
		"tag value":   {Name: "e", Tags: []gateway.Tag{{Key: "k", Value: strings.Repeat("x", gateway.MaxTagValueLength+1)}}, Config: pinned(1)},
		"empty key":   {Name: "e", Tags: []gateway.Tag{{}}, Config: pinned(1)},
		"name":        {Name: strings.Repeat("x", gateway.MaxNameLength+1), Config: pinned(1)},
		"entities":    {Name: "e", Config: gateway.Config{ServedEntities: make([]gateway.ServedEntity, gateway.MaxServedEntities+1)}},
		"weight":      {Name: "e", Config: gateway.Config{ServedEntities: []gateway.ServedEntity{{Name: "a", Weight: -1}}}},
	} {
		if _, err := s.Create(t.Context(), e); mlflow.CodeOf(err) != mlflow.InvalidParameterValue || len(err.Error()) > 600 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
