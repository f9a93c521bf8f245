package gateway

import (
	"time"

	"sluice/tracking/mlflow"
)

// CacheStore says where answers are kept.
type CacheStore string

// The stores of answers.
const (
	CacheMemory CacheStore = "memory" // of each process
	CacheRedis  CacheStore = "redis"  // shared by all processes with the same Redis
)

// Bounds on the response cache of an endpoint.
const (
	MinCacheTTL          = 10 * time.Millisecond
	MaxCacheTTL          = 30 * 24 * time.Hour
	MaxCacheEntry        = 64 << 20 // bytes of one answer
	DefaultCacheMaxEntry = 1 << 20
)

// Cache lets an endpoint answer with what the same version answered to the same input before. Only for models that answer the same each time.
type Cache struct {
	TTL      time.Duration // how long an answer may be given again
	Store    CacheStore
	MaxEntry int64 // bytes; larger answers are not kept
}

// On says whether there is one.
func (c Cache) On() bool { return c != (Cache{}) }

// CacheStores are the stores that a server has, with the largest answer that each takes, in bytes.
type CacheStores map[CacheStore]int64

func (c Config) checkCache() error {
	if !c.Cache.On() {
		return nil
	}
	switch k := c.Cache; {
	case k.Store != CacheMemory && k.Store != CacheRedis:
		return mlflow.Invalidf("cache.store %q is not one of memory, redis", clip(string(k.Store), 40))
	case k.TTL < MinCacheTTL || k.TTL > MaxCacheTTL:
		return mlflow.Invalidf("cache.ttl %v is not between %v and %v", k.TTL, MinCacheTTL, MaxCacheTTL)
	case k.TTL%time.Millisecond != 0:
		return mlflow.Invalidf("cache.ttl %v is not a whole number of milliseconds", k.TTL)
	case k.MaxEntry < 1 || k.MaxEntry > MaxCacheEntry:
		return mlflow.Invalidf("cache.max_entry_bytes is not between 1 and %d", MaxCacheEntry)
	}
	return nil
}

// CheckCache returns INVALID_PARAMETER_VALUE if the configuration asks for a cache that the server with these stores does not have.
func (c Config) CheckCache(has CacheStores) error {
	if !c.Cache.On() {
		return nil
	}
	most, ok := has[c.Cache.Store]
	switch {
	case !ok && c.Cache.Store == CacheRedis:
		return mlflow.Invalidf("cache.store \"redis\" is not set up here: the server was started without --redis-url")
	case !ok:
		return mlflow.Invalidf("cache.store %q is not set up here: the server was started with --cache-memory 0", c.Cache.Store)
	case c.Cache.MaxEntry > most:
		return mlflow.Invalidf("cache.max_entry_bytes %d is more than the %d bytes that the store %q takes", c.Cache.MaxEntry, most, c.Cache.Store)
	}
	return nil
}

// checkCache refuses a cache that this server does not have.
func (s *Service) checkCache(c Config) error {
	if s.opts.Caches == nil {
		return nil
	}
	return c.CheckCache(s.opts.Caches)
}
