package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"sluice/gateway"
	"sluice/gateway/respcache"
	"sluice/gateway/respcache/ottercache"
	"sluice/gateway/respcache/rediscache"
	"sluice/gateway/telemetry"
)

// CacheConfig says where endpoints with a response cache can keep their answers.
type CacheConfig struct {
	Memory       int64
	RedisURL     string // may hold a password: told to nobody
	RedisTimeout time.Duration
}

// bind declares the flags.
func (c *CacheConfig) bind(f *pflag.FlagSet) {
	f.Int64Var(&c.Memory, "cache-memory", 64<<20, "bytes of answers kept in this process, of all endpoints whose response cache is in memory; 0: no endpoint's can be")
	f.StringVar(&c.RedisURL, "redis-url", "", "Redis for endpoints whose response cache is shared: redis://[[user]:password@]host[:port][/db], rediss://… or unix:///path; better set as SLUICE_REDIS_URL if it holds a password")
	f.DurationVar(&c.RedisTimeout, "redis-timeout", 50*time.Millisecond, "how long a question to Redis may take; beyond it the answer is computed")
}

func (c *CacheConfig) check() error {
	return errors.Join(
		inRange("cache-memory", float64(c.Memory), 0, 1<<50),
		atLeast("redis-timeout", c.RedisTimeout, time.Millisecond),
		c.checkRedis(),
	)
}

func (c *CacheConfig) checkRedis() error {
	if c.RedisURL == "" {
		return nil
	}
	if err := rediscache.CheckURL(c.RedisURL); err != nil {
		return fmt.Errorf("--redis-url: %w", err)
	}
	return nil
}

// stores are where answers can be kept.
func (c *CacheConfig) stores() gateway.CacheStores {
	has := gateway.CacheStores{}
	if c.Memory > 0 {
		has[gateway.CacheMemory] = min(c.Memory, gateway.MaxCacheEntry)
	}
	if c.RedisURL != "" {
		has[gateway.CacheRedis] = gateway.MaxCacheEntry
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
	if a.cfg.Cache.RedisURL != "" {
		shared, err := rediscache.New(a.cfg.Cache.RedisURL, &rediscache.Options{Timeout: a.cfg.Cache.RedisTimeout, Logger: a.log})
		if err != nil {
			return nil, err
		}
		stores[string(gateway.CacheRedis)] = shared
	}
	a.answers = respcache.New(stores, nil)
	a.onClose("answers", func(context.Context) error { return a.answers.Close() })
	if memory == nil {
		return telemetry.Answers(a.answers, nil), nil
	}
	return telemetry.Answers(a.answers, memory), nil
}
