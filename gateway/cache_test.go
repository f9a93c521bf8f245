package gateway

import (
	"strings"
	"testing"
	"time"
)

func TestACacheThatTheServerDoesNotHaveIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		cache Cache
		has   CacheStores
		want  string // in the error; "" for none
	}{
		"none":           {Cache{}, CacheStores{}, ""},
		"there":          {Cache{TTL: time.Second, Store: CacheMemory, MaxEntry: 10}, CacheStores{CacheMemory: 10}, ""},
		"no Redis":       {Cache{TTL: time.Second, Store: CacheRedis, MaxEntry: 1}, CacheStores{CacheMemory: 10}, "--redis-url"},
		"no memory":      {Cache{TTL: time.Second, Store: CacheMemory, MaxEntry: 1}, CacheStores{CacheRedis: 10}, "--cache-memory"},
		"little of both": {Cache{TTL: time.Second, Store: CacheMemory, MaxEntry: 11}, CacheStores{CacheMemory: 10}, "cache.max_entry_bytes 11"},
	} {
		err := Config{Cache: c.cache}.CheckCache(c.has)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestGroundTruthOfRedactedColumns(t *testing.T) {
	for name, c := range map[string]struct {
		truth   GroundTruth
		refused bool
	}{
		"the key":         {GroundTruth{Key: "ssn"}, true},
		"the output":      {GroundTruth{Output: "ssn"}, true},
		"another column":  {GroundTruth{Key: "order", Output: "price"}, false},
		"no ground truth": {GroundTruth{}, false},
	} {
		err := Config{Redaction: []RedactedColumn{{Column: "ssn", Action: RedactHash}}, GroundTruth: c.truth}.checkSettings()
		if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "is redacted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRedactedEndpointsAreNotRememberedInRedis(t *testing.T) {
	redaction := []RedactedColumn{{Column: "ssn", Action: RedactDrop}}
	for name, c := range map[string]struct {
		config  Config
		refused bool
	}{
		"Redis":            {Config{Redaction: redaction, Cache: Cache{TTL: time.Second, Store: CacheRedis, MaxEntry: 1}}, true},
		"memory":           {Config{Redaction: redaction, Cache: Cache{TTL: time.Second, Store: CacheMemory, MaxEntry: 1}}, false},
		"nothing redacted": {Config{Cache: Cache{TTL: time.Second, Store: CacheRedis, MaxEntry: 1}}, false},
		"no cache":         {Config{Redaction: redaction}, false},
	} {
		err := c.config.checkSettings()
		if (err != nil) != c.refused || err != nil && !strings.HasPrefix(err.Error(), "INVALID_PARAMETER_VALUE") && !strings.Contains(err.Error(), "cache.store") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
