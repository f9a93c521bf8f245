package telemetry

import (
	"sluice/gateway/respcache"
)

// Held is a store of answers in this process.
type Held interface {
	Entries() int
	Bytes() uint64
	Evicted() uint64
}

// Answers are the metrics of response caches; held may be nil.
func Answers(cache *respcache.Cache, held Held) []Metric {
	metrics := []Metric{
		{
			Name: "sluice.cache.requests", Unit: "{request}", Description: "Requests to endpoints with a response cache, by how they were answered.", Counter: true,
			Read: func(emit Emit) {
				for _, s := range cache.Snapshot() {
					for r := respcache.Hit; int(r) < respcache.Results; r++ {
						emit(float64(s.Results[r]), Attribute{"endpoint", s.Endpoint}, Attribute{"result", r.String()})
					}
				}
			},
		},
		{
			Name: "sluice.cache.too_large", Unit: "{answer}", Description: "Answers that were not kept because they are larger than the endpoint's max_entry_bytes.", Counter: true,
			Read: func(emit Emit) {
				for _, s := range cache.Snapshot() {
					emit(float64(s.TooLarge), Attribute{"endpoint", s.Endpoint})
				}
			},
		},
		{
			Name: "sluice.cache.errors", Unit: "{error}", Description: "Times that a store of answers could not be asked, each of which is a miss.", Counter: true,
			Read: func(emit Emit) {
				for store, n := range cache.Errors() {
					emit(float64(n), Attribute{"store", store})
				}
			},
		},
	}
	if held == nil {
		return metrics
	}
	return append(metrics,
		Metric{Name: "sluice.cache.entries", Unit: "{answer}", Description: "Answers kept in this process.", Read: func(emit Emit) { emit(float64(held.Entries())) }},
		Metric{
			Name: "sluice.cache.evictions", Unit: "{answer}", Description: "Answers kept in this process that made room for others.", Counter: true,
			Read: func(emit Emit) { emit(float64(held.Evicted())) },
		},
		Metric{Name: "sluice.cache.bytes", Unit: "By", Description: "Memory of the answers kept in this process.", Read: func(emit Emit) { emit(float64(held.Bytes())) }},
	)
}
