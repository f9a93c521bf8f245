package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/pflag"

	"sluice/gateway/payload"
	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// RehearsalConfig is the settings of warm-up by recorded requests.
type RehearsalConfig struct {
	Requests int
	Required bool
}

func (c *RehearsalConfig) bind(f *pflag.FlagSet) {
	f.IntVar(&c.Requests, "warm-up-requests", 16, "recorded requests of its registered model that a version is asked before it is ready, beside its input example; 0: none")
	f.BoolVar(&c.Required, "warm-up-required", false, "a version that fails on such a request is not routed")
}

func (c *RehearsalConfig) check() error {
	if c.Required && c.Requests == 0 {
		return errors.New("--warm-up-required asks for --warm-up-requests")
	}
	return inRange("warm-up-requests", float64(c.Requests), 0, 1000)
}

// What a rehearsal may take, and how old its requests may be.
const (
	rehearsalTime  = 10 * time.Second
	rehearsalReach = 7 * 24 * time.Hour
	rehearsalLooks = 20 // records that are looked at for each one wanted: where none can be asked the log is not read through
)

// rehearse asks a version the newest recorded requests that were answered by versions of its registered model. It is a servable.Options.Rehearse. The log
// is a help, no condition: what cannot be read of it, or is not whole, is passed by; a version that fails on a request is told, and turned away only if
// the configuration says so.
func (a *App) rehearse(ctx context.Context, id servable.ID, l *servable.Loaded) error {
	if a.cfg.Rehearsal.Requests == 0 || a.predictions == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, rehearsalTime)
	defer cancel()
	r := rehearsal{loaded: l, wanted: a.cfg.Rehearsal.Requests}
	query := predictions.Query{
		Model: id.Model, From: time.Now().Add(-rehearsalReach), Newest: true,
	}
	for row, err := range a.predictions.Rows(ctx, query, predictions.Position{}) {
		if err != nil || !r.take(ctx, &row.Row) {
			break
		}
	}
	if r.asked+r.failed == 0 {
		return nil
	}
	a.log.Info("warmed up by recorded requests", slog.String("servable", id.String()), slog.Int("requests", r.asked), slog.Int("failed", r.failed))
	if r.failed == 0 {
		return nil
	}
	a.log.Warn("a version fails on recorded requests", slog.String("servable", id.String()), slog.Int("failed", r.failed), slog.Any("error", r.last))
	if a.cfg.Rehearsal.Required {
		return fmt.Errorf("%d of %d recorded requests failed, the last one: %w", r.failed, r.asked+r.failed, r.last)
	}
	return nil
}

// rehearsal asks one version.
type rehearsal struct {
	loaded *servable.Loaded
	wanted int
	looked int // records that were looked at
	plan   *payload.Plan
	in     payload.Input
	out    tensor.Batch

	asked, failed int
	last          error // of those that failed
}

// take asks one request, and says whether more are wanted.
func (r *rehearsal) take(ctx context.Context, row *predlog.Row) (more bool) {
	if r.looked++; row.Status != http.StatusOK || row.Shadow || row.Truncated || row.Redaction != predlog.Unredacted || len(row.Request) == 0 {
		return r.looked < rehearsalLooks*r.wanted
	}
	if r.plan == nil {
		var signature *mlmodel.Signature
		if r.loaded.Model != nil {
			signature = r.loaded.Model.Signature
		}
		r.plan = payload.Compile(signature, nil)
	}
	err := r.plan.DecodeLogged(row.ContentType, row.Request, &r.in)
	if err == nil {
		err = r.loaded.Backend.Predict(ctx, &r.in.Batch, r.in.Params, &r.out)
	}
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		r.failed, r.last = r.failed+1, err
	default:
		r.asked++
	}
	return r.asked+r.failed < r.wanted
}
