package respcache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"sluice/runtime/tensor"
)

// Result is how a request to an endpoint with a cache was answered.
type Result uint8

const (
	None   Result = iota // the endpoint has no cache
	Hit                  // with what was kept
	Miss                 // by an execution
	Shared               // with the answer of an equal request that was under way
	Bypass               // by an execution, because the request asked for that or cannot be kept
)

// Results is the number of results.
const Results = int(Bypass) + 1

// String is the result in lower case.
func (r Result) String() string {
	switch r {
	case Hit:
		return "hit"
	case Miss:
		return "miss"
	case Shared:
		return "shared"
	case Bypass:
		return "bypass"
	}
	return "none"
}

// Executed says whether a version was executed for the request.
func (r Result) Executed() bool { return r != Hit && r != Shared }

// Settings are an endpoint's.
type Settings struct {
	Store         string        // a key of New's stores
	TTL           time.Duration // how long an answer may be given again, > 0
	MaxEntryBytes int           // larger answers are not kept
}

// Cache is the answers of all endpoints.
type Cache struct {
	stores  map[string]*counted
	now     func() time.Time
	flights [16]flights

	mu     sync.Mutex
	counts map[string]*counts // of endpoints; guarded by mu
}

// counted is a store with what is counted about it.
type counted struct {
	Store
	errors atomic.Uint64
}

// counts of one endpoint; they outlive its settings.
type counts struct {
	results [Results]atomic.Uint64
	large   atomic.Uint64
}

// New returns a cache over the stores, by name; Close closes them. now nil: time.Now.
func New(stores map[string]Store, now func() time.Time) *Cache {
	c := &Cache{stores: make(map[string]*counted, len(stores)), now: now, counts: map[string]*counts{}}
	if now == nil {
		c.now = time.Now
	}
	for name, s := range stores {
		c.stores[name] = &counted{Store: s}
	}
	return c
}

// Close closes the stores. Nothing must be under way.
func (c *Cache) Close() error {
	var first error
	for _, s := range c.stores {
		if err := s.Close(); first == nil {
			first = err
		}
	}
	return first
}

// Keep frees what is kept for owners for which live answers false, where the store can, and forgets the counts of endpoints other than those
// named. live must not block.
func (c *Cache) Keep(endpoints map[string]bool, live func(Owner) bool) {
	c.mu.Lock()
	for name := range c.counts {
		if !endpoints[name] {
			delete(c.counts, name)
		}
	}
	c.mu.Unlock()
	for _, s := range c.stores {
		if k, ok := s.Store.(Keeper); ok {
			k.Keep(live)
		}
	}
}

// Endpoint is the cache of one endpoint.
type Endpoint struct {
	cache    *Cache
	settings Settings
	store    *counted // nil: there is none of that name here; nothing is kept
	counts   *counts
}

// Endpoint returns the cache of the endpoint of the name, with its counts as they are. A store that is not there leaves equal requests that come
// together answered by one execution, and nothing else.
func (c *Cache) Endpoint(name string, s Settings) *Endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[name] == nil {
		c.counts[name] = new(counts)
	}
	return &Endpoint{cache: c, settings: s, store: c.stores[s.Store], counts: c.counts[name]}
}

// Count counts a request, once.
func (e *Endpoint) Count(r Result) { e.counts.results[r].Add(1) }

// Found is an answer that somebody else computed.
type Found struct {
	Result Result        // Hit or Shared; None if there is no answer
	Age    time.Duration // since it was computed
}

// Find looks for the answer to k, not older than maxAge or the endpoint's TTL, and fills out with it. If there is none, the caller computes it:
// it must end the Lead that it gets, also if it fails. Find waits for an equal request that is under way, until ctx ends.
//
// Errors: ctx's.
func (e *Endpoint) Find(ctx context.Context, k *Key, maxAge time.Duration, out *tensor.Batch) (Found, *Lead, error) {
	maxAge = min(maxAge, e.settings.TTL)
	if e.store != nil && e.store.Near() {
		if found := e.kept(ctx, k, maxAge, out); found.Result == Hit {
			return found, nil, nil
		}
	}
	const leaders = 2 // that are waited for
	for range leaders {
		fl, leads := e.flights(k).join(k)
		if leads {
			return e.lead(ctx, k, fl, maxAge, out)
		}
		select {
		case <-fl.done:
		case <-ctx.Done():
			return Found{}, nil, ctx.Err()
		}
		if age, ok := e.read(fl.value, k, maxAge, out); ok {
			return Found{Shared, age}, nil, nil
		}
	}
	return Found{}, e.Alone(k), nil
}

// lead looks once more, now that nobody else does: the leader before may have kept its answer meanwhile.
func (e *Endpoint) lead(ctx context.Context, k *Key, fl *flight, maxAge time.Duration, out *tensor.Batch) (Found, *Lead, error) {
	lead := &Lead{endpoint: e, key: *k, flight: fl}
	found, value := e.look(ctx, k, maxAge, out)
	if found.Result != Hit {
		return Found{}, lead, nil
	}
	lead.close(func() string { return value })
	return found, nil, nil
}

func (e *Endpoint) kept(ctx context.Context, k *Key, maxAge time.Duration, out *tensor.Batch) Found {
	found, _ := e.look(ctx, k, maxAge, out)
	return found
}

// look asks the store.
func (e *Endpoint) look(ctx context.Context, k *Key, maxAge time.Duration, out *tensor.Batch) (Found, string) {
	if e.store == nil {
		return Found{}, ""
	}
	value, err := e.store.Get(ctx, k)
	if err != nil {
		e.store.errors.Add(1)
		return Found{}, ""
	}
	age, ok := e.read(value, k, maxAge, out)
	if !ok {
		return Found{}, ""
	}
	return Found{Hit, age}, value
}

// read fills out with the answer of a value, if it is one of k and no older than maxAge.
func (e *Endpoint) read(value string, k *Key, maxAge time.Duration, out *tensor.Batch) (age time.Duration, ok bool) {
	at, ok := computed(value, k)
	if !ok {
		return 0, false
	}
	age = max(e.cache.now().Truncate(time.Millisecond).Sub(at), 0) // at is in ms
	return age, age <= maxAge && readAnswer(value, out) == nil
}

func (e *Endpoint) flights(k *Key) *flights {
	return &e.cache.flights[k.Sum[0]%byte(len(e.cache.flights))]
}

// Alone is a Lead that nobody waits for.
func (e *Endpoint) Alone(k *Key) *Lead { return &Lead{endpoint: e, key: *k} }

// Lead is the duty to compute an answer. It is ended once, by Answer or Fail, and belongs to one goroutine.
type Lead struct {
	endpoint *Endpoint
	key      Key
	flight   *flight // nil: nobody waits
}

// Fail ends the lead without an answer; one of those who wait takes over.
func (l *Lead) Fail() { l.close(func() string { return "" }) }

// Answer ends the lead: those who wait get the answer, and it is kept unless it is too large. It returns scratch grown.
func (l *Lead) Answer(ctx context.Context, answer *tensor.Batch, scratch []byte) (grown []byte) {
	e, value := l.endpoint, ""
	encode := func() string {
		if value == "" {
			scratch = appendValue(scratch[:0], &l.key, e.cache.now(), answer)
			value = string(scratch)
		}
		return value
	}
	switch {
	case e.store == nil:
	case sizeOf(answer) > e.settings.MaxEntryBytes:
		e.counts.large.Add(1)
	default:
		if err := e.store.Put(ctx, &l.key, encode(), e.settings.TTL); err != nil {
			e.store.errors.Add(1)
		}
	}
	l.close(encode)
	return scratch
}

func (l *Lead) close(value func() string) {
	if l.flight != nil {
		l.endpoint.flights(&l.key).end(&l.key, l.flight, value)
	}
}
