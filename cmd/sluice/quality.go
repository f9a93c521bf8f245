package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"sluice/gateway"
	"sluice/gateway/drift"
	"sluice/gateway/rollout"
	gatewaystore "sluice/gateway/sqlstore"
	"sluice/gateway/truth"
)

// QualityConfig is the settings of ground truth.
type QualityConfig struct {
	TruthRetention time.Duration
	TruthWait      time.Duration
	TruthLabels    int
	TruthWaiting   int
	Window         time.Duration
}

// bind declares the flags.
func (c *QualityConfig) bind(f *pflag.FlagSet) {
	f.DurationVar(&c.TruthRetention, "ground-truth-retention", 45*24*time.Hour, "how long ground truth is kept, and how old a prediction may be that gets some")
	f.DurationVar(&c.TruthWait, "ground-truth-wait", 24*time.Hour, "how long ground truth waits for its prediction")
	f.IntVar(&c.TruthLabels, "ground-truth-max-labels", 10_000_000, "labels kept before further ground truth is refused with 429")
	f.IntVar(&c.TruthWaiting, "ground-truth-max-waiting", 1_000_000, "items of ground truth that wait for their predictions before further ones are refused with 429")
	f.DurationVar(&c.Window, "quality-window", 24*time.Hour, "time that rolling accuracy, precision, recall and errors are about, in whole hours")
}

func (c *QualityConfig) check() error {
	return errors.Join(
		atLeast("ground-truth-retention", c.TruthRetention, time.Hour),
		inRange("ground-truth-wait", c.TruthWait.Seconds(), 1, c.TruthRetention.Seconds()),
		inRange("ground-truth-max-labels", float64(c.TruthLabels), 1, 1e9),
		inRange("ground-truth-max-waiting", float64(c.TruthWaiting), 1, 1e8),
		inRange("quality-window", c.Window.Hours(), 1, c.TruthRetention.Hours()),
	)
}

// openTruth makes what takes ground truth in; Run starts it. Without the prediction log there is nothing to join it with.
func (a *App) openTruth(ctx context.Context) error {
	if !a.cfg.PredictionLog {
		return nil
	}
	store, err := gatewaystore.NewTruth(ctx, a.db)
	if err != nil {
		return err
	}
	a.truth, err = truth.New(ctx, truth.Deps{Store: store, Segments: a.predictions, Settings: a.groundTruth}, &truth.Options{
		Retention: a.cfg.Quality.TruthRetention, Wait: a.cfg.Quality.TruthWait, Window: a.cfg.Quality.Window,
		MaxLabels: a.cfg.Quality.TruthLabels, MaxWaiting: a.cfg.Quality.TruthWaiting, Interval: a.cfg.ServingMetricsEvery, Log: a.log,
	})
	return err
}

// runTruth starts its loop.
func (a *App) runTruth(ctx context.Context) {
	if a.truth == nil {
		return
	}
	a.onClose("ground truth", func(context.Context) error { return a.truth.Close() })
	go func() {
		if err := a.truth.Run(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("ground truth is not joined", slog.Any("error", err))
		}
	}()
}

// groundTruth is how an endpoint's ground truth is compared.
func (a *App) groundTruth(ctx context.Context, endpoint string) (gateway.GroundTruth, error) {
	e, err := a.endpoints.Get(ctx, endpoint)
	return e.Config.GroundTruth, err
}

// judged is what rollouts know of ground truth.
func (a *App) judged(endpoint, model string, version int) rollout.Count {
	n, k := a.truth.Judged(endpoint, model, version)
	return rollout.Count{N: n, K: k}
}

// openDrift makes what compares predictions with what they were; Run starts it.
func (a *App) openDrift(ctx context.Context) error {
	if !a.cfg.PredictionLog {
		return nil
	}
	store, err := gatewaystore.NewDrift(ctx, a.db)
	if err != nil {
		return err
	}
	a.drift, err = drift.New(ctx, drift.Deps{
		Store: store, Segments: a.predictions, Settings: a.driftSettings, Baseline: a.baselines().Baseline, Events: a.control.AddEvents,
	},
		&drift.Options{Interval: a.cfg.ServingMetricsEvery, Log: a.log})
	return err
}

// runDrift starts its loop.
func (a *App) runDrift(ctx context.Context) {
	if a.drift == nil {
		return
	}
	a.onClose("drift", func(context.Context) error { return a.drift.Close() })
	go func() {
		if err := a.drift.Run(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("drift is not followed", slog.Any("error", err))
		}
	}()
}

// driftSettings is how an endpoint is compared, and what its ground truth names.
func (a *App) driftSettings(ctx context.Context, endpoint string) (gateway.Drift, gateway.GroundTruth, error) {
	e, err := a.endpoints.Get(ctx, endpoint)
	return e.Config.Drift, e.Config.GroundTruth, err
}
