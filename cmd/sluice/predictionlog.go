package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sluice/gateway"
	"sluice/gateway/predlog"
)

// SpoolConfig says when prediction records are synced to disk.
type SpoolConfig struct {
	Sync  string
	Every time.Duration
}

// bind declares the flags.
func (c *SpoolConfig) bind(f *pflag.FlagSet) {
	f.StringVar(&c.Sync, "prediction-log-sync", "interval", "when spooled prediction records are synced: every --prediction-log-sync-interval (interval), as soon as they come (always), or none; no request waits for it")
	f.DurationVar(&c.Every, "prediction-log-sync-interval", time.Second, "how long a spooled prediction record may wait for its sync; after kill -9 at most 200ms of records are missing, after a power failure this much")
}

func (c *SpoolConfig) check() error {
	if _, ok := predlog.SyncPolicies()[c.Sync]; !ok {
		names := slices.Sorted(maps.Keys(predlog.SyncPolicies()))
		return fmt.Errorf("prediction-log-sync: %q is none of %s", c.Sync, strings.Join(names, ", "))
	}
	if c.Every < time.Millisecond || c.Every > time.Minute {
		return errors.New("prediction-log-sync-interval is not between 1ms and 1m")
	}
	return nil
}

// tellGap writes the events of a gap of the prediction log.
func (a *App) tellGap(ctx context.Context, endpoints []string, g predlog.Gap) error {
	reason := fmt.Sprintf("at most %d records of the prediction log may be missing between %s and %s: a server ended without closing it",
		g.AtMost, g.From.Format(time.RFC3339Nano), g.To.Format(time.RFC3339Nano))
	events := make([]gateway.Event, len(endpoints))
	for i, name := range endpoints {
		events[i] = gateway.Event{Endpoint: name, Kind: gateway.EventPredictionGap, Reason: reason, TimeMS: g.To.UnixMilli()}
	}
	return a.control.AddEvents(ctx, events)
}
