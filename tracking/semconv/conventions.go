package semconv

// convention is where an instrument puts what MLflow wants to know: keys of attributes, "" or nil for what it does not tell.
type convention struct {
	kind  string            // attribute with the kind of the span
	types map[string]string // kind to MLflow's type

	inputTokens, outputTokens, totalTokens, cacheRead string
	cacheWrite                                        []string // the first that is there

	inputs, outputs []string // the first that says something; a "#" is a number
	models, tools   []string
	provider        string
}

// conventions stand in the order in which they are asked (source: mlflow/tracing/otel/translation, MLflow 3.17; the keys are those
// of https://github.com/Arize-ai/openinference, https://opentelemetry.io/docs/specs/semconv/gen-ai and
// https://github.com/traceloop/openllmetry, and of the instruments named).
var conventions = [...]convention{
	{ // OpenInference
		kind: "openinference.span.kind",
		types: same("TOOL", "CHAIN", "LLM", "RETRIEVER", "EMBEDDING", "AGENT", "RERANKER", "UNKNOWN", "GUARDRAIL",
			"EVALUATOR"),
		inputTokens: "llm.token_count.prompt", outputTokens: "llm.token_count.completion", totalTokens: "llm.token_count.total",
		cacheRead: "llm.token_count.prompt_details.cache_read", cacheWrite: []string{"llm.token_count.prompt_details.cache_write"},
		inputs: []string{"input.value"}, outputs: []string{"output.value"},
		models:   []string{"llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"},
		provider: "llm.provider",
	},
	{ // OpenTelemetry's GenAI
		kind: "gen_ai.operation.name",
		types: map[string]string{
			"chat": "CHAT_MODEL", "create_agent": "AGENT", "embeddings": "EMBEDDING", "execute_tool": "TOOL", "generate_content": "LLM",
			"invoke_agent": "AGENT", "text_completion": "LLM", "response": "LLM",
		},
		inputTokens: "gen_ai.usage.input_tokens", outputTokens: "gen_ai.usage.output_tokens",
		cacheRead:  "gen_ai.usage.cache_read.input_tokens",
		cacheWrite: []string{"gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"},
		inputs:     []string{"gen_ai.input.messages", "gen_ai.tool.call.arguments"},
		outputs:    []string{"gen_ai.output.messages", "gen_ai.tool.call.result"},
		models:     []string{"gen_ai.response.model", "gen_ai.request.model"},
		tools:      []string{"gen_ai.tool.definitions"},
		provider:   "gen_ai.provider.name",
	},
	{ // Traceloop
		kind:        "traceloop.span.kind",
		types:       map[string]string{"workflow": "WORKFLOW", "task": "TASK", "agent": "AGENT", "tool": "TOOL", "unknown": unknown},
		inputTokens: "gen_ai.usage.prompt_tokens", outputTokens: "gen_ai.usage.completion_tokens", totalTokens: "llm.usage.total_tokens",
		inputs:   []string{"traceloop.entity.input", "gen_ai.prompt.#.content", "gen_ai.completion.#.tool_calls.#.arguments"},
		outputs:  []string{"traceloop.entity.output", "gen_ai.completion.#.content"},
		provider: "gen_ai.system",
	},
	{ // Google's Agent Development Kit
		inputs:  []string{"gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args"},
		outputs: []string{"gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"},
	},
	{ // Vercel's AI SDK
		kind: "ai.operationId",
		types: map[string]string{
			"ai.generateText": "LLM", "ai.generateText.doGenerate": "LLM", "ai.streamText": "LLM", "ai.streamText.doStream": "LLM",
			"ai.generateObject": "LLM", "ai.generateObject.doGenerate": "LLM", "ai.streamObject": "LLM", "ai.streamObject.doStream": "LLM",
			"ai.toolCall": "TOOL", "ai.embed": "EMBEDDING", "ai.embed.doEmbed": "EMBEDDING", "ai.embedMany": "EMBEDDING",
		},
		inputs:  []string{"ai.prompt", "ai.toolCall.args", "ai.value", "ai.values"},
		outputs: []string{"ai.response.text", "ai.toolCall.result", "ai.response.object", "ai.embedding", "ai.embeddings"},
	},
	{ // Laminar
		kind: "lmnr.span.type",
		types: map[string]string{
			"LLM": "LLM", "TOOL": "TOOL", "DEFAULT": "CHAIN", "PIPELINE": "CHAIN", "EXECUTOR": "AGENT", "EVALUATOR": "EVALUATOR",
			"HUMAN_EVALUATOR": "EVALUATOR", "EVALUATION": "EVALUATOR", "CACHED": "LLM",
		},
		inputTokens: "gen_ai.usage.input_tokens", outputTokens: "gen_ai.usage.output_tokens",
		inputs: []string{"lmnr.span.input"}, outputs: []string{"lmnr.span.output"},
		models: []string{"gen_ai.response.model", "gen_ai.request.model"}, provider: "gen_ai.system",
	},
	{ // Langfuse
		kind: "langfuse.observation.type",
		types: map[string]string{
			"generation": "LLM", "embedding": "EMBEDDING", "tool": "TOOL", "retriever": "RETRIEVER", "agent": "AGENT", "chain": "CHAIN",
			"evaluator": "EVALUATOR", "guardrail": "GUARDRAIL", "span": unknown,
		},
		inputs: []string{"langfuse.observation.input"}, outputs: []string{"langfuse.observation.output"},
	},
}

// same maps words to themselves.
func same(words ...string) map[string]string {
	m := make(map[string]string, len(words))
	for _, w := range words {
		m[w] = w
	}
	return m
}
