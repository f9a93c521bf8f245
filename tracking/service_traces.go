package tracking

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// StartTrace stores the head of a trace that its client began or ended, with its id, tags, metadata and assessments, and returns
// what stands. If spans came first, the client's word replaces what they told. Returns RESOURCE_DOES_NOT_EXIST or
// INVALID_PARAMETER_VALUE for an experiment that is not there or not active.
func (s *Service) StartTrace(ctx context.Context, t TraceInfo) (TraceInfo, error) {
	if t.ID == "" {
		return TraceInfo{}, mlflow.MissingValue("trace_id")
	}
	e, err := s.store.Experiment(ctx, t.ExperimentID)
	if err != nil {
		return TraceInfo{}, err
	}
	if err := checkTrace(t); err != nil {
		return TraceInfo{}, err
	}
	t.ExperimentID = e.ID
	t.Tags, t.Metadata = fitPairs(t.Tags), fitPairs(t.Metadata)
	t.Tags[TraceArtifactTag] = traceArtifacts(e, t.ID)
	t.Metadata[TraceFinalizedKey] = "true"
	t.RequestPreview, t.ResponsePreview = mlflow.Truncate(t.RequestPreview, MaxTracePreview), mlflow.Truncate(t.ResponsePreview, MaxTracePreview)
	list := make([]Assessment, len(t.Assessments))
	for i, a := range t.Assessments {
		if list[i], err = s.newAssessment(a, t.ID); err != nil {
			return TraceInfo{}, err
		}
	}
	t.Assessments = list
	return s.store.StartTrace(ctx, t)
}

// StartTraceV2 begins a trace for a client of before MLflow 3; the server chooses the id.
func (s *Service) StartTraceV2(ctx context.Context, experimentID string, timeMS int64, tags, metadata map[string]string) (TraceInfo, error) {
	e, err := s.store.Experiment(ctx, experimentID)
	if err != nil {
		return TraceInfo{}, err
	}
	t := TraceInfo{
		ID: s.opts.NewID(), ExperimentID: e.ID, RequestTimeMS: timeMS, State: TraceInProgress,
		Tags: fitPairs(tags), Metadata: fitPairs(metadata),
	}
	if err := checkTrace(t); err != nil {
		return TraceInfo{}, err
	}
	t.Tags[TraceArtifactTag] = traceArtifacts(e, t.ID)
	return s.store.StartTrace(ctx, t)
}

// EndTraceV2 ends a trace for a client of before MLflow 3. endMS is Unix milliseconds.
func (s *Service) EndTraceV2(ctx context.Context, id string, endMS int64, state TraceState, tags, metadata map[string]string) (TraceInfo, error) {
	if err := checkTrace(TraceInfo{Tags: tags, Metadata: metadata}); err != nil {
		return TraceInfo{}, err
	}
	return s.store.EndTrace(ctx, id, endMS, state, fitPairs(tags), fitPairs(metadata))
}

// traceArtifacts is where attachments of a trace lie, and its spans if an old client wrote them.
func traceArtifacts(e Experiment, id string) string {
	return TraceLocation(e.ArtifactLocation, id)
}

// checkTrace checks what the columns of a trace can hold; ids become part of artifact locations.
func checkTrace(t TraceInfo) error {
	if t.ID != "" && !mlflow.IsPlainPath(t.ID) || strings.ContainsAny(t.ID, `/\:?#`) {
		return mlflow.InvalidValue("trace_id", t.ID, "")
	}
	if err := mlflow.CheckLength("trace_id", t.ID, MaxTraceID); err != nil {
		return err
	}
	if err := mlflow.CheckLength("client_request_id", t.ClientRequestID, MaxTraceID); err != nil {
		return err
	}
	return mlflow.CheckLength("Session ID", t.Metadata[TraceSessionKey], MaxTraceValue)
}

// fitPairs cuts keys and values of tags or metadata as MLflow does; the map is a new one.
func fitPairs(in map[string]string) map[string]string {
	out := make(map[string]string, len(in)+1)
	for key, value := range in {
		out[mlflow.Truncate(key, MaxTraceKey)] = mlflow.Truncate(value, MaxTraceValue)
	}
	return out
}

// LogSpans stores spans of any traces, all or none; traces that do not exist are made in the experiment. Returns
// RESOURCE_DOES_NOT_EXIST for an unknown experiment.
func (s *Service) LogSpans(ctx context.Context, experimentID string, sources []SpanSource) error {
	e, err := s.store.Experiment(ctx, experimentID)
	if err != nil {
		return err
	}
	var batches []SpanBatch
	at := map[string]int{}
	for _, source := range sources {
		for _, span := range source.Spans {
			i, ok := at[span.TraceID]
			if !ok {
				i = len(batches)
				at[span.TraceID] = i
				batches = append(batches, SpanBatch{TraceID: span.TraceID, ArtifactLocation: traceArtifacts(e, span.TraceID)})
			}
			batches[i].Spans = append(batches[i].Spans, span)
			if batches[i].Resource == nil {
				batches[i].Resource = source.Resource
			}
		}
	}
	if len(batches) == 0 {
		return nil
	}
	return s.store.LogSpans(ctx, e.ID, batches)
}

// TraceInfo returns the head of a trace. Returns RESOURCE_DOES_NOT_EXIST if it is unknown.
func (s *Service) TraceInfo(ctx context.Context, id string) (TraceInfo, error) {
	return s.store.TraceInfo(ctx, id)
}

// TraceInfos returns the heads of those traces that exist, in the order asked; experimentIDs narrows them unless it is nil.
func (s *Service) TraceInfos(ctx context.Context, ids, experimentIDs []string) ([]TraceInfo, error) {
	if err := checkTraceIDs(ids); err != nil {
		return nil, err
	}
	return s.store.TraceInfos(ctx, ids, experimentIDs)
}

// Traces returns those traces whose spans are all there; the others are left out, as in MLflow. Returns BAD_REQUEST if a trace's
// spans are not in the store.
func (s *Service) Traces(ctx context.Context, ids, experimentIDs []string) ([]Trace, error) {
	if err := checkTraceIDs(ids); err != nil {
		return nil, err
	}
	found, err := s.store.Traces(ctx, ids, experimentIDs)
	if err != nil {
		return nil, err
	}
	var out []Trace
	for _, t := range found {
		if !t.Stored() {
			return nil, elsewhere(t.Info.ID)
		}
		if t.complete() {
			out = append(out, t)
		}
	}
	return out, nil
}

func checkTraceIDs(ids []string) error {
	if len(ids) > MaxTraceBatch {
		return mlflow.Invalidf("A request can name at most %d traces. Got %d.", MaxTraceBatch, len(ids))
	}
	return nil
}

// Trace returns a trace with its spans. Unless partial, it waits Options.TraceWait for spans that are still under way and then
// returns RESOURCE_DOES_NOT_EXIST, as it does for an unknown trace; BAD_REQUEST if the spans are not in the store.
func (s *Service) Trace(ctx context.Context, id string, partial bool) (Trace, error) {
	until := s.opts.Now().Add(s.opts.TraceWait)
	for pause := 50 * time.Millisecond; ; pause *= 2 {
		found, err := s.store.Traces(ctx, []string{id}, nil)
		switch {
		case err != nil:
			return Trace{}, err
		case len(found) == 0:
			return Trace{}, mlflow.Missingf("Trace with ID %s is not found.", id)
		case !found[0].Stored():
			return Trace{}, elsewhere(id)
		case partial || found[0].complete():
			return found[0], nil
		}
		left := until.Sub(s.opts.Now())
		if left <= 0 {
			return Trace{}, mlflow.Missingf("Trace with ID %s is not fully exported yet, please try again later.", id)
		}
		if err := sleep(ctx, min(pause, left)); err != nil {
			return Trace{}, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stored says whether the spans are in the store; those of clients before MLflow 3.5 lie in artifacts.
func (t Trace) Stored() bool { return t.Info.Tags[SpansLocationTag] == SpansInStore }

func elsewhere(id string) error {
	return mlflow.Errorf(mlflow.BadRequest, "The spans of trace '%s' are not stored in the tracking store.", id)
}

// complete says whether all spans that the client announced have come.
func (t Trace) complete() bool {
	var stats struct {
		Spans int `json:"num_spans"`
	}
	if err := json.Unmarshal([]byte(t.Info.Metadata[TraceSizeStatsKey]), &stats); err != nil {
		return len(t.Spans) > 0 // nothing was announced that can be read
	}
	return len(t.Spans) > 0 && len(t.Spans) >= stats.Spans
}

// SearchTraces returns one page of traces without spans. Returns INVALID_PARAMETER_VALUE for a bad filter, order, size or token.
func (s *Service) SearchTraces(ctx context.Context, q TraceQuery) (TracePage, error) {
	if err := checkMaxResults(q.MaxResults, mlflow.SearchRunsMax); err != nil {
		return TracePage{}, err
	}
	if err := checkExperimentCount(q.ExperimentIDs); err != nil {
		return TracePage{}, err
	}
	order, err := filter.Traces().ParseOrder(q.OrderBy) // of two mistakes MLflow names this one
	if err != nil {
		return TracePage{}, err
	}
	where, err := filter.Traces().Parse(q.Filter)
	if err != nil {
		return TracePage{}, err
	}
	question := page.NewQuestion("traces", q.ExperimentIDs, q.Filter, q.OrderBy)
	after, err := question.Read(q.PageToken)
	if err != nil || len(q.ExperimentIDs) == 0 {
		return TracePage{}, err
	}
	found, err := s.store.SearchTraces(ctx, TraceSearch{q.ExperimentIDs, where, order, after, q.MaxResults})
	if err != nil {
		return TracePage{}, err
	}
	found.More = len(found.Rows) == q.MaxResults // as MLflow: a full page has a token, even the last
	next, err := page.Next(question, found)
	return TracePage{found.Rows, next}, err
}

// DeleteTraces deletes traces by id, or the oldest up to a time, at most limit of those if it is given, and returns how many.
func (s *Service) DeleteTraces(ctx context.Context, experimentID string, ids []string, maxTimeMS *int64, limit *int) (int, error) {
	switch {
	case maxTimeMS == nil && len(ids) == 0:
		return 0, mlflow.Invalidf("Either `max_timestamp_millis` or `trace_ids` must be specified.")
	case maxTimeMS != nil && len(ids) > 0:
		return 0, mlflow.Invalidf("Only one of `max_timestamp_millis` and `trace_ids` can be specified.")
	case len(ids) > 0 && limit != nil:
		return 0, mlflow.Invalidf("`max_traces` can't be specified if `trace_ids` is specified.")
	case limit != nil && *limit <= 0:
		return 0, mlflow.Invalidf("`max_traces` must be a positive integer, received %d.", *limit)
	}
	if err := checkTraceIDs(ids); err != nil {
		return 0, err
	}
	d := TraceDelete{ExperimentID: experimentID, IDs: ids}
	if maxTimeMS != nil {
		d.MaxTimeMS = *maxTimeMS
	}
	if limit != nil {
		d.Limit = *limit
	}
	return s.store.DeleteTraces(ctx, d)
}

// SetTraceTag writes or overwrites a tag. Returns INVALID_PARAMETER_VALUE for those that say where a trace's spans are.
func (s *Service) SetTraceTag(ctx context.Context, id string, tag Tag) error {
	if spansTag(tag.Key) || tag.Key == ArchivalFailureTag {
		return mlflow.Invalidf("Tag '%s' is immutable and cannot be set on a trace.", tag.Key)
	}
	tag, err := fitTraceTag(tag)
	if err != nil {
		return err
	}
	return s.store.SetTraceTag(ctx, id, tag)
}

// DeleteTraceTag deletes a tag. Returns RESOURCE_DOES_NOT_EXIST if it is not there.
func (s *Service) DeleteTraceTag(ctx context.Context, id, key string) error {
	if spansTag(key) {
		return mlflow.Invalidf("Tag '%s' is immutable and cannot be deleted on a trace.", key)
	}
	return s.store.DeleteTraceTag(ctx, id, key)
}

func spansTag(key string) bool { return key == SpansLocationTag || key == ArchiveLocationTag }

// LinkTraces ties at most MaxTraceLinks traces to a run.
func (s *Service) LinkTraces(ctx context.Context, runID string, ids []string) error {
	if len(ids) > MaxTraceLinks {
		return mlflow.Invalidf("Cannot link more than %d traces to a run in a single request. Provided %d traces.", MaxTraceLinks, len(ids))
	}
	return s.store.LinkTraces(ctx, runID, ids)
}

// PromptVersion names a version of a prompt, which is a registered model to the registry.
type PromptVersion struct{ Name, Version string }

// LinkPrompts ties a trace to at most MaxTraceLinks prompt versions.
func (s *Service) LinkPrompts(ctx context.Context, traceID string, prompts []PromptVersion) error {
	if len(prompts) > MaxTraceLinks {
		return mlflow.Invalidf("Cannot link more than %d prompt versions to a trace in a single request.", MaxTraceLinks)
	}
	names := make([]string, len(prompts))
	for i, p := range prompts {
		names[i] = p.Name + "/" + p.Version
		if err := mlflow.CheckLength("prompt_versions", names[i], maxModelID); err != nil {
			return err
		}
	}
	return s.store.LinkPrompts(ctx, traceID, names)
}
