package invoke

import (
	"context"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/gateway/outcome"
	"sluice/gateway/predlog"
	"sluice/gateway/respcache"
	"sluice/gateway/route"
	"sluice/runtime/batch"
	"sluice/runtime/tensor"
)

// UnknownEndpoint is the endpoint under which requests are counted that name none that there is: names that clients make up must not
// become series.
const UnknownEndpoint = "(unknown)"

// finish writes the answer and the books. It returns what the engine's error handler is to answer, or nil.
func (h *Handler) finish(ctx context.Context, c *fiber.Ctx, k *call, err error) error {
	k.status = fiber.StatusOK
	if t, ok := err.(*turnedAway); ok && k.infer == nil {
		k.turnAway(c, t)
	} else if err != nil {
		r := h.classify(k, err)
		k.err, k.status = r.Error, r.HTTPStatus()
		if r.retryAfter > 0 {
			k.text = strconv.AppendInt(k.text[:0], wholeSeconds(r.retryAfter), 10)
			c.Response().Header.SetBytesV(fiber.HeaderRetryAfter, k.text)
		}
	}
	answer := &c.Response().Header
	if k.err == nil {
		if k.infer == nil {
			answer.SetContentType(fiber.MIMEApplicationJSON)
		}
		c.Response().SetBody(k.answer) // a copy: k.answer is reused before the engine writes
	}
	k.end = h.opts.Now()
	k.headers(answer.SetCanonical)
	if k.infer != nil {
		k.infer.dress(c, k)
	}
	h.book(ctx, k)
	if k.err != nil && k.refused == nil {
		return k.err
	}
	return nil
}

// book counts, logs, traces and copies a call whose answer was ready at k.end.
func (h *Handler) book(ctx context.Context, k *call) {
	latency := k.end.Sub(k.start)
	h.count(k, latency)
	if k.recalled.result != respcache.None {
		k.arm.cache.endpoint.Count(k.recalled.result)
	}
	k.unsampled = k.decision.Endpoint != nil && !k.decision.Sampled(view8(k.requestID))
	h.log(k, latency)
	h.endTrace(ctx, k, k.end)
	h.mirror(k)
}

// wholeSeconds rounds up, to 1 at least.
func wholeSeconds(d time.Duration) int64 { return max(int64((d+time.Second-1)/time.Second), 1) }

// headers hands every header of the answer to set, which must keep neither name nor value.
func (k *call) headers(set func(name, value []byte)) {
	if k.arm != nil {
		set(keyEndpoint, k.arm.endpoint)
		set(keyVersion, k.arm.version)
		set(keyArm, k.arm.arm)
	}
	if k.decision.Revision > 0 {
		k.text = appendRevision(k.text[:0], &k.decision)
		set(keyRevision, k.text)
	}
	if k.fell.cause != 0 {
		if k.fell.constant {
			set(keyEndpoint, headerValue(k.decision.Endpoint.Name))
		}
		k.text = k.fell.appendText(k.text[:0])
		set(keyFallback, k.text)
	}
	if r := k.recalled; r.result != respcache.None {
		k.text = append(k.text[:0], r.result.String()...)
		set(keyCache, k.text)
		if !r.result.Executed() {
			k.text = strconv.AppendInt(k.text[:0], int64(r.age/time.Second), 10)
			set(keyAge, k.text)
		}
	}
	if !k.h.opts.HideTiming {
		k.text = appendTiming(k.text[:0], &k.timing, k.end.Sub(k.start))
		set(keyServerTiming, k.text)
	}
	if k.traced {
		k.text = appendTraceparent(k.text[:0], &k.trace)
		set(keyTraceparent, k.text)
	}
}

// appendRevision writes "412; config=7": the routing table, counted by this process, and the endpoint's configuration, 0 for an endpoint without.
func appendRevision(dst []byte, d *route.Decision) []byte {
	dst = strconv.AppendInt(dst, d.Revision, 10)
	dst = append(dst, "; config="...)
	return strconv.AppendInt(dst, d.Endpoint.ConfigVersion, 10)
}

// count records the outcome under the arm, or under the endpoint where no arm was picked.
func (h *Handler) count(k *call, latency time.Duration) {
	if h.deps.Outcomes == nil || k.replayed {
		return
	}
	if k.arm != nil {
		executed := k.recalled.result.Executed()
		s := k.arm.outcomes.record(k.status, latency, executed)
		if k.timing != (batch.Timing{}) {
			s.Executed(k.timing.Queue, k.timing.Execute, k.rows, k.timing.BatchRows)
		}
		h.example(s, k, latency)
		if executed && k.work != nil && k.err == nil && s.Watched() {
			predicted(s, &k.work.out)
		}
		return
	}
	key := outcome.Key{Endpoint: UnknownEndpoint, Code: k.status}
	if e := k.decision.Endpoint; e != nil {
		key.Endpoint = e.Name
	}
	s := h.deps.Outcomes.Series(key)
	s.Record(latency)
	h.example(s, k, latency)
}

// example makes a sampled request the example of its bucket, so that a slow bucket leads to a trace.
func (h *Handler) example(s *outcome.Series, k *call, latency time.Duration) {
	if k.span != nil && k.trace.sampled {
		s.Trace(outcome.Exemplar{Trace: k.trace.trace, Span: k.trace.span, Latency: latency, TimeMS: k.end.UnixMilli()})
	}
}

// predicted counts the first value of the first row; answers without one are left out.
func predicted(s *outcome.Series, out *tensor.Batch) {
	if len(out.Columns) == 0 {
		return
	}
	switch t := &out.Columns[0].Tensor; {
	case t.Len() == 0:
	case t.Type.Text():
		s.OutputText(t.Strings()[0])
	default:
		s.Output(t.At(0))
	}
}

// log offers the request to the prediction log, whatever became of it. Requests to an endpoint that there is not are left out: there is
// no place where they would belong.
func (h *Handler) log(k *call, latency time.Duration) {
	if h.deps.Log == nil || k.decision.Endpoint == nil || k.replayed {
		return
	}
	if k.unsampled {
		h.deps.Log.Skip(k.series())
		return
	}
	r := &k.record // empty until here, and again after release
	r.PredictionID, r.RequestID, r.Time = k.prediction, view8(k.requestID), k.start
	r.Endpoint, r.Bucket = k.decision.Endpoint.Name, -1
	r.SamplingFraction = k.decision.Endpoint.SamplingFraction
	r.Status, r.Rows = k.status, k.rows
	r.LatencyNS, r.QueueNS, r.ExecuteNS = int64(latency), int64(k.timing.Queue), int64(k.timing.Execute)
	r.ContentType, r.Request = view8(k.contentType), k.content
	if k.traced {
		r.TraceID = k.trace.trace
	}
	r.Rule = k.decision.Rule
	r.Cached = !k.recalled.result.Executed()
	if k.fell.cause != 0 {
		k.text = k.fell.appendText(append(k.text[:0], "fallback: "...))
		r.Rule = view8(k.text)
	}
	if a := k.decision.Arm; a != nil {
		r.Model, r.Version, r.Stage, r.Arm, r.Bucket = a.Servable.Model, a.Servable.Version, a.Stage, a.Name, k.decision.Bucket
	}
	switch {
	case k.err == nil:
		r.Response, r.ResponseContentType = k.answer, k.infer.answerType()
	case k.refused != nil:
		r.ErrorCode, r.Response = string(k.err.Code), k.refused
	default:
		r.ErrorCode, r.Response = string(k.err.Code), errorBody(k.err)
	}
	h.deps.Log.Record(r)
}

// series is what the call is logged under.
func (k *call) series() predlog.Series {
	s := predlog.Series{Endpoint: k.decision.Endpoint.Name}
	if a := k.decision.Arm; a != nil {
		s.Model, s.Version = a.Servable.Model, a.Servable.Version
	}
	return s
}
