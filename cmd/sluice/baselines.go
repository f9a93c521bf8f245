package main

import (
	"context"

	"sluice/gateway/baseline"
	"sluice/gateway/predlog"
	"sluice/gateway/redact"
	"sluice/gateway/route"
	"sluice/runtime/servable"
)

// baselines finds what versions are compared with.
func (a *App) baselines() *baseline.Finder {
	return baseline.New(baseline.Deps{
		Version: a.registry.Version, Run: a.tracking.Run, Resolve: a.artifacts.Resolve,
		Locate:  func(ctx context.Context, uri string) (string, error) { return locate(ctx, a.tracking, uri) },
		Acquire: a.acquireSeries, Redaction: a.baselineRedaction,
	})
}

// baselineRedaction is what the prediction log does not keep of an endpoint's rows.
func (a *App) baselineRedaction(ctx context.Context, endpoint string) (baseline.Redaction, error) {
	e, err := a.endpoints.Get(ctx, endpoint)
	if err != nil || len(e.Config.Redaction) == 0 {
		return baseline.Redaction{}, err
	}
	var out baseline.Redaction
	var columns []redact.Column
	for _, c := range e.Config.Redaction {
		out.Columns = append(out.Columns, c.Column)
		columns = append(columns, redact.Column{Name: c.Column, Action: redact.Action(c.Action), Length: c.Length})
	}
	out.Answer = func(answer []byte) []byte { return a.redactor.Answer(columns, answer) }
	return out, nil
}

// acquireSeries returns the version in the form in which the endpoint serves it.
func (a *App) acquireSeries(ctx context.Context, s predlog.Series) (baseline.Model, error) {
	id := servable.ID{Model: s.Model, Version: s.Version}
	if e := a.data.Load().Table().Endpoint(s.Endpoint); e != nil {
		for _, arm := range e.Arms {
			if arm.Servable.Model == s.Model && arm.Servable.Version == s.Version {
				return got(a.servables.Await(ctx, arm.Servable))
			}
		}
	}
	return got(a.servables.Demand(ctx, id))
}

// got makes an interface of a handle, and none of no handle.
func got(h *servable.Handle, err error) (baseline.Model, error) {
	if err != nil {
		return nil, err
	}
	return h, nil
}

// series are the versions that a table's endpoints serve.
func series(t *route.Table) []predlog.Series {
	var out []predlog.Series
	seen := map[predlog.Series]bool{}
	for _, s := range served(t) {
		one := predlog.Series{Endpoint: s.Endpoint, Model: s.Model, Version: s.Version}
		if !seen[one] {
			seen[one] = true
			out = append(out, one)
		}
	}
	return out
}
