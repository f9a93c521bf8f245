package tracking

import (
	"encoding/json"

	"sluice/tracking/filter"
	"sluice/tracking/page"
)

// Tags of traces that the server itself reads or writes (source: mlflow/tracing/constant.py, MLflow 3.17).
const (
	TraceNameTag       = "mlflow.traceName"
	TraceArtifactTag   = "mlflow.artifactLocation"      // where clients before 3.5 put the spans, and all put attachments
	SpansLocationTag   = "mlflow.trace.spansLocation"   // SpansInStore once the spans are in the store
	ArchiveLocationTag = "mlflow.trace.archiveLocation" // written by MLflow's archival only
	ArchivalFailureTag = "mlflow.trace.archivalFailure" // written by MLflow's archival only
	LinkedPromptsTag   = "mlflow.linkedPrompts"         // a name of the search language; links stand in the store
	SpansInStore       = "TRACKING_STORE"
)

// Metadata of traces that the server itself reads or writes (source: mlflow/tracing/constant.py).
const (
	TraceFinalizedKey = "mlflow.trace.infoFinalized" // the trace has been started or ended by its client, not only by spans
	TraceSessionKey   = "mlflow.trace.session"
	TraceUserKey      = "mlflow.trace.user"
	TraceTokensKey    = "mlflow.trace.tokenUsage" // JSON, see TokenKeys
	TraceCostKey      = "mlflow.trace.cost"       // JSON, see CostKeys; US dollars
	TraceSizeStatsKey = "mlflow.trace.sizeStats"  // JSON with num_spans
	SourceRunKey      = "mlflow.sourceRun"
)

// TokenKeys are the members of TraceTokensKey in MLflow's order; the first three are always there together.
var TokenKeys = []string{
	"input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
	"cache_creation_input_tokens_above_1hr",
}

// CostKeys are the members of TraceCostKey in MLflow's order.
var CostKeys = []string{"input_cost", "output_cost", "total_cost"}

// TraceState is the state of a trace in MLflow's spelling.
type TraceState string

// The states of a trace.
const (
	TraceStateUnspecified TraceState = "STATE_UNSPECIFIED"
	TraceOK               TraceState = "OK"
	TraceError            TraceState = "ERROR"
	TraceInProgress       TraceState = "IN_PROGRESS"
)

// Trace is one request's way through an application: its head and its spans, root first, then by start.
type Trace struct {
	Info  TraceInfo
	Spans []Span
}

// TraceInfo is the head of a trace.
type TraceInfo struct {
	ID              string // at most 50 characters; "tr-" and 32 hexadecimal digits if spans made it
	ExperimentID    string
	RequestTimeMS   int64  // Unix time, milliseconds
	DurationMS      *int64 // milliseconds; nil while the trace is in progress
	State           TraceState
	ClientRequestID string // "" means none
	RequestPreview  string // at most MaxTracePreview characters; "" means none
	ResponsePreview string // likewise
	Tags            map[string]string
	Metadata        map[string]string
	Assessments     []Assessment // by creation, then id
}

// Limits of traces, in characters (source: mlflow/utils/validation.py, mlflow/tracing/constant.py and the columns' widths).
const (
	MaxTraceID       = 50
	MaxTracePreview  = 1000
	MaxTraceKey      = 250
	MaxTraceValue    = 8000
	MaxTraceLinks    = 100    // traces in one link-to-run
	SearchTracesMax  = 500    // traces on one page, through REST
	SearchTracesDef  = 100    // traces on one page if the request does not say
	MaxTraceBatch    = 10_000 // ids in one batch read; ours
	MaxAssessmentKey = 250
)

// Span is one step of a trace.
type Span struct {
	TraceID       string // of the trace that it belongs to
	ID            string // 16 hexadecimal digits
	ParentID      string // 16 hexadecimal digits; "" for a root
	Name          string
	StartNS       int64 // Unix time, nanoseconds
	EndNS         int64 // Unix time, nanoseconds; 0 while the span is in progress
	Status        SpanStatus
	StatusMessage string
	Attributes    []SpanAttribute
	Events        []SpanEvent
	Links         []SpanLink
}

// SpanStatus is the outcome of a span.
type SpanStatus string

// The outcomes of a span (source: mlflow/entities/span_status.py).
const (
	SpanUnset SpanStatus = "UNSET"
	SpanOK    SpanStatus = "OK"
	SpanError SpanStatus = "ERROR"
)

// SpanAttribute is one attribute; Value is JSON text as Python's json module writes it.
type SpanAttribute struct{ Key, Value string }

// SpanEvent is something that happened during a span.
type SpanEvent struct {
	Name       string
	TimeNS     int64 // Unix time, nanoseconds
	Attributes []SpanAttribute
}

// SpanLink points from a span to another one, of this trace or another.
type SpanLink struct {
	TraceID    string // "tr-" and 32 hexadecimal digits
	SpanID     string // 16 hexadecimal digits
	Attributes []SpanAttribute
}

// Attribute returns the JSON text of an attribute, "" if the span has none of that name.
func (s Span) Attribute(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// Text returns an attribute that is a JSON text, unquoted; any other JSON comes as it is.
func (s Span) Text(key string) string {
	raw := s.Attribute(key)
	var text string
	if json.Unmarshal([]byte(raw), &text) == nil {
		return text
	}
	return raw
}

// Attributes of spans that the server itself reads (source: SpanAttributeKey in mlflow/tracing/constant.py).
const (
	SpanRequestIDKey = "mlflow.traceRequestId"
	SpanTypeKey      = "mlflow.spanType"
	SpanInputsKey    = "mlflow.spanInputs"
	SpanOutputsKey   = "mlflow.spanOutputs"
	SpanTokensKey    = "mlflow.chat.tokenUsage"
	SpanCostKey      = "mlflow.llm.cost"
	SpanModelKey     = "mlflow.llm.model"
	SpanProviderKey  = "mlflow.llm.provider"
	spanTraceTag     = "mlflow.traceTag." // prefix of attributes of a root that become tags of the trace
)

// SpanSource is the spans of one producer; Resource describes it and becomes tags of the traces.
type SpanSource struct {
	Resource []SpanAttribute
	Spans    []Span
}

// SpanBatch is the spans that arrived together for one trace.
type SpanBatch struct {
	TraceID string
	Spans   []Span // at least one
	// Resource describes the producer of the first span that has a description.
	Resource []SpanAttribute
	// ArtifactLocation is the trace's, should the trace not exist yet.
	ArtifactLocation string
}

// TraceQuery asks for one page of traces.
type TraceQuery struct {
	ExperimentIDs []string // empty finds nothing
	Filter        string
	OrderBy       []string // timestamp DESC, request_id is always added behind
	MaxResults    int      // 1 … SearchRunsMax
	PageToken     string   // "" means the first page
}

// TracePage is one page of traces, without spans; NextPageToken is "" on the last.
type TracePage struct {
	Traces        []TraceInfo
	NextPageToken string
}

// TraceSearch is a TraceQuery as a Store gets it: parsed, with the place that the page before ended at.
type TraceSearch struct {
	ExperimentIDs []string // never empty
	Filter        filter.Expr
	Order         []filter.Order // each field at most once; stores add timestamp DESC, request_id
	After         page.Place     // nil: from the beginning
	Limit         int            // rows of the page, ≥ 1
}

// TraceDelete says which traces of an experiment go: those of IDs, or the oldest up to MaxTimeMS.
type TraceDelete struct {
	ExperimentID string
	IDs          []string // empty: by time
	MaxTimeMS    int64    // Unix milliseconds, inclusive; counts if IDs is empty
	Limit        int      // 0 means all
}
