package rest

import (
	"context"
	"fmt"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// traceRoutes are the calls of MLflow 3; those with a word stand before those with an id in the same place.
func (a *API) traceRoutes() []wire.Route {
	v3 := func(method, path string, perm wire.Permission, audit string, h fiber.Handler) []wire.Route {
		return wire.API("3.0", method, path, perm, audit, h)
	}
	return rows(
		v3(fiber.MethodPost, "/traces", wire.Write, "tracking.trace.start", call(a, a.startTrace)),
		v3(fiber.MethodPost, "/traces/search", wire.Read, "tracking.trace.search", call(a, a.searchTraces)),
		v3(fiber.MethodPost, "/traces/batchGetInfos", wire.Read, "tracking.trace.get", call(a, a.batchTraceInfos)),
		v3(fiber.MethodPost, "/traces/delete-traces", wire.Write, "tracking.trace.delete", call(a, a.deleteTraces)),
		v3(fiber.MethodGet, "/traces/get", wire.Read, "tracking.trace.get", call(a, a.getTrace)),
		v3(fiber.MethodGet, "/traces/batchGet", wire.Read, "tracking.trace.get", call(a, a.batchTraces)),
		v3(fiber.MethodGet, "/traces/:id", wire.Read, "tracking.trace.get", callID(a, "id", a.getTraceInfo)),
		v3(fiber.MethodPatch, "/traces/:id/tags", wire.Write, "tracking.trace.tag", callID(a, "id", a.setTraceTag)),
		v3(fiber.MethodDelete, "/traces/:id/tags", wire.Write, "tracking.trace.untag", callID(a, "id", a.deleteTraceTag)),
		patch("/traces/:id/tags", "tracking.trace.tag", callID(a, "id", a.setTraceTag)),
		remove("/traces/:id/tags", "tracking.trace.untag", callID(a, "id", a.deleteTraceTag)),
		post("/traces/delete-traces", "tracking.trace.delete", call(a, a.deleteTraces)),
		post("/traces/link-to-run", "tracking.trace.link", call(a, a.linkTraces)),
		post("/traces/link-prompts", "tracking.trace.link", call(a, a.linkPrompts)),
	)
}

type traceAnswer struct {
	Trace traceJSON `json:"trace"`
}

// traceJSON is the message Trace.
type traceJSON struct {
	Info  traceInfoJSON `json:"trace_info"`
	Spans []spanJSON    `json:"spans,omitempty"`
}

type startTraceRequest struct {
	Trace *struct {
		Info traceInfoJSON `json:"trace_info"`
	} `json:"trace" wire:"required"`
}

func (a *API) startTrace(ctx context.Context, q *startTraceRequest) (any, error) {
	in, err := q.Trace.Info.trace()
	if err != nil {
		return nil, err
	}
	t, err := a.tracking.StartTrace(ctx, in)
	return traceAnswer{traceJSON{Info: fromTrace(t)}}, err
}

func (a *API) getTraceInfo(ctx context.Context, id string, _ *struct{}) (any, error) {
	t, err := a.tracking.TraceInfo(ctx, id)
	return traceAnswer{traceJSON{Info: fromTrace(t)}}, err
}

type getTraceRequest struct {
	ID      string `json:"trace_id" wire:"required"`
	Partial bool   `json:"allow_partial"`
}

func (a *API) getTrace(ctx context.Context, q *getTraceRequest) (any, error) {
	t, err := a.tracking.Trace(ctx, q.ID, q.Partial)
	return traceAnswer{fromFullTrace(t)}, err
}

func fromFullTrace(t tracking.Trace) traceJSON {
	j := traceJSON{Info: fromTrace(t.Info)}
	for _, s := range t.Spans {
		j.Spans = append(j.Spans, fromSpan(s))
	}
	return j
}

// batchRequest names traces; no experiments at all means all of them, an empty list none.
type batchRequest struct {
	IDs           []string `json:"trace_ids" wire:"required"`
	ExperimentIDs []string `json:"experiment_ids"`
}

type tracesAnswer struct {
	Traces []traceJSON `json:"traces,omitempty"`
}

func (a *API) batchTraces(ctx context.Context, q *batchRequest) (any, error) {
	found, err := a.tracking.Traces(ctx, q.IDs, q.ExperimentIDs)
	var answer tracesAnswer
	for _, t := range found {
		answer.Traces = append(answer.Traces, fromFullTrace(t))
	}
	return answer, err
}

type traceInfosAnswer struct {
	Infos []traceInfoJSON `json:"trace_infos,omitempty"`
}

func (a *API) batchTraceInfos(ctx context.Context, q *batchRequest) (any, error) {
	found, err := a.tracking.TraceInfos(ctx, q.IDs, q.ExperimentIDs)
	return traceInfosAnswer{fromTraces(found)}, err
}

type searchTracesRequest struct {
	Locations  []traceLocation `json:"locations" wire:"required"`
	Filter     string          `json:"filter"`
	MaxResults *int32          `json:"max_results"`
	OrderBy    []string        `json:"order_by"`
	PageToken  string          `json:"page_token"`
}

type searchTracesAnswer struct {
	Traces        []traceInfoJSON `json:"traces,omitempty"`
	NextPageToken string          `json:"next_page_token,omitempty"`
}

func (a *API) searchTraces(ctx context.Context, q *searchTracesRequest) (any, error) {
	size, err := tracePage(q.MaxResults)
	if err != nil {
		return nil, err
	}
	query := tracking.TraceQuery{Filter: q.Filter, OrderBy: q.OrderBy, MaxResults: size, PageToken: q.PageToken}
	for _, l := range q.Locations {
		if id := l.experimentID(); id != "" || l.Experiment != nil {
			query.ExperimentIDs = append(query.ExperimentIDs, id)
		}
	}
	page, err := a.tracking.SearchTraces(ctx, query)
	return searchTracesAnswer{fromTraces(page.Traces), page.NextPageToken}, err
}

// tracePage returns the size of a page of traces.
func tracePage(asked *int32) (int, error) {
	if asked == nil {
		return tracking.SearchTracesDef, nil
	}
	if *asked > tracking.SearchTracesMax {
		return 0, wire.Invalid("max_results", *asked)
	}
	return int(*asked), nil
}

type deleteTracesRequest struct {
	ExperimentID string   `json:"experiment_id" wire:"required"`
	MaxTimeMS    *int64   `json:"max_timestamp_millis"`
	MaxTraces    *int32   `json:"max_traces"`
	IDs          []string `json:"request_ids"`
}

type deleteTracesAnswer struct {
	Deleted int `json:"traces_deleted"`
}

func (a *API) deleteTraces(ctx context.Context, q *deleteTracesRequest) (any, error) {
	var limit *int
	if q.MaxTraces != nil {
		n := int(*q.MaxTraces)
		limit = &n
	}
	n, err := a.tracking.DeleteTraces(ctx, q.ExperimentID, q.IDs, q.MaxTimeMS, limit)
	return deleteTracesAnswer{n}, err
}

type traceTagRequest struct {
	Key   string `json:"key" wire:"required"`
	Value string `json:"value"`
}

func (a *API) setTraceTag(ctx context.Context, id string, q *traceTagRequest) (any, error) {
	return done(a.tracking.SetTraceTag(ctx, id, tracking.Tag{Key: q.Key, Value: q.Value}))
}

func (a *API) deleteTraceTag(ctx context.Context, id string, q *traceTagRequest) (any, error) {
	return done(a.tracking.DeleteTraceTag(ctx, id, q.Key))
}

type linkTracesRequest struct {
	IDs   []string `json:"trace_ids" wire:"required"`
	RunID string   `json:"run_id" wire:"required"`
}

func (a *API) linkTraces(ctx context.Context, q *linkTracesRequest) (any, error) {
	return done(a.tracking.LinkTraces(ctx, q.RunID, q.IDs))
}

type linkPromptsRequest struct {
	TraceID string `json:"trace_id" wire:"required"`
	Prompts []struct {
		Name    string `json:"name" wire:"required"`
		Version string `json:"version" wire:"required"`
	} `json:"prompt_versions" wire:"required"`
}

func (a *API) linkPrompts(ctx context.Context, q *linkPromptsRequest) (any, error) {
	prompts := make([]tracking.PromptVersion, len(q.Prompts))
	for i, p := range q.Prompts {
		if _, err := strconv.ParseUint(p.Version, 10, 31); err != nil {
			return nil, wire.Invalid(fmt.Sprintf("prompt_versions[%d].version", i), p.Version)
		}
		prompts[i] = tracking.PromptVersion(p)
	}
	return done(a.tracking.LinkPrompts(ctx, q.TraceID, prompts))
}

// Calls of clients before MLflow 3.

func (a *API) traceV2Routes() []wire.Route {
	return rows(
		post("/traces", "tracking.trace.start", call(a, a.startTraceV2)),
		get("/traces", "tracking.trace.search", call(a, a.searchTracesV2)),
		patch("/traces/:id", "tracking.trace.end", callID(a, "id", a.endTraceV2)),
		get("/traces/:id/info", "tracking.trace.get", callID(a, "id", a.getTraceV2)),
	)
}

// traceV2JSON is the message TraceInfo.
type traceV2JSON struct {
	ID           string    `json:"request_id"`
	ExperimentID string    `json:"experiment_id"`
	TimeMS       int64     `json:"timestamp_ms"`
	DurationMS   int64     `json:"execution_time_ms"`
	Status       string    `json:"status"`
	Metadata     []tagJSON `json:"request_metadata,omitempty"`
	Tags         []tagJSON `json:"tags,omitempty"`
}

func fromTraceV2(t tracking.TraceInfo) traceV2JSON {
	j := traceV2JSON{
		ID: t.ID, ExperimentID: t.ExperimentID, TimeMS: t.RequestTimeMS, Status: string(t.State),
		Metadata: sortedPairs(shown(t.Metadata, maxShownMetadata)), Tags: sortedPairs(shown(t.Tags, maxShownTag)),
	}
	if t.DurationMS != nil {
		j.DurationMS = *t.DurationMS
	}
	if t.State == tracking.TraceStateUnspecified {
		j.Status = unspecifiedV2
	}
	return j
}

const unspecifiedV2 = "TRACE_STATUS_UNSPECIFIED"

type startTraceV2Request struct {
	ExperimentID string    `json:"experiment_id"`
	TimeMS       int64     `json:"timestamp_ms"`
	Metadata     []tagJSON `json:"request_metadata"`
	Tags         []tagJSON `json:"tags"`
}

type traceV2Answer struct {
	Info traceV2JSON `json:"trace_info"`
}

func (a *API) startTraceV2(ctx context.Context, q *startTraceV2Request) (any, error) {
	t, err := a.tracking.StartTraceV2(ctx, q.ExperimentID, q.TimeMS, pairMap(q.Tags), pairMap(q.Metadata))
	return traceV2Answer{fromTraceV2(t)}, err
}

type endTraceV2Request struct {
	TimeMS   int64     `json:"timestamp_ms"`
	Status   string    `json:"status" enum:"OK,ERROR,IN_PROGRESS,TRACE_STATUS_UNSPECIFIED"`
	Metadata []tagJSON `json:"request_metadata"`
	Tags     []tagJSON `json:"tags"`
}

func (a *API) endTraceV2(ctx context.Context, id string, q *endTraceV2Request) (any, error) {
	if q.Status == "" || q.Status == unspecifiedV2 {
		return nil, mlflow.Invalidf("Missing value for required parameter 'status': a trace ends OK or with an ERROR.")
	}
	t, err := a.tracking.EndTraceV2(ctx, id, q.TimeMS, tracking.TraceState(q.Status), pairMap(q.Tags), pairMap(q.Metadata))
	return traceV2Answer{fromTraceV2(t)}, err
}

func (a *API) getTraceV2(ctx context.Context, id string, _ *struct{}) (any, error) {
	t, err := a.tracking.TraceInfo(ctx, id)
	return traceV2Answer{fromTraceV2(t)}, err
}

type searchTracesV2Request struct {
	ExperimentIDs []string `json:"experiment_ids" wire:"required"`
	Filter        string   `json:"filter"`
	MaxResults    *int32   `json:"max_results"`
	OrderBy       []string `json:"order_by"`
	PageToken     string   `json:"page_token"`
}

type searchTracesV2Answer struct {
	Traces        []traceV2JSON `json:"traces,omitempty"`
	NextPageToken string        `json:"next_page_token,omitempty"`
}

func (a *API) searchTracesV2(ctx context.Context, q *searchTracesV2Request) (any, error) {
	size, err := tracePage(q.MaxResults)
	if err != nil {
		return nil, err
	}
	page, err := a.tracking.SearchTraces(ctx, tracking.TraceQuery{
		ExperimentIDs: q.ExperimentIDs, Filter: q.Filter, OrderBy: q.OrderBy, MaxResults: size, PageToken: q.PageToken,
	})
	answer := searchTracesV2Answer{NextPageToken: page.NextPageToken}
	for _, t := range page.Traces {
		answer.Traces = append(answer.Traces, fromTraceV2(t))
	}
	return answer, err
}
