package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"sluice/gateway"
	"sluice/gateway/respcache"
	"sluice/gateway/respcache/ottercache"
	"sluice/gateway/telemetry"
)

// CacheConfig says where endpoints with a response cache can keep their answers.
type CacheConfig struct {
	Memory int64
}

// bind declares the flags.
func (c *CacheConfig) bind(f *pflag.FlagSet) {
	f.Int64Var(&c.Memory, "cache-memory", 64<<20, "bytes of answers kept in this process, of all endpoints whose response cache is in memory; 0: no endpoint's can be")
}

func (c *CacheConfig) check() error {
	return inRange("cache-memory", float64(c.Memory), 0, 1<<50)
}

// stores are where answers can be kept.
func (c *CacheConfig) stores() gateway.CacheStores {
	has := gateway.CacheStores{}
	if c.Memory > 0 {
		has[gateway.CacheMemory] = min(c.Memory, gateway.MaxCacheEntry)
	}
	return has
}

// openAnswers opens the stores of answers. An endpoint that was configured for one that is not there any more is an error: it would be slower
// than anybody expects, and nobody told.
func (a *App) openAnswers(ctx context.Context) ([]telemetry.Metric, error) {
	has := a.cfg.Cache.stores()
	endpoints, err := a.control.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints {
		if err := e.Config.CheckCache(has); err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", e.Name, err)
		}
	}
	stores := map[string]respcache.Store{}
	var memory *ottercache.Store
	if a.cfg.Cache.Memory > 0 {
		if memory, err = ottercache.New(a.cfg.Cache.Memory, nil); err != nil {
			return nil, err
		}
		stores[string(gateway.CacheMemory)] = memory
	}
	a.answers = respcache.New(stores, nil)
	a.onClose("answers", func(context.Context) error { return a.answers.Close() })
	if memory == nil {
		return telemetry.Answers(a.answers, nil), nil
	}
	return telemetry.Answers(a.answers, memory), nil
}
