package storetest

import (
	"encoding/json"
	"fmt"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// traceID makes the id of the n-th trace that spans make.
func traceID(n int) string { return fmt.Sprintf("tr-%032x", n) }

// startTrace stores the head of a trace in the default experiment, a second after the one before.
func (f *fixture) startTrace(id string, change func(*tracking.TraceInfo)) tracking.TraceInfo {
	f.Helper()
	f.now += 1000
	t := tracking.TraceInfo{ID: id, ExperimentID: "0", RequestTimeMS: f.now, State: tracking.TraceOK, Tags: map[string]string{}, Metadata: map[string]string{}}
	if change != nil {
		change(&t)
	}
	out, err := f.svc.StartTrace(f.ctx, t)
	f.must(err)
	return out
}

// span makes a span of the n-th trace, from startMS to endMS (Unix milliseconds, 0 for not ended); parent 0 makes a root.
func span(trace, id, parent int, startMS, endMS int64, attributes ...string) tracking.Span {
	s := tracking.Span{
		TraceID: traceID(trace), ID: fmt.Sprintf("%016x", id), Name: fmt.Sprintf("span %d", id), StartNS: startMS * 1e6, EndNS: endMS * 1e6, Status: tracking.SpanOK,
	}
	if parent != 0 {
		s.ParentID = fmt.Sprintf("%016x", parent)
	}
	for i := 0; i+1 < len(attributes); i += 2 {
		s.Attributes = append(s.Attributes, tracking.SpanAttribute{Key: attributes[i], Value: attributes[i+1]})
	}
	return s
}

func (f *fixture) logSpans(spans ...tracking.Span) {
	f.Helper()
	f.must(f.svc.LogSpans(f.ctx, "0", []tracking.SpanSource{{Spans: spans}}))
}

func (f *fixture) trace(id string) tracking.TraceInfo {
	f.Helper()
	t, err := f.svc.TraceInfo(f.ctx, id)
	f.must(err)
	return t
}

func (f *fixture) wholeTrace(id string) tracking.Trace {
	f.Helper()
	t, err := f.svc.Trace(f.ctx, id, true)
	f.must(err)
	return t
}

var traceCases = []testCase{
	{"start and get", func(f *fixture) {
		duration := int64(7)
		made := f.startTrace("tr-1", func(t *tracking.TraceInfo) {
			t.DurationMS, t.ClientRequestID, t.RequestPreview, t.ResponsePreview = &duration, "c", strings.Repeat("é", 2000), "out"
			t.Tags = map[string]string{tracking.TraceNameTag: "n", "empty": "", "k": "v"}
			t.Metadata = map[string]string{
				tracking.TraceSessionKey: "s", tracking.TraceTokensKey: `{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}`, "m": strings.Repeat("x", 9000),
			}
			t.Assessments = []tracking.Assessment{{Name: "a", Kind: tracking.Feedback, Value: json.RawMessage("1"), SourceType: "CODE"}}
		})
		got := f.trace("tr-1")
		equal(f, *got.DurationMS, duration, "duration")
		got.DurationMS, made.DurationMS = nil, nil
		equal(f, got, made, "read back")
		equal(f, got.Tags, map[string]string{
			tracking.TraceNameTag: "n", "empty": "", "k": "v", tracking.TraceArtifactTag: "mlflow-artifacts:/0/traces/tr-1/artifacts",
		}, "tags")
		equal(f, []int{len(got.Metadata["m"]), len([]rune(got.RequestPreview)), len(got.Assessments)}, []int{8000, 1000, 1}, "lengths")
		equal(f, got.Metadata[tracking.TraceTokensKey], `{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}`, "tokens")
	}},
	{"refusals", func(f *fixture) {
		start := func(id, experiment string) error {
			_, err := f.svc.StartTrace(f.ctx, tracking.TraceInfo{ID: id, ExperimentID: experiment, State: tracking.TraceOK})
			return err
		}
		f.refused(start("tr-1", "4711"), mlflow.ResourceDoesNotExist)
		f.refused(start("", "0"), mlflow.InvalidParameterValue)
		f.refused(start("../../etc", "0"), mlflow.InvalidParameterValue)
		f.refused(start(strings.Repeat("x", 51), "0"), mlflow.InvalidParameterValue)
		gone := f.experiment("gone")
		f.must(f.svc.DeleteExperiment(f.ctx, gone))
		f.refused(start("tr-1", gone), mlflow.InvalidParameterValue)
		f.refused(f.svc.LogSpans(f.ctx, "4711", []tracking.SpanSource{{Spans: []tracking.Span{span(1, 1, 0, 1, 2)}}}), mlflow.ResourceDoesNotExist)
		_, err := f.svc.TraceInfo(f.ctx, "tr-1")
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.EndTraceV2(f.ctx, "tr-1", 1, tracking.TraceOK, nil, nil)
		f.refused(err, mlflow.ResourceDoesNotExist)
		f.refused(f.svc.SetTraceTag(f.ctx, "tr-1", tracking.Tag{Key: "k"}), mlflow.ResourceDoesNotExist)
		f.startTrace("tr-1", nil)
		f.refused(f.svc.SetTraceTag(f.ctx, "tr-1", tracking.Tag{Key: tracking.SpansLocationTag}), mlflow.InvalidParameterValue)
		f.refused(f.svc.DeleteTraceTag(f.ctx, "tr-1", tracking.TraceNameTag), mlflow.ResourceDoesNotExist)
		_, err = f.svc.Trace(f.ctx, "tr-1", true)
		f.refused(err, mlflow.BadRequest)
		f.refused(f.svc.LinkTraces(f.ctx, "r", make([]string, 101)), mlflow.InvalidParameterValue)
	}},
	{"tags", func(f *fixture) {
		f.startTrace("tr-1", nil)
		for _, tag := range []tracking.Tag{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}, {Key: tracking.TraceNameTag, Value: "n"}} {
			f.must(f.svc.SetTraceTag(f.ctx, "tr-1", tag))
		}
		equal(f, []string{f.trace("tr-1").Tags["k"], f.trace("tr-1").Tags[tracking.TraceNameTag]}, []string{"2", "n"}, "tags")
		for _, key := range []string{"k", tracking.TraceNameTag} {
			f.must(f.svc.DeleteTraceTag(f.ctx, "tr-1", key))
			f.refused(f.svc.DeleteTraceTag(f.ctx, "tr-1", key), mlflow.ResourceDoesNotExist)
		}
		equal(f, len(f.trace("tr-1").Tags), 1, "tags left")
	}},
	{"spans make a trace", func(f *fixture) {
		f.logSpans(span(1, 2, 1, 2000, 0), span(2, 1, 0, 5000, 6000))
		equal(f, f.trace(traceID(1)).State, tracking.TraceInProgress, "state without a root")
		root := span(1, 1, 0, 1000, 4000, tracking.SpanInputsKey, `{"messages": [{"role": "user", "content": "hello"}]}`, tracking.SpanOutputsKey, `"bye"`,
			"session.id", `"s"`, "user.id", `"u"`, "mlflow.traceTag.color", `"red"`, "mlflow.traceTag.mlflow.trace.spansLocation", `"elsewhere"`)
		root.Status, root.StatusMessage = tracking.SpanError, "no"
		root.Events = []tracking.SpanEvent{{Name: "e", TimeNS: 5, Attributes: []tracking.SpanAttribute{{Key: "k", Value: "[1, \"é\"]"}}}}
		root.Links = []tracking.SpanLink{{TraceID: traceID(9), SpanID: "00000000000000ff", Attributes: []tracking.SpanAttribute{{Key: "k", Value: "1"}}}}
		f.logSpans(root)
		got := f.wholeTrace(traceID(1))
		equal(f, []any{got.Info.State, got.Info.RequestTimeMS, *got.Info.DurationMS, got.Info.RequestPreview, got.Info.ResponsePreview},
			[]any{tracking.TraceError, 1000, 3000, "hello", `"bye"`}, "head")
		equal(f, []string{got.Info.Metadata[tracking.TraceSessionKey], got.Info.Metadata[tracking.TraceUserKey], got.Info.Tags["color"], got.Info.Tags[tracking.SpansLocationTag]},
			[]string{"s", "u", "red", tracking.SpansInStore}, "from spans")
		equal(f, got.Spans, []tracking.Span{root, span(1, 2, 1, 2000, 0)}, "spans")
		equal(f, len(f.wholeTrace(traceID(2)).Spans), 1, "spans of the other trace")
	}},
	{"a span that comes again is replaced", func(f *fixture) {
		f.logSpans(span(1, 1, 0, 1000, 0), span(1, 1, 0, 1000, 0))
		ended := span(1, 1, 0, 1000, 1500, "k", "1")
		f.logSpans(ended)
		equal(f, f.wholeTrace(traceID(1)).Spans, []tracking.Span{ended}, "spans")
	}},
	{"tokens and cost are summed over the tree, once", func(f *fixture) {
		tokens := func(n int) string {
			return fmt.Sprintf(`{"input_tokens": %d, "output_tokens": 1, "total_tokens": %d}`, n, n+1)
		}
		f.logSpans(span(1, 3, 2, 1000, 1100, tracking.SpanTokensKey, tokens(5)), span(1, 4, 2, 1000, 1100, tracking.SpanTokensKey, tokens(6), tracking.SpanCostKey, `{"total_cost": 0.5}`))
		equal(f, f.trace(traceID(1)).Metadata[tracking.TraceTokensKey], `{"input_tokens": 11, "output_tokens": 2, "total_tokens": 13}`, "of two leaves")
		f.logSpans(span(1, 2, 1, 1000, 1100, tracking.SpanTokensKey, tokens(100)), span(1, 1, 0, 900, 1200))
		equal(f, f.trace(traceID(1)).Metadata[tracking.TraceTokensKey], `{"input_tokens": 100, "output_tokens": 1, "total_tokens": 101}`, "of the parent that holds the sum")
		equal(f, f.trace(traceID(1)).Metadata[tracking.TraceCostKey], `{"input_cost": 0.0, "output_cost": 0.0, "total_cost": 0.5}`, "cost")
	}},
	{"the client's word wins over the spans'", func(f *fixture) {
		f.logSpans(span(1, 1, 0, 1000, 2000, tracking.SpanTokensKey, `{"input_tokens": 5}`, tracking.SpanInputsKey, `"in"`))
		other := f.experiment("other")
		f.startTrace(traceID(1), func(t *tracking.TraceInfo) {
			t.ExperimentID, t.State, t.RequestTimeMS = other, tracking.TraceError, 500
			t.Metadata[tracking.TraceTokensKey] = `{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}`
		})
		f.logSpans(span(1, 2, 1, 1000, 3000, tracking.SpanTokensKey, `{"input_tokens": 9}`))
		got := f.wholeTrace(traceID(1))
		equal(f, []any{got.Info.ExperimentID, got.Info.State, got.Info.RequestTimeMS, got.Info.RequestPreview, len(got.Spans)},
			[]any{other, tracking.TraceError, 500, `"in"`, 2}, "head")
		equal(f, got.Info.Metadata[tracking.TraceTokensKey], `{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}`, "tokens")
	}},
	{"whole traces only when all spans have come", func(f *fixture) {
		f.startTrace(traceID(1), func(t *tracking.TraceInfo) { t.Metadata[tracking.TraceSizeStatsKey] = `{"num_spans": 2}` })
		f.logSpans(span(1, 1, 0, 1000, 2000))
		found, err := f.svc.Traces(f.ctx, []string{traceID(1)}, nil)
		f.must(err)
		equal(f, len(found), 0, "incomplete traces")
		f.logSpans(span(1, 2, 1, 1000, 2000), span(2, 1, 0, 1, 2))
		found, err = f.svc.Traces(f.ctx, []string{traceID(2), "tr-no", traceID(1), traceID(2)}, nil)
		f.must(err)
		equal(f, []any{len(found), found[0].Info.ID, len(found[1].Spans)}, []any{2, traceID(2), 2}, "complete traces")
		infos, err := f.svc.TraceInfos(f.ctx, []string{traceID(2), traceID(1)}, []string{})
		f.must(err)
		equal(f, len(infos), 0, "traces of no experiment")
	}},
	{"clients before MLflow 3", func(f *fixture) {
		t, err := f.svc.StartTraceV2(f.ctx, "0", 1000, map[string]string{tracking.TraceNameTag: "n"}, map[string]string{"m": "1"})
		f.must(err)
		equal(f, t.State, tracking.TraceInProgress, "state")
		t, err = f.svc.EndTraceV2(f.ctx, t.ID, 1500, tracking.TraceOK, map[string]string{"k": "v"}, map[string]string{"m": "2", tracking.TraceSessionKey: "s"})
		f.must(err)
		equal(f, []any{t.State, *t.DurationMS, t.Tags["k"], t.Tags[tracking.TraceNameTag], t.Metadata["m"], t.Metadata[tracking.TraceSessionKey]},
			[]any{tracking.TraceOK, 500, "v", "n", "2", "s"}, "ended")
	}},
	{"delete", func(f *fixture) {
		for i := 1; i <= 5; i++ {
			f.logSpans(span(i, 1, 0, int64(i)*1000, int64(i)*1000+1))
		}
		one, two := 1, int64(3000)
		remove := func(ids []string, until *int64, limit *int) int {
			f.Helper()
			n, err := f.svc.DeleteTraces(f.ctx, "0", ids, until, limit)
			f.must(err)
			return n
		}
		equal(f, remove([]string{traceID(5), "tr-no"}, nil, nil), 1, "by id")
		equal(f, remove(nil, &two, &one), 1, "the oldest")
		_, err := f.svc.TraceInfo(f.ctx, traceID(1))
		f.refused(err, mlflow.ResourceDoesNotExist)
		equal(f, remove(nil, &two, nil), 2, "by time")
		equal(f, f.traces(""), traceID(4)[34:], "left")
		f.logSpans(span(1, 1, 0, 1, 2))
		equal(f, len(f.wholeTrace(traceID(1)).Spans), 1, "spans of a trace made again")
		for _, err := range []error{
			second(f.svc.DeleteTraces(f.ctx, "0", nil, nil, nil)), second(f.svc.DeleteTraces(f.ctx, "0", []string{"a"}, &two, nil)),
			second(f.svc.DeleteTraces(f.ctx, "0", []string{"a"}, nil, &one)), second(f.svc.DeleteTraces(f.ctx, "x", []string{"a"}, nil, nil)),
		} {
			f.refused(err, mlflow.InvalidParameterValue)
		}
	}},
}

func second[T any](_ T, err error) error { return err }

// traces searches the default experiment and returns the last digits of the ids found, in order.
func (f *fixture) traces(filter string, order ...string) string {
	f.Helper()
	page, err := f.svc.SearchTraces(f.ctx, tracking.TraceQuery{ExperimentIDs: []string{"0"}, Filter: filter, OrderBy: order, MaxResults: 100})
	if err != nil {
		f.Fatalf("search %q: %v", filter, err)
	}
	var ids []string
	for _, t := range page.Traces {
		ids = append(ids, t.ID[len(t.ID)-1:])
	}
	equal(f, byOnes(f, func(token string) ([]string, string) {
		one, err := f.svc.SearchTraces(f.ctx, tracking.TraceQuery{ExperimentIDs: []string{"0"}, Filter: filter, OrderBy: order, MaxResults: 1, PageToken: token})
		f.must(err)
		var ids []string
		for _, t := range one.Traces {
			ids = append(ids, t.ID[len(t.ID)-1:])
		}
		return ids, one.NextPageToken
	}), ids, "pages of one")
	return strings.Join(ids, " ")
}
