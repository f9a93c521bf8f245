package breaker

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Status is a breaker's state, for metrics and the API.
type Status struct {
	Key
	State State
}

// Group holds the breakers of the published arms.
type Group struct {
	opts Options

	mu       sync.Mutex
	breakers map[Key]*Breaker // guarded by mu
}

// NewGroup returns an empty group; opts may be nil.
func NewGroup(opts *Options) *Group {
	return &Group{opts: opts.withDefaults(), breakers: make(map[Key]*Breaker)}
}

// Keep makes the group hold exactly the keys: breakers of keys that it held already keep their state, new keys start closed, all others
// are forgotten. It returns the breakers in the order of keys; equal keys share one.
func (g *Group) Keep(keys []Key) []*Breaker {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := make(map[Key]*Breaker, len(keys))
	out := make([]*Breaker, len(keys))
	for i, k := range keys {
		b := next[k]
		if b == nil {
			b = g.breakers[k]
		}
		if b == nil {
			b = newBreaker(k, &g.opts)
		}
		next[k], out[i] = b, b
	}
	g.breakers = next
	return out
}

// States returns the state of every breaker, sorted by endpoint, model and version.
func (g *Group) States() []Status {
	g.mu.Lock()
	held := make([]*Breaker, 0, len(g.breakers))
	for _, b := range g.breakers {
		held = append(held, b)
	}
	g.mu.Unlock() // a breaker's own lock is never taken under the group's
	out := make([]Status, len(held))
	for i, b := range held {
		out[i] = Status{Key: b.key, State: b.State()}
	}
	slices.SortFunc(out, func(a, b Status) int {
		return cmp.Or(
			strings.Compare(a.Endpoint, b.Endpoint),
			strings.Compare(a.Servable.Model, b.Servable.Model),
			cmp.Compare(a.Servable.Version, b.Servable.Version),
		)
	})
	return out
}

// RetryAfter is how long a caller that got ErrOpen should wait.
func (g *Group) RetryAfter() time.Duration { return g.opts.OpenFor }
