package tracking

import (
	"context"

	"sluice/tracking/page"
)

// TraceStore is the part of Store about traces. Methods that take a trace id return UnknownTrace for one that is not there, and
// all return NOT_IMPLEMENTED if the database is older than MLflow 3.17's traces.
type TraceStore interface {
	TraceReader
	TraceWriter
	AssessmentStore
	TraceMetricStore
}

// TraceReader reads traces.
type TraceReader interface {
	TraceInfo(ctx context.Context, id string) (TraceInfo, error)
	// TraceInfos returns the traces that exist, in the order of ids, each once; experimentIDs narrows them unless it is nil.
	TraceInfos(ctx context.Context, ids, experimentIDs []string) ([]TraceInfo, error)
	// Traces is TraceInfos with spans, of one commit; traces whose spans are not in the store have none.
	Traces(ctx context.Context, ids, experimentIDs []string) ([]Trace, error)
	SearchTraces(ctx context.Context, q TraceSearch) (page.Found[TraceInfo], error)
}

// TraceWriter changes traces.
type TraceWriter interface {
	// StartTrace stores the head of a trace with tags, metadata and assessments, in an active experiment, and returns what
	// stands. If spans (or an earlier call) made the trace already, times, state and what is given replace what stood.
	// Returns INVALID_STATE for an archived trace.
	StartTrace(ctx context.Context, t TraceInfo) (TraceInfo, error)
	// EndTrace writes time and state of a trace, merges tags and metadata, and returns what stands. endMS is Unix milliseconds.
	EndTrace(ctx context.Context, id string, endMS int64, state TraceState, tags, metadata map[string]string) (TraceInfo, error)
	// LogSpans stores the spans of all batches, or none; a span that stands is replaced. What a batch does to the head of
	// its trace is SpanBatch.Fold's to say. Traces that do not exist are made in the experiment. Returns INVALID_STATE
	// for an archived trace.
	LogSpans(ctx context.Context, experimentID string, batches []SpanBatch) error
	// DeleteTraces deletes traces with all that belongs to them and returns how many.
	DeleteTraces(ctx context.Context, d TraceDelete) (int, error)
	SetTraceTag(ctx context.Context, id string, tag Tag) error
	// DeleteTraceTag returns RESOURCE_DOES_NOT_EXIST if the tag is not there.
	DeleteTraceTag(ctx context.Context, id, key string) error
	// LinkTraces ties traces to a run; ties that stand stay. Ids are not checked, as in MLflow.
	LinkTraces(ctx context.Context, runID string, traceIDs []string) error
	// LinkPrompts ties a trace to prompt versions, written "name/version"; ties that stand stay.
	LinkPrompts(ctx context.Context, traceID string, prompts []string) error
}

// AssessmentStore keeps assessments of traces.
type AssessmentStore interface {
	// CreateAssessment stores a and makes the one that it overrides invalid. Returns RESOURCE_DOES_NOT_EXIST if the trace or
	// the overridden assessment is not there, RESOURCE_ALREADY_EXISTS for a taken id.
	CreateAssessment(ctx context.Context, a Assessment) error
	// Assessment returns RESOURCE_DOES_NOT_EXIST if trace or assessment is not there.
	Assessment(ctx context.Context, traceID, id string) (Assessment, error)
	// EditAssessment replaces an assessment by edit(old) inside one transaction; an error of edit is returned as it is.
	EditAssessment(ctx context.Context, traceID, id string, edit func(old Assessment) (Assessment, error)) (Assessment, error)
	// DeleteAssessment deletes an assessment, if it is there, and makes the one that it overrode valid again.
	DeleteAssessment(ctx context.Context, traceID, id string) error
}
