package invoke

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"sluice/gateway/respcache"
	"sluice/gateway/route"
)

// armCache is what an arm keeps of its endpoint's cache of answers.
type armCache struct {
	endpoint *respcache.Endpoint
	owner    respcache.Owner
}

// recalled is what the cache was to a call; the zero value where there is none.
type recalled struct {
	result respcache.Result
	age    time.Duration // of the answer, where nothing was executed
}

// digester is an optional power of a Handle: it names the version's files and what executes them. Answers of versions without are not kept.
type digester interface{ Digest() string }

// recall answers with what is remembered, or executes and remembers. It follows decode, and stands before the breaker: an answer that is there is
// given also while the version fails.
func (h *Handler) recall(ctx context.Context, c *call) error {
	var lead *respcache.Lead
	ok := c.cacheKey()
	key := &c.key
	switch cache := c.arm.cache.endpoint; {
	case !ok || c.asked.cache.noStore:
		c.recalled.result = respcache.Bypass
	case c.asked.cache.noCache:
		c.recalled.result, lead = respcache.Bypass, cache.Alone(key)
	default:
		found, mine, err := cache.Find(ctx, key, c.asked.cache.most(), &c.work.out)
		if err != nil {
			return err
		}
		lead = mine
		c.recalled = recalled{respcache.Miss, 0}
		if found.Result != respcache.None {
			c.recalled = recalled{found.Result, found.Age}
			return c.write()
		}
	}
	if lead == nil {
		return c.compute(ctx)
	}
	answered := false
	defer func() { // also when a step panics
		if !answered {
			lead.Fail()
		}
	}()
	if err := c.compute(ctx); err != nil {
		return err
	}
	answered = true
	c.canon = lead.Answer(ctx, &c.work.out, c.canon)
	return nil
}

// cacheKey sets the key of the answer; false where it has none.
func (c *call) cacheKey() (ok bool) {
	d, known := c.handle.(digester)
	if !known {
		return false
	}
	asked := respcache.Asked{
		Owner: c.arm.cache.owner, Endpoint: c.decision.Endpoint.Name, Digest: d.Digest(), Params: c.work.in.Params, Input: &c.work.in.Batch,
	}
	c.key, c.canon, ok = asked.Key(c.canon)
	return ok
}

// cacheControl is what a request's Cache-Control asks for (source: RFC 9111, section 5.2.1); other directives are no matter of ours.
type cacheControl struct {
	noCache bool  // execute, and remember
	noStore bool  // execute, and do not remember
	limited bool  // maxAge is set
	maxAge  int64 // s
}

// read adds the directives of one header.
func (a *cacheControl) read(value []byte) {
	for directive := range strings.SplitSeq(view8(value), ",") {
		name, argument, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch {
		case strings.EqualFold(name, "no-cache"):
			a.noCache = true
		case strings.EqualFold(name, "no-store"):
			a.noStore = true
		case strings.EqualFold(name, "max-age"):
			n, err := strconv.ParseInt(strings.Trim(argument, `"`), 10, 64)
			if err != nil || n < 0 {
				n = 0 // as stale, says the source in section 4.2.1
			}
			if !a.limited || n < a.maxAge {
				a.limited, a.maxAge = true, n
			}
		}
	}
}

// most is how old an answer may be.
func (a *cacheControl) most() time.Duration {
	if !a.limited || a.maxAge > math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(a.maxAge) * time.Second
}

// newArmCache returns what the arm keeps of its endpoint's cache; nil where it has none.
func (h *Handler) newArmCache(e *route.Endpoint, a *route.Arm) *armCache {
	if e.Cache == nil || h.deps.Answers == nil {
		return nil
	}
	settings := respcache.Settings{Store: e.Cache.Store, TTL: e.Cache.TTL, MaxEntryBytes: e.Cache.MaxEntryBytes}
	return &armCache{h.deps.Answers.Endpoint(e.Name, settings), respcache.OwnerOf(e.Name, a.Servable.Model, a.Servable.Version)}
}

// keepAnswers lets the cache free what no version of the table may be asked for again.
func (h *Handler) keepAnswers(t *route.Table) {
	if h.deps.Answers == nil {
		return
	}
	endpoints, live := map[string]bool{}, map[respcache.Owner]bool{}
	for i := range t.Endpoints() {
		e := &t.Endpoints()[i]
		if e.Cache == nil {
			continue
		}
		endpoints[e.Name] = true
		for _, a := range e.Arms {
			live[respcache.OwnerOf(e.Name, a.Servable.Model, a.Servable.Version)] = true
		}
	}
	h.deps.Answers.Keep(endpoints, func(o respcache.Owner) bool { return live[o] })
}
