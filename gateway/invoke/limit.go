package invoke

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/gateway/route"
)

// limiter enforces the rate limits of one endpoint. It outlives tables: a change of something else must not give everybody a fresh minute.
type limiter struct {
	limits []route.Limit
	all    meter
	users  sync.Map // name → *meter; names are those of keys, of which there is a bounded number
}

// meter is the generic cell rate algorithm (ITU-T I.371): the time at which everything that was allowed will have been earned.
type meter struct{ due atomic.Int64 } // ns since the epoch

// take allows one call, or says when the next one will be.
func (m *meter) take(now time.Time, perMinute int64) (wait time.Duration) {
	each := int64(time.Minute) / perMinute
	for {
		at, due := now.UnixNano(), m.due.Load()
		next := max(due, at) + each
		if over := next - at - int64(time.Minute); over > 0 {
			return time.Duration(over)
		}
		if m.due.CompareAndSwap(due, next) {
			return 0
		}
	}
}

// give takes one call back.
func (m *meter) give(perMinute int64) { m.due.Add(-int64(time.Minute) / perMinute) }

// meter finds what counts for the limit.
func (l *limiter) meter(limit route.Limit, user string) *meter {
	if !limit.ByUser {
		return &l.all
	}
	if m, ok := l.users.Load(user); ok {
		return m.(*meter)
	}
	m, _ := l.users.LoadOrStore(user, new(meter))
	return m.(*meter)
}

// take allows one call of the user, or says how long to wait. A call that one limit refuses costs nothing of another.
func (l *limiter) take(now time.Time, user string) (wait time.Duration) {
	for i, limit := range l.limits {
		if wait = l.meter(limit, user).take(now, limit.PerMinute); wait > 0 {
			for _, earlier := range l.limits[:i] {
				l.meter(earlier, user).give(earlier.PerMinute)
			}
			return wait
		}
	}
	return 0
}

// tooOften is the error of a request beyond a rate limit.
type tooOften struct {
	endpoint string
	wait     time.Duration
}

// Error implements error.
func (t *tooOften) Error() string {
	return "endpoint \"" + t.endpoint + "\" is asked more often than its rate limit allows"
}

// withinLimits counts the request against the rate limits of its endpoint.
func (h *Handler) withinLimits(from carrier, k *call) error {
	if k.arm == nil || k.arm.limiter == nil {
		return nil
	}
	user := ""
	if h.deps.Caller != nil {
		user = h.deps.Caller(from.value(route.Header, "Authorization"))
	}
	if wait := k.arm.limiter.take(k.start, user); wait > 0 {
		return &tooOften{endpoint: k.decision.Endpoint.Name, wait: wait}
	}
	return nil
}

// keepLimiter puts the limiter of the endpoint, if it has limits, into next; a new one where the limits are others. The caller holds h.mu.
func (h *Handler) keepLimiter(next map[string]*limiter, e *route.Endpoint) {
	if len(e.Limits) == 0 {
		return
	}
	l := h.limiters[e.Name]
	if l == nil || !slices.Equal(l.limits, e.Limits) {
		l = &limiter{limits: slices.Clone(e.Limits)}
	}
	next[e.Name] = l
}
