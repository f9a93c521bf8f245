package rest_test

import (
	"encoding/json"
	"testing"
)

func TestCacheComesBack(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production"}})
	for sent, want := range map[string]string{
		`{"ttl":"90s"}`: `{"max_entry_bytes":1048576,"store":"memory","ttl":"1m30s"}`,
		`{"ttl":"250ms","store":"redis","max_entry_bytes":10}`: `{"max_entry_bytes":10,"store":"redis","ttl":"250ms"}`,
	} {
		out := s.want(200, "PUT", wine+"/config", oneEntity(`"cache":`+sent))
		for range 2 { // what is answered can be sent back
			if got, _ := json.Marshal(dig(out, "config", "cache")); string(got) != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			config, _ := json.Marshal(dig(out, "config"))
			out = s.want(200, "PUT", wine+"/config", string(config))
		}
	}
	if gone := s.want(200, "PUT", wine+"/config", oneEntity(`"config_version":0`)); dig(gone, "config", "cache") != nil {
		t.Error("a configuration without it kept it")
	}
}

// TestBadCache: 400 with the field's path.
func TestBadCache(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production"}})
	for name, c := range map[string]struct{ value, want string }{
		"no object":     {`"60s"`, "cache is not a JSON object"},
		"no ttl":        {`{}`, "cache.ttl is missing"},
		"ttl a number":  {`{"ttl":60}`, "cache.ttl is not a string"},
		"no duration":   {`{"ttl":"soon"}`, "cache.ttl"},
		"nothing":       {`{"ttl":"0s"}`, "cache.ttl 0s is not between"},
		"for ever":      {`{"ttl":"9999h"}`, "cache.ttl 9999h0m0s is not between"},
		"µs":            {`{"ttl":"1.0005s"}`, "cache.ttl 1.0005s is not a whole number"},
		"unknown store": {`{"ttl":"1s","store":"disk"}`, `cache.store \"disk\" is not one of memory, redis`},
		"no bytes":      {`{"ttl":"1s","max_entry_bytes":0}`, "cache.max_entry_bytes is not between"},
		"many bytes":    {`{"ttl":"1s","max_entry_bytes":99999999999}`, "cache.max_entry_bytes is not between"},
		"unknown field": {`{"ttl":"1s","max_bytes":1}`, "unknown field cache.max_bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s.want(400, "PUT", wine+"/config", oneEntity(`"cache":`+c.value), c.want, "INVALID_PARAMETER_VALUE")
		})
	}
}
