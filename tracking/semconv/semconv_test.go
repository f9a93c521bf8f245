package semconv_test

import (
	"slices"
	"strings"
	"testing"

	"sluice/tracking"
	"sluice/tracking/semconv"
)

// list makes attributes of "key value" lines; values are JSON.
func list(lines ...string) []tracking.SpanAttribute {
	var out []tracking.SpanAttribute
	for _, l := range lines {
		key, value, _ := strings.Cut(l, " ")
		out = append(out, tracking.SpanAttribute{Key: key, Value: value})
	}
	return out
}

func lines(in []tracking.SpanAttribute) []string {
	var out []string
	for _, a := range in {
		out = append(out, a.Key+" "+a.Value)
	}
	return out
}

func TestTranslate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, added []string }{
		"nothing to tell": {[]string{`a 1`}, nil},
		"OpenInference": {
			[]string{`openinference.span.kind "RERANKER"`, `input.value {"q": 1}`, `output.value "yes"`, `llm.token_count.prompt 3`, `llm.token_count.total 9`, `llm.model_name "m"`, `llm.provider "p"`},
			[]string{`mlflow.spanType "RERANKER"`, `mlflow.spanInputs {"q": 1}`, `mlflow.spanOutputs "yes"`, `mlflow.chat.tokenUsage {"input_tokens": 3, "total_tokens": 9}`, `mlflow.llm.model "m"`, `mlflow.llm.provider "p"`},
		},
		"OpenTelemetry's GenAI, counts as texts": {
			[]string{`gen_ai.operation.name "chat"`, `gen_ai.input.messages []`, `gen_ai.tool.call.arguments {"x": 1}`, `gen_ai.usage.input_tokens "100"`, `gen_ai.usage.output_tokens 50`, `gen_ai.usage.cache_creation.input_tokens 7`, `gen_ai.request.model "m"`, `gen_ai.tool.definitions [{}]`},
			[]string{`mlflow.spanType "CHAT_MODEL"`, `mlflow.spanInputs {"x": 1}`, `mlflow.chat.tokenUsage {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150, "cache_creation_input_tokens": 7}`, `mlflow.chat.tools [{}]`, `mlflow.llm.model "m"`},
		},
		"Traceloop's numbered keys": {
			[]string{`traceloop.span.kind "workflow"`, `gen_ai.prompt.x.content "no"`, `gen_ai.prompt.0.content ""`, `gen_ai.prompt.12.content "hi"`, `gen_ai.completion.0.content "ho"`, `gen_ai.usage.prompt_tokens 1`, `gen_ai.usage.completion_tokens 2`, `gen_ai.system "openai"`},
			[]string{`mlflow.spanType "WORKFLOW"`, `mlflow.spanInputs "hi"`, `mlflow.spanOutputs "ho"`, `mlflow.chat.tokenUsage {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}`, `mlflow.llm.provider "openai"`},
		},
		"Vercel's AI SDK": {
			[]string{`ai.operationId "ai.toolCall"`, `ai.toolCall.args {"a": 1}`, `ai.toolCall.result 5`},
			[]string{`mlflow.spanType "TOOL"`, `mlflow.spanInputs {"a": 1}`, `mlflow.spanOutputs 5`},
		},
		"what the span says itself stays": {
			[]string{`mlflow.spanType "AGENT"`, `mlflow.spanInputs null`, `mlflow.chat.tokenUsage {}`, `openinference.span.kind "LLM"`, `input.value "x"`, `llm.token_count.prompt 3`}, nil,
		},
		"a model among the inputs":            {[]string{`mlflow.spanInputs {"model": "m"}`}, []string{`mlflow.llm.model "m"`}},
		"no kind of any convention":           {[]string{`gen_ai.operation.name "dance"`, `openinference.span.kind 5`}, nil},
		"numbers that are none":               {[]string{`llm.token_count.prompt 1.5`, `gen_ai.usage.input_tokens "many"`}, nil},
		"an attribute without a name":         {[]string{` "x"`}, nil},
		"the first convention is asked first": {[]string{`langfuse.observation.input "l"`, `traceloop.entity.input "t"`}, []string{`mlflow.spanInputs "t"`}},
	} {
		want := append(slices.Clone(c.in), c.added...)
		if got := lines(semconv.Translate(list(c.in...))); !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, want)
		}
	}
	got := lines(semconv.Translate(list(`mlflow.spanType "UNKNOWN"`, `lmnr.span.type "EXECUTOR"`)))
	if want := []string{`mlflow.spanType "AGENT"`, `lmnr.span.type "EXECUTOR"`}; !slices.Equal(got, want) {
		t.Errorf("a type that says nothing: got %q, want %q", got, want)
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add("openinference.span.kind", `"LLM"`, "gen_ai.prompt.0.content", `"x"`)
	f.Add("mlflow.spanInputs", `{"model":`, "gen_ai.usage.input_tokens", `"9223372036854775807"`)
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		in := []tracking.SpanAttribute{{Key: k1, Value: v1}, {Key: k2, Value: v2}}
		once := semconv.Translate(slices.Clone(in))
		if len(once) < len(in) || !slices.Equal(semconv.Translate(slices.Clone(once)), once) {
			t.Errorf("%v: not settled: %v", in, once)
		}
	})
}
