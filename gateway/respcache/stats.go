package respcache

import (
	"cmp"
	"slices"
)

// Series is what was counted of one endpoint.
type Series struct {
	Endpoint string
	Results  [Results]uint64 // requests, by Result
	TooLarge uint64          // answers that were not kept for their size
}

// Snapshot reads the counts of all endpoints with a cache, sorted by name.
func (c *Cache) Snapshot() []Series {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Series, 0, len(c.counts))
	for name, n := range c.counts {
		s := Series{Endpoint: name, TooLarge: n.large.Load()}
		for r := range s.Results {
			s.Results[r] = n.results[r].Load()
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Series) int { return cmp.Compare(a.Endpoint, b.Endpoint) })
	return out
}

// Errors is how often each store could not be asked.
func (c *Cache) Errors() map[string]uint64 {
	out := make(map[string]uint64, len(c.stores))
	for name, s := range c.stores {
		out[name] = s.errors.Load()
	}
	return out
}
