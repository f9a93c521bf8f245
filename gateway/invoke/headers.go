package invoke

import (
	"time"

	"github.com/valyala/fasthttp"

	"sluice/gateway/admit"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// The headers that requests and answers carry, in canonical form.
const (
	HeaderEndpoint     = "X-Sluice-Endpoint"      // request: chooses at /invocations; answer: who answered
	HeaderVersion      = "X-Sluice-Model-Version" // answer
	HeaderArm          = "X-Sluice-Arm"           // answer
	HeaderPrediction   = "X-Sluice-Prediction-Id" // answer: UUIDv7, ours, one per request
	HeaderRequestID    = wire.HeaderRequestID     // both: the client's, or ours
	HeaderTimeout      = "X-Sluice-Timeout-Ms"    // request: lowers the endpoint's deadline
	HeaderPriority     = "X-Sluice-Priority"      // request: interactive (default), batch or shadow; the last are turned away first under overload
	HeaderStickyKey    = "X-Sluice-Sticky-Key"    // request: the same key gets the same arm
	HeaderReplay       = "X-Sluice-Replay"        // request: 1 says that it is a recorded one
	HeaderTraceparent  = "Traceparent"            // both
	HeaderTracestate   = "Tracestate"             // request
	HeaderServerTiming = "Server-Timing"          // answer
	HeaderRevision     = "X-Sluice-Revision"      // answer: the routing table that decided, and the endpoint's configuration in it
	HeaderFallback     = "X-Sluice-Fallback"      // answer: which arm did not answer itself, and why
	HeaderCache        = "X-Sluice-Cache"         // answer, of endpoints with a cache: hit, miss, shared or bypass
	HeaderAge          = "Age"                    // answer that was not computed for this request: since it was, in seconds
	HeaderCacheControl = "Cache-Control"          // request: no-cache, no-store and max-age go past the cache
)

// The same for the engine, which would otherwise normalize them on every request. Read only.
var (
	keyEndpoint     = []byte(HeaderEndpoint)
	keyVersion      = []byte(HeaderVersion)
	keyArm          = []byte(HeaderArm)
	keyPrediction   = []byte(HeaderPrediction)
	keyRequestID    = []byte(HeaderRequestID)
	keyTraceparent  = []byte(HeaderTraceparent)
	keyServerTiming = []byte(HeaderServerTiming)
	keyRevision     = []byte(HeaderRevision)
	keyFallback     = []byte(HeaderFallback)
	keyCache        = []byte(HeaderCache)
	keyAge          = []byte(HeaderAge)
)

// asked is what a request's headers ask for. The slices alias the engine's memory.
type asked struct {
	endpoint, timeoutMS, stickyKey, priority []byte
	replay                                   []byte // nil: it has none
	requestID, traceparent, tracestate       []byte
	// twice is the name of a header of ours that stands more than once; "" if none does.
	twice string
	cache cacheControl
	seen  uint8 // which of ours stood already
	trace uint8 // how often traceparent stood
}

// The headers of ours, as bits of asked.seen.
const (
	sawEndpoint = 1 << iota
	sawTimeout
	sawStickyKey
	sawPriority
	sawReplay
)

// read takes what it knows from the headers, in one pass; the engine has put their names into canonical form.
func (a *asked) read(h *fasthttp.RequestHeader) {
	for name, value := range h.All() {
		switch string(name) { // no allocation
		case HeaderEndpoint:
			a.endpoint = a.first(sawEndpoint, HeaderEndpoint, value)
		case HeaderTimeout:
			a.timeoutMS = a.first(sawTimeout, HeaderTimeout, value)
		case HeaderStickyKey:
			a.stickyKey = a.first(sawStickyKey, HeaderStickyKey, value)
		case HeaderPriority:
			a.priority = a.first(sawPriority, HeaderPriority, value)
		case HeaderReplay:
			a.replay = a.first(sawReplay, HeaderReplay, value)
		case HeaderRequestID:
			a.requestID = value
		case HeaderTraceparent:
			if a.trace++; a.trace > 1 {
				value = nil // two are as good as none (W3C Trace Context, section 3.2)
			}
			a.traceparent = value
		case HeaderTracestate:
			a.tracestate = value
		case HeaderCacheControl:
			a.cache.read(value)
		}
	}
}

// first notes that a header of ours stands, or stands again: two servers may each believe another one of the two.
func (a *asked) first(bit uint8, name string, value []byte) []byte {
	if a.seen&bit != 0 {
		a.twice = name
	}
	a.seen |= bit
	return value
}

// once refuses a request that has a header of ours twice.
func (a *asked) once() error {
	if a.twice != "" {
		return mlflow.Invalidf("the header %s stands more than once", a.twice)
	}
	return nil
}

// limits reads the class into k and returns the timeout.
func (a *asked) limits(k *call) (timeout time.Duration, err error) {
	if timeout, err = a.timeout(); err != nil {
		return 0, err
	}
	k.class, err = a.class()
	return timeout, err
}

// timeout is what the request lowers its deadline to; 0 where it does not.
func (a *asked) timeout() (time.Duration, error) {
	if len(a.timeoutMS) == 0 {
		return 0, nil
	}
	d, ok := timeoutMS(a.timeoutMS)
	if !ok {
		return 0, mlflow.Invalidf("the header %s is not a positive number of milliseconds, at most a day's", HeaderTimeout)
	}
	return d, nil
}

// class is the request's priority.
func (a *asked) class() (admit.Class, error) {
	class, ok := admit.ParseClass(a.priority)
	if !ok {
		return 0, mlflow.Invalidf("the header %s is not interactive, batch or shadow", HeaderPriority)
	}
	return class, nil
}
