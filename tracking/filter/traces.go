package filter

import (
	"slices"
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
)

// Traces returns the grammar of traces (source: SearchTraceUtils in mlflow/utils/search_utils.py, MLflow 3.17). Attributes that
// are stored as something else come out as that: name as the tag mlflow.traceName, prompt as the tag mlflow.linkedPrompts,
// run_id as the metadata mlflow.sourceRun, text as the span key "content". The keys of Span are name, type, status, content, and
// "attributes." with an attribute's name.
func Traces() *Grammar { return &traceGrammar }

// spanAttribute is the prefix of keys of Span that name an attribute.
const spanAttribute = "attributes."

var (
	traceTextOps  = []Op{NotEqual, Equal, Like, ILike, RLike}
	traceInOps    = []Op{NotEqual, Equal, In, NotIn, Like, ILike, RLike}
	traceNullOps  = []Op{NotEqual, Equal, Like, ILike, RLike, IsNull, IsNotNull}
	assessmentOps = []Op{NotEqual, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Like, ILike, RLike, IsNull, IsNotNull}
)

var traceGrammar = Grammar{
	kind: traces,
	entities: []entityName{
		{"attribute", Attribute}, {"attributes", Attribute}, {"trace", Attribute}, {"tag", Tag}, {"tags", Tag},
		{"request_metadata", Metadata}, {"metadata", Metadata}, {"span", Span}, {"feedback", Feedback}, {"expectation", Expectation},
		{"issue", Issue},
	},
	expected: set([]string{
		"attribute", "attributes", "trace", "tag", "tags", "request_metadata", "metadata", "span", "feedback", "expectation", "issue",
	}),
	text:          []string{"request_id", "status", "client_request_id", "name", "run_id", "prompt", "text"},
	numeric:       []string{"timestamp_ms", "execution_time_ms", "end_time_ms"},
	aliases:       map[string]string{"timestamp": "timestamp_ms", "execution_time": "execution_time_ms", "end_time": "end_time_ms"},
	lists:         []string{"name", "status", "request_id", "run_id", "client_request_id"},
	nulls:         []Entity{Tag, Metadata, Feedback, Expectation},
	order:         []string{"experiment_id", "timestamp_ms", "execution_time_ms", "end_time_ms", "status", "request_id", "name", "run_id"},
	orderEntities: []Entity{Tag, Metadata},
}

// storedAs is what attributes are stored as, if not as columns of their own.
var storedAs = map[string]Clause{
	"name":   {Entity: Tag, Key: "mlflow.traceName"},
	"prompt": {Entity: Tag, Key: "mlflow.linkedPrompts"},
	"run_id": {Entity: Metadata, Key: "mlflow.sourceRun"},
	"text":   {Entity: Span, Key: "content"},
}

// stored translates an attribute to what it is stored as.
func stored(entity Entity, key string) (Entity, string) {
	if c, ok := storedAs[key]; ok && entity == Attribute {
		return c.Entity, c.Key
	}
	return entity, key
}

// checkTrace gives a clause about traces its types; the value is judged by the field's name as it is written, the comparison by
// what the field is stored as, in MLflow's order.
func (g *Grammar) checkTrace(r raw) (Clause, error) {
	c := Clause{Op: r.op}
	var err error
	if c.Entity, c.Key, err = g.field(r.field); err != nil {
		return c, err
	}
	if r.op != IsNull && r.op != IsNotNull {
		if c.Value, err = g.traceValue(c, r.value); err != nil {
			return c, err
		}
	}
	c.Entity, c.Key = stored(c.Entity, c.Key)
	if c.Entity == Span {
		if c.Key, err = spanKey(c.Key); err != nil {
			return c, err
		}
	}
	if c.Entity == Issue && c.Key != "id" {
		return c, mlflow.Invalidf("Invalid issue attribute '%s'. Supported attributes: id", shorten(c.Key))
	}
	return c, g.checkTraceOp(c)
}

// spanKey checks a key of Span and strips the quotes of an attribute's name.
func spanKey(key string) (string, error) {
	if name, ok := strings.CutPrefix(key, spanAttribute); ok {
		if name = unquoteKey(name); name == "" {
			return "", mlflow.Invalidf("Span attribute name cannot be empty after 'attributes.'")
		}
		return spanAttribute + name, nil
	}
	if slices.Contains([]string{"name", "type", "status", "content"}, key) {
		return key, nil
	}
	return "", mlflow.Invalidf("Invalid span attribute '%s'. Supported attributes: name, status, type, attributes.<attribute_name>.", shorten(key))
}

func (g *Grammar) traceValue(c Clause, t token) (Value, error) {
	switch c.Entity {
	case Feedback, Expectation:
		return assessmentValue(c, t)
	case Tag, Span:
		if t.kind == listToken {
			return listValue(t.raw)
		}
	}
	if c.Entity != Attribute {
		if t.kind == textToken || t.kind == wordToken {
			return quotedValue(t)
		}
		if t.kind == listToken && c.Entity == Span {
			return listValue(t.raw)
		}
		return Value{}, illTyped("Expected a quoted string value for %s (e.g. 'my-value'). Got value", t.raw, c.Entity)
	}
	return g.traceAttributeValue(c.Key, t)
}

func (g *Grammar) traceAttributeValue(key string, t token) (Value, error) {
	numeric := slices.Contains(g.numeric, key)
	switch t.kind {
	case textToken, wordToken:
		v, err := quotedValue(t)
		if err != nil || !numeric {
			return v, err
		}
		i, err := strconv.ParseInt(strings.TrimSpace(v.Text), 10, 64)
		if err != nil {
			return Value{}, illTyped("Expected numeric value type for numeric attribute: %s. Found", t.raw, key)
		}
		return Value{Kind: Integer, Int: i, Num: float64(i)}, nil
	case listToken:
		if !slices.Contains(g.lists, key) {
			return Value{}, mlflow.Invalidf("Only attributes in %s supports comparison with a list of quoted string values.", set(g.lists))
		}
		return listValue(t.raw)
	case numberToken:
		if numeric {
			return parseNumber(t.raw), nil
		}
		return Value{}, mlflow.Invalidf("Only the '%s' attributes support comparison with numeric values.",
			set([]string{"timestamp_ms", "timestamp", "execution_time_ms", "execution_time", "end_time_ms", "end_time"}))
	}
	return Value{}, illTyped("Expected a quoted string value or a list of quoted string values for attributes. Got value", t.raw)
}

// assessmentValue reads a number for <, <=, > and >=, else a text.
func assessmentValue(c Clause, t token) (Value, error) {
	ordered := slices.Contains([]Op{Greater, GreaterOrEqual, Less, LessOrEqual}, c.Op)
	switch {
	case ordered && t.kind == numberToken:
		return asFloat(parseNumber(t.raw)), nil
	case ordered:
		return Value{}, illTyped("Expected a numeric value for %s when using comparator '%s'. Got value", t.raw, c.Entity, c.Op)
	case t.kind == textToken || t.kind == wordToken:
		return quotedValue(t)
	}
	return Value{}, illTyped("Expected a quoted string value for %s (e.g. 'my-value'). Got value", t.raw, c.Entity)
}

// traceOps returns the comparisons that a field of a trace allows.
func (g *Grammar) traceOps(c Clause) []Op {
	switch c.Entity {
	case Attribute:
		if slices.Contains(g.numeric, c.Key) {
			return numericOps
		}
		return traceInOps
	case Tag, Metadata:
		return traceNullOps
	case Feedback, Expectation:
		return assessmentOps
	case Issue:
		return []Op{Equal}
	}
	if c.Key == "content" {
		return []Op{Like, ILike}
	}
	return traceInOps
}

func (g *Grammar) checkTraceOp(c Clause) error {
	ops := g.traceOps(c)
	null, list := c.Op == IsNull || c.Op == IsNotNull, c.Op == In || c.Op == NotIn
	if slices.Contains(ops, c.Op) && (null || list == (c.Value.Kind == List)) {
		return g.checkPrompt(c)
	}
	switch c.Entity {
	case Span:
		return mlflow.Invalidf("span.%s comparator '%s' not one of '%s'", shorten(c.Key), c.Op, opSet(ops))
	case Feedback, Expectation:
		return mlflow.Invalidf("assessment.%s comparator '%s' not one of '%s'", shorten(c.Key), c.Op, opSet(ops))
	case Issue:
		return mlflow.Invalidf("issue.%s comparator '%s' not one of '%s'", shorten(c.Key), c.Op, opSet(ops))
	}
	return mlflow.Invalidf("Invalid comparator '%s' not one of '%s%s", c.Op, opSet(ops), g.closing(c))
}

// checkPrompt checks a clause about prompts, which are compared by name and version together.
func (g *Grammar) checkPrompt(c Clause) error {
	if c.Entity != Tag || c.Key != storedAs["prompt"].Key {
		return nil
	}
	if c.Op != Equal {
		return mlflow.Invalidf(`Invalid comparator '%s' for prompts filter. Only '=' is supported with format: prompt = "name/version"`, c.Op)
	}
	if strings.Count(c.Value.Text, "/") != 1 {
		return mlflow.Invalidf(`Invalid prompts filter value '%s'. Expected format: prompt = "name/version"`, shorten(c.Value.Text))
	}
	return nil
}
