package storetest

import (
	"encoding/json"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// searchTraces makes three traces, 1 before 2 before 3: 1 failed with a slow retriever, 2 and 3 share a session.
func searchTraces(f *fixture) {
	failed := span(1, 2, 1, 1000, 9000, tracking.SpanTypeKey, `"RETRIEVER"`, "shelf", `"north"`, "n", "5")
	failed.Status = tracking.SpanError
	root := span(1, 1, 0, 1000, 9000, tracking.SpanTypeKey, `"CHAIN"`, "shelf", `"south"`, "text", `"50% off_"`)
	root.Status = tracking.SpanError
	f.logSpans(root, failed)
	f.logSpans(span(2, 1, 0, 2000, 2100, tracking.SpanTypeKey, `"LLM"`, "session.id", `"s"`, "user.id", `"ada"`, "mlflow.traceTag.mlflow.traceName", `"named"`,
		tracking.SpanInputsKey, `"é"`))
	f.logSpans(span(3, 1, 0, 3000, 3200, "session.id", `"s"`))
	f.must(f.svc.SetTraceTag(f.ctx, traceID(1), tracking.Tag{Key: "team", Value: "Red"}))
	for _, a := range []tracking.Assessment{
		{TraceID: traceID(1), Name: "quality", Kind: tracking.Feedback, Value: json.RawMessage("0.9")},
		{TraceID: traceID(1), Name: "polite", Kind: tracking.Feedback, Value: json.RawMessage(`"yes"`)},
		{TraceID: traceID(3), Name: "session", Kind: tracking.Feedback, Value: json.RawMessage("true"), Metadata: map[string]string{tracking.TraceSessionKey: "s"}},
		{TraceID: traceID(3), Name: "want", Kind: tracking.Expectation, Value: json.RawMessage(`"é"`)},
	} {
		a.SourceType = "CODE"
		_, err := f.svc.CreateAssessment(f.ctx, a.TraceID, a)
		f.must(err)
	}
	run := f.run("r")
	f.must(f.svc.LinkTraces(f.ctx, run, []string{traceID(2), traceID(2)}))
	f.must(f.svc.LinkTraces(f.ctx, run, []string{traceID(2)}))
	f.must(f.svc.LinkPrompts(f.ctx, traceID(3), []tracking.PromptVersion{{Name: "p", Version: "2"}}))
	f.must(f.svc.SetTraceTag(f.ctx, traceID(3), tracking.Tag{Key: "run", Value: run}))
}

var traceSearchCases = []testCase{
	{"filters", func(f *fixture) {
		searchTraces(f)
		run := f.trace(traceID(3)).Tags["run"]
		for filter, want := range map[string]string{
			"": "3 2 1", "status = 'ERROR'": "1", "trace.status IN ('OK')": "3 2", "attributes.status NOT IN ('OK', 'x')": "1", "status RLIKE '^E.*R$'": "1",
			"request_id = '" + traceID(2) + "'": "2", "timestamp > 1000 AND timestamp_ms <= 3000": "3 2", "execution_time < 150": "2", "end_time >= 9000": "1",
			"name = 'named'": "2", "name IS NULL": "3 1", "name LIKE 'na%'": "2", "tags.team = 'Red'": "1", "tags.team = 'red'": "", "tag.team ILIKE 'red'": "1",
			"tags.team != 'x'": "1", "tags.team IS NULL": "3 2", "tags.team IS NOT NULL": "1", "tags.team RLIKE 'e.$'": "1",
			"metadata.`mlflow.trace.session` = 's'": "3 2", "request_metadata.`mlflow.trace.user` = 'ada'": "2", "metadata.`mlflow.trace.session` IS NULL": "1",
			"run_id = '" + run + "'": "2", "prompt = 'p/2'": "3", "prompt = 'p/3'": "",
			"span.type = 'RETRIEVER'": "1", "span.type IN ('LLM', 'CHAIN')": "2 1", "span.type = 'CHAIN' AND span.attributes.shelf = 'north'": "",
			"span.type = 'RETRIEVER' AND span.attributes.shelf = 'north'": "1", "span.status = 'OK'": "3 2", "span.name LIKE 'span%'": "3 2 1",
			"span.attributes.shelf LIKE '%nor%'": "1", "span.attributes.shelf RLIKE '^nor'": "1", "span.attributes.shelf RLIKE '^or'": "", "span.attributes.n = '5'": "1",
			"span.attributes.shelf != 'north' AND span.name = 'span 2'": "", "span.attributes.shelf IN ('x', 'north')": "1", "span.attributes.text = '50% off_'": "1",
			"span.attributes.text = '50%'": "", "span.content LIKE '%south%'": "1", "trace.text ILIKE '%É%'": ilikeUnicode,
			"feedback.quality > 0.5": "1", "feedback.quality < 0.5": "", "feedback.quality = '0.9'": "1", "feedback.polite = 'yes'": "1", "feedback.polite != 'yes'": "",
			"feedback.session = 'true'": "3 2", "feedback.session IS NOT NULL": "3 2", "feedback.session IS NULL": "1", "expectation.want = 'é'": "3",
			"expectation.want LIKE '%x%'": "", "feedback.want IS NOT NULL": "",
		} {
			if want != ilikeUnicode {
				equal(f, f.traces(filter), want, filter)
			}
		}
	}},
	{"tokens and cost as texts", func(f *fixture) {
		for i, metadata := range []map[string]string{
			{tracking.TraceTokensKey: `{"input_tokens": 1, "total_tokens": 3}`, tracking.TraceCostKey: `{"total_cost": 1}`},
			{tracking.TraceTokensKey: `{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}`, tracking.TraceCostKey: `{"total_cost": 2.5e-05}`},
			{},
		} {
			f.startTrace(traceID(i+1), func(t *tracking.TraceInfo) { t.Metadata = metadata })
		}
		tokens, cost := "metadata.`mlflow.trace.tokenUsage` ", "metadata.`mlflow.trace.cost` "
		for filter, want := range map[string]string{
			tokens + `= '{"input_tokens": 1, "total_tokens": 3}'`: "1", tokens + `!= '{"input_tokens": 1, "total_tokens": 3}'`: "2",
			tokens + `= '{"total_tokens": 3, "input_tokens": 1}'`: "", tokens + `= '{"input_tokens":1,"total_tokens":3}'`: "", tokens + "= 'x'": "", tokens + "!= 'x'": "2 1",
			tokens + `= '{}'`: "", tokens + `= '{"input_tokens": 1, "total_tokens": 3, "x": 1}'`: "", tokens + `= '{"input_tokens": null}'`: "",
			cost + `= '{"total_cost": 1.0}'`: "1", cost + `= '{"total_cost": 1}'`: "", cost + `= '{"total_cost": 2.5e-05}'`: "2", cost + `!= '{"total_cost": 2.5e-05}'`: "1",
		} {
			equal(f, f.traces(filter), want, filter)
		}
	}},
	{"filters that are refused", func(f *fixture) {
		for _, filter := range []string{
			"unknown = 'x'", "tags.a IN ('x')", "span.nothing = 'x'", "span.content = 'x'", "issue.id LIKE 'x'", "issue.name = 'x'", "feedback.a > 'x'",
			"feedback.a = 1", "timestamp LIKE 'x'", "status = 5", "status > 'x'", "name = 'x' OR name = 'y'", "prompt = 'x'", "prompt LIKE 'a/b'", "attributes.status IS NULL",
			"span.attributes.`` = 'x'", "params.a = 'x'", "metadata.`mlflow.trace.tokenUsage` LIKE 'x'", "timestamp IN ('1')",
		} {
			_, err := f.svc.SearchTraces(f.ctx, tracking.TraceQuery{ExperimentIDs: []string{"0"}, Filter: filter, MaxResults: 1})
			if mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
				f.Errorf("%s: %v", filter, err)
			}
		}
	}},
	{"orders and pages", func(f *fixture) {
		searchTraces(f)
		for order, want := range map[string]string{
			"timestamp": "1 2 3", "execution_time DESC": "1 3 2", "name": "2 3 1", "status": "1 3 2", "tags.team": "1 3 2", "request_id DESC": "3 2 1",
			"metadata.`mlflow.trace.session`": "3 2 1", "end_time": "2 3 1", "experiment_id": "3 2 1",
		} {
			equal(f, f.traces("", order), want, order)
		}
		q := tracking.TraceQuery{ExperimentIDs: []string{"0"}, MaxResults: 2}
		first, err := f.svc.SearchTraces(f.ctx, q)
		f.must(err)
		q.PageToken = first.NextPageToken
		second, err := f.svc.SearchTraces(f.ctx, q)
		f.must(err)
		equal(f, []any{len(first.Traces), len(second.Traces), second.Traces[0].ID, second.NextPageToken}, []any{2, 1, traceID(1), ""}, "pages")
		for _, bad := range []tracking.TraceQuery{{MaxResults: 0}, {MaxResults: 1, PageToken: "x"}, {MaxResults: 1, OrderBy: []string{"span.name"}}, {MaxResults: 1, OrderBy: []string{"nothing"}}} {
			bad.ExperimentIDs = []string{"0"}
			_, err := f.svc.SearchTraces(f.ctx, bad)
			f.refused(err, mlflow.InvalidParameterValue)
		}
	}},
}

// ilikeUnicode marks a search whose answer depends on how the database folds letters beyond ASCII.
const ilikeUnicode = "?"

var assessmentCases = []testCase{
	{"of one millisecond they come as they were made", func(f *fixture) {
		f.startTrace("tr-1", nil)
		var want, got []string
		for i := range 8 {
			name := string(rune('h' - i))
			_, err := f.svc.CreateAssessment(f.ctx, "tr-1", tracking.Assessment{
				Name: name, Kind: tracking.Feedback, Value: json.RawMessage("1"), SourceType: "HUMAN", SourceID: "ada", CreatedMS: 1000,
			})
			f.must(err)
			want = append(want, name)
		}
		for _, a := range f.trace("tr-1").Assessments {
			got = append(got, a.Name)
		}
		equal(f, got, want, "names")
	}},
	{"create, get, update, delete", func(f *fixture) {
		f.startTrace("tr-1", nil)
		made, err := f.svc.CreateAssessment(f.ctx, "tr-1", tracking.Assessment{
			Name: "a", Kind: tracking.Feedback, Value: json.RawMessage(`{"k": [1, "é"]}`), SourceType: "HUMAN", SourceID: "ada", SpanID: "s", Rationale: "r",
			Metadata: map[string]string{"k": "v"}, Error: &tracking.AssessmentError{Code: "E", Message: "m", StackTrace: "t"},
		})
		f.must(err)
		got, err := f.svc.Assessment(f.ctx, "tr-1", made.ID)
		f.must(err)
		equal(f, string(got.Value), `{"k": [1, "\u00e9"]}`, "value as Python writes it")
		got.Value, made.Value = nil, nil
		equal(f, *got.Error, *made.Error, "error")
		got.Error, made.Error = nil, nil
		equal(f, got, made, "read back")
		name := "b"
		changed, err := f.svc.UpdateAssessment(f.ctx, "tr-1", made.ID, tracking.AssessmentUpdate{
			Name: &name, Feedback: &tracking.FeedbackValue{Value: json.RawMessage("true")}, Metadata: map[string]string{"l": "w"},
		})
		f.must(err)
		equal(f, []any{changed.Name, string(changed.Value), changed.Error, changed.Rationale, changed.Metadata, changed.UpdatedMS > changed.CreatedMS},
			[]any{"b", "true", (*tracking.AssessmentError)(nil), "r", map[string]string{"k": "v", "l": "w"}, true}, "changed")
		equal(f, f.trace("tr-1").Assessments, []tracking.Assessment{changed}, "on the trace")
		_, err = f.svc.UpdateAssessment(f.ctx, "tr-1", made.ID, tracking.AssessmentUpdate{Expectation: json.RawMessage("1")})
		f.refused(err, mlflow.InvalidParameterValue)
		for range 2 {
			f.must(f.svc.DeleteAssessment(f.ctx, "tr-1", made.ID))
		}
		_, err = f.svc.Assessment(f.ctx, "tr-1", made.ID)
		f.refused(err, mlflow.ResourceDoesNotExist)
	}},
	{"overriding", func(f *fixture) {
		f.startTrace("tr-1", nil)
		create := func(overrides string) tracking.Assessment {
			f.Helper()
			a, err := f.svc.CreateAssessment(f.ctx, "tr-1", tracking.Assessment{Name: "a", Kind: tracking.Feedback, Value: json.RawMessage("1"), SourceType: "CODE", Overrides: overrides})
			f.must(err)
			return a
		}
		old := create("")
		over := create(old.ID)
		valid := func() []bool {
			a, err := f.svc.Assessment(f.ctx, "tr-1", old.ID)
			f.must(err)
			return []bool{a.Valid}
		}
		equal(f, valid(), []bool{false}, "the overridden one")
		f.must(f.svc.DeleteAssessment(f.ctx, "tr-1", over.ID))
		equal(f, valid(), []bool{true}, "after the other one went")
		_, err := f.svc.CreateAssessment(f.ctx, "tr-1", tracking.Assessment{Name: "a", Kind: tracking.Feedback, Value: json.RawMessage("1"), Overrides: "a-no"})
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.CreateAssessment(f.ctx, "tr-1", tracking.Assessment{ID: old.ID, Name: "a", Kind: tracking.Feedback, Value: json.RawMessage("1")})
		f.refused(err, mlflow.ResourceAlreadyExists)
	}},
	{"refusals", func(f *fixture) {
		a := tracking.Assessment{Name: "a", Kind: tracking.Feedback, Value: json.RawMessage("1"), SourceType: "CODE"}
		_, err := f.svc.CreateAssessment(f.ctx, "tr-no", a)
		f.refused(err, mlflow.ResourceDoesNotExist)
		_, err = f.svc.Assessment(f.ctx, "tr-no", "a")
		f.refused(err, mlflow.ResourceDoesNotExist)
		f.must(f.svc.DeleteAssessment(f.ctx, "tr-no", "a"))
		f.startTrace("tr-1", nil)
		_, err = f.svc.Assessment(f.ctx, "tr-1", "a")
		f.refused(err, mlflow.ResourceDoesNotExist)
		for _, value := range []string{"", "{", "1 2"} {
			a.Value = json.RawMessage(value)
			_, err = f.svc.CreateAssessment(f.ctx, "tr-1", a)
			f.refused(err, mlflow.InvalidParameterValue)
		}
	}},
}
