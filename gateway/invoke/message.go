package invoke

import (
	"context"
	"net"
	"strings"
	"time"

	"sluice/gateway/payload"
	"sluice/gateway/route"
	"sluice/tracking/mlflow"
)

// TypeMessage is the media type, in prediction records, of requests and answers that travelled by gRPC.
const TypeMessage = "application/x-protobuf"

// Message is a prediction request of the Open Inference Protocol that came by gRPC.
type Message struct {
	// Body is the ModelInferRequest as it was sent, decompressed. It is read until InferMessage returns.
	Body []byte
	// Metadata is what came with it: the headers of HTTP under lower-case names.
	Metadata map[string][]string
	// May says whether the caller has the permission.
	May func(permission string) bool
	// Buffer is memory for the answer; its content is lost.
	Buffer []byte
}

// Reply is what InferMessage answers.
type Reply struct {
	// Body is the ModelInferResponse, in Message.Buffer's memory where that sufficed; nil when the request failed.
	Body []byte
	// Headers are those of HTTP, under lower-case names.
	Headers map[string][]string
	// Err says why the request failed; nil on success.
	Err *mlflow.Error
	// RetryAfter is when it is worth asking again; 0: it is not.
	RetryAfter time.Duration
}

// InferMessage answers one request: by the same table, bounds, records and metrics as those that come by HTTP. The deadline and the end of
// ctx are the caller's.
func (h *Handler) InferMessage(ctx context.Context, m *Message) Reply {
	k := h.begin()
	defer h.release(k)
	h.admission.Begin()
	defer h.admission.End()

	k.infer = &inference{head: -1, answered: -1, message: true}
	k.asked.readMetadata(m.Metadata)
	k.text = appendUUID(k.text[:0], &k.prediction)
	id := string(k.text)
	if k.requestID = k.asked.requestID; !printable(k.requestID) {
		k.requestID = bytes8(id)
	}
	traced := h.startTrace(ctx, k)
	own := k.answer
	k.answer = m.Buffer
	err := h.run(traced, overGRPC{m}, k, func(k *call) (err error) {
		k.aim.endpoint, k.aim.version, _, err = payload.InferTarget(m.Body)
		return err
	})
	r := h.reply(k, id, err)
	h.book(traced, k)
	if r.Err == nil {
		r.Body = k.answer
	}
	k.answer = own
	return r
}

// reply makes everything of the answer but its body.
func (h *Handler) reply(k *call, id string, err error) Reply {
	r := Reply{Headers: make(map[string][]string, 8)}
	r.Headers["x-request-id"] = []string{string(k.requestID)}
	r.Headers["x-sluice-prediction-id"] = []string{id}
	k.status = 200
	if err != nil {
		refused := h.classify(k, err)
		k.err, k.status = refused.Error, refused.HTTPStatus()
		r.Err, r.RetryAfter = k.err, refused.retryAfter
	}
	k.end = h.opts.Now()
	k.headers(func(name, value []byte) { r.Headers[strings.ToLower(string(name))] = []string{string(value)} })
	return r
}

// overGRPC carries a request of gRPC, which has arrived as a whole.
type overGRPC struct{ m *Message }

func (o overGRPC) length() int { return len(o.m.Body) }

func (o overGRPC) body(*Handler, *call) ([]byte, error) { return o.m.Body, nil }

func (o overGRPC) content() (contentType, encoding []byte) { return bytes8(TypeMessage), nil }

// value finds metadata; there are no cookies and no query. A field of the body is for JSON alone.
func (o overGRPC) value(source route.Source, name string) []byte {
	if source != route.Header {
		return nil
	}
	if values := o.m.Metadata[strings.ToLower(name)]; len(values) > 0 {
		return bytes8(values[0])
	}
	return nil
}

// caller is nobody: gRPC ends the request's context.
func (o overGRPC) caller() net.Conn { return nil }

func (o overGRPC) may(_ *Handler, permission string) bool { return o.m.May(permission) }

// readMetadata is read for the metadata of gRPC.
func (a *asked) readMetadata(md map[string][]string) {
	for name, values := range md {
		if len(values) == 0 {
			continue
		}
		value := bytes8(values[0])
		ours := func(to *[]byte, header string) {
			if *to = value; len(values) > 1 {
				a.twice = header
			}
		}
		switch name {
		case "x-sluice-timeout-ms":
			ours(&a.timeoutMS, HeaderTimeout)
		case "x-sluice-sticky-key":
			ours(&a.stickyKey, HeaderStickyKey)
		case "x-sluice-priority":
			ours(&a.priority, HeaderPriority)
		case "x-request-id":
			a.requestID = value
		case "traceparent":
			if len(values) == 1 { // two are as good as none
				a.traceparent = value
			}
		case "tracestate":
			a.tracestate = value
		case "cache-control":
			for _, v := range values {
				a.cache.read(bytes8(v))
			}
		}
	}
}

// Describe tells of an endpoint what the Open Inference Protocol calls a model's metadata; version "" is that of any arm that gets traffic. It
// may wait for a version that was evicted. Errors are *mlflow.Error.
func (h *Handler) Describe(ctx context.Context, endpoint, version string) (*Description, error) {
	d, err := h.describe(ctx, endpoint, version)
	if err != nil {
		return nil, h.inferRefuse(err)
	}
	return d, nil
}

// Routed says whether an endpoint, or the version at it, would answer now; the error, a *mlflow.Error, says why not.
func (h *Handler) Routed(endpoint, version string) error {
	if _, _, err := h.find(endpoint, version); err != nil {
		return h.inferRefuse(err)
	}
	return nil
}
