package servable_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// whole is a backend whose model takes its rows as they are only.
type whole struct{ *echo }

func (whole) RowWise() bool { return false }

// even is a backend to which every row is as dear as the next, so that it gains nothing from joining.
type even struct{ *echo }

func (e even) Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch) error {
	time.Sleep(time.Duration(in.Rows) * time.Millisecond)
	return e.echo.Predict(ctx, in, params, out)
}

// TestAVersionsIDSaysWhenItIsJoined has the forms of one version decide for themselves, whatever was measured and whatever the Manager's default.
func TestAVersionsIDSaysWhenItIsJoined(t *testing.T) {
	for name, c := range map[string]struct {
		manager, id servable.Joining
		model       string
		joined      bool
		reason      string
	}{
		"always":                            {id: servable.JoinAlways, model: "even", joined: true, reason: "the endpoint says so; measured: 32 rows cost"},
		"always, though it is switched off": {manager: servable.JoinNever, id: servable.JoinAlways, model: "even", joined: true, reason: "the endpoint says so"},
		"always, though nothing is known":   {id: servable.JoinAlways, model: "unknown", joined: true, reason: "the endpoint says so; measured: nothing is known"},
		"never":                             {manager: servable.JoinAlways, id: servable.JoinNever, model: "even", reason: "the endpoint says so"},
		"never, and nothing is known":       {id: servable.JoinNever, model: "unknown", reason: "the endpoint says so"},
		"the default":                       {manager: servable.JoinAlways, model: "even", joined: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := servable.NewManager(loadKind, &servable.Options{Joining: c.manager})
			defer m.Close(context.Background())
			id := servable.ID{Model: c.model, Version: 1, Joining: c.id}
			m.Aspire([]servable.ID{id})
			ready(t, m, id)
			if b, ok := m.Batching(id); !ok || b.Join != c.joined || !strings.HasPrefix(b.Reason, c.reason) {
				t.Errorf("got %+v, %v", b, ok)
			}
		})
	}
	m := servable.NewManager(loadKind, nil)
	defer m.Close(context.Background())
	id := servable.ID{Model: "whole", Version: 1, Joining: servable.JoinAlways}
	m.Aspire([]servable.ID{id})
	if err := m.WaitReady(t.Context(), id); err == nil || !strings.Contains(err.Error(), "does not take any number of rows") || !strings.Contains(err.Error(), "joins always") {
		t.Errorf("a model that cannot be joined: got %v", err)
	}
}

// loadKind makes a backend of the kind that the registered model's name says.
func loadKind(_ context.Context, id servable.ID) (*servable.Loaded, error) {
	e := &echo{}
	switch id.Model {
	case "whole":
		return &servable.Loaded{Backend: whole{e}, Model: signature()}, nil
	case "unknown":
		return &servable.Loaded{Backend: e}, nil
	}
	return &servable.Loaded{Backend: even{e}, Model: signature()}, nil
}
