package rest

import (
	"cmp"
	"encoding/json"

	"sluice/gateway"
)

// cacheAnswer is the response cache as it is sent and answered. TTL is a text like "60s", "10m".
type cacheAnswer struct {
	TTL      string             `json:"ttl"`
	Store    gateway.CacheStore `json:"store,omitempty"`
	MaxEntry int64              `json:"max_entry_bytes,omitempty"`
}

func parseCache(parent *object, raw json.RawMessage) func(*gateway.Config) {
	o := parseObject(parent.name("cache")+".", raw)
	if o.fields["ttl"] == nil {
		o.fail("ttl", "is missing: it says how long an answer may be given again")
	}
	cache := gateway.Cache{
		TTL:      o.duration("ttl"),
		Store:    cmp.Or(gateway.CacheStore(o.text("store")), gateway.CacheMemory),
		MaxEntry: gateway.DefaultCacheMaxEntry,
	}
	if o.fields["max_entry_bytes"] != nil {
		cache.MaxEntry = o.whole("max_entry_bytes")
	}
	parent.adopt(o.done())
	return func(c *gateway.Config) { c.Cache = cache }
}

func describeCache(c *gateway.Config, a *settingsAnswer) {
	if k := c.Cache; k.On() {
		a.Cache = &cacheAnswer{durationText(k.TTL), k.Store, k.MaxEntry}
	}
}
