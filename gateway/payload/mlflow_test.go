package payload

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

// signature is a signature in both worlds' words.
type signature struct {
	Inputs json.RawMessage `json:"inputs,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
}

func (s *signature) compile(t testing.TB) *Plan {
	t.Helper()
	if s == nil {
		return Compile(nil, nil)
	}
	sig := new(mlmodel.Signature)
	var err error
	if s.Inputs != nil {
		if sig.Inputs, err = mlmodel.ParseSchema(string(s.Inputs)); err != nil {
			t.Fatalf("schema %s: %v", s.Inputs, err)
		}
	}
	if s.Params != nil {
		if sig.Params, err = mlmodel.ParseParams(string(s.Params)); err != nil {
			t.Fatalf("params %s: %v", s.Params, err)
		}
	}
	return Compile(sig, nil)
}

// question is one body for a model of one signature.
type question struct {
	Signature *signature `json:"signature"`
	Type      string     `json:"type"`
	Body      []byte     `json:"body"`
}

func (q *question) String() string {
	sig := "none"
	if q.Signature != nil {
		sig = string(q.Signature.Inputs)
	}
	body := string(q.Body)
	if len(body) > 300 {
		body = body[:300] + "…"
	}
	return fmt.Sprintf("signature %s\n  %s %q", sig, q.Type, body)
}

// verdict is what MLflow's scoring server says.
type verdict struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Answer  string `json:"answer"`
	Frame   struct {
		Form    string      `json:"form"`
		Columns [][2]string `json:"columns"`
	} `json:"frame"`
	Params map[string]any `json:"params"`
}

// findPython looks for the project's Python environment upwards from here.
func findPython(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		python := filepath.Join(dir, ".venv", "bin", "python")
		if _, err := os.Stat(python); err == nil {
			return python
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no .venv with mlflow in it upwards from here; run `make setup`")
		}
	}
}

// askMLflow puts all questions to MLflow's own parsing and schema enforcement, in one Python process.
func askMLflow(t testing.TB, questions []question) []verdict {
	t.Helper()
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for i := range questions {
		if err := enc.Encode(&questions[i]); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), findPython(t), "testdata/oracle.py")
	cmd.Stdin = &in
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("oracle.py: %v\n%s", err, stderr.String())
	}
	var got []verdict
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var v verdict
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("oracle.py wrote %q: %v", lines.Text(), err)
		}
		got = append(got, v)
	}
	if len(got) != len(questions) {
		t.Fatalf("oracle.py answered %d of %d questions\n%s", len(got), len(questions), stderr.String())
	}
	return got
}

// ours is what this package says: the answer of a model that echoes its input, or an error.
type ours struct {
	err    error
	answer string
	types  [][2]string
	form   tensor.Form
	params map[string]any
}

func askOurs(t testing.TB, q *question) ours {
	t.Helper()
	var in Input
	if err := q.Signature.compile(t).Decode(q.Type, q.Body, &in); err != nil {
		var e *mlflow.Error
		if !errors.As(err, &e) {
			t.Fatalf("%v\nerror %v is no *mlflow.Error", q, err)
		}
		return ours{err: err}
	}
	answer, err := Encode(nil, &in.Batch)
	if err != nil {
		t.Fatalf("%v\nEncode: %v", q, err)
	}
	o := ours{answer: string(answer), form: in.Batch.Form, params: in.Params}
	for i := range in.Batch.Columns {
		c := &in.Batch.Columns[i]
		o.types = append(o.types, [2]string{c.Name, c.Tensor.Type.String()})
	}
	return o
}

var (
	notJSON = regexp.MustCompile(`([\[ ])(-?Infinity|NaN)`)
	notTime = regexp.MustCompile(`([\[ ])("NaT")`)
)

// difference names the way in which the two disagree, by its heading in DIFFERENCES.md; "" if they agree, "?" for an unknown one.
func difference(q *question, o *ours, v *verdict) string {
	theirs := notJSON.ReplaceAllString(v.Answer, "${1}null")
	if strings.Contains(fmt.Sprint(v.Frame.Columns), "datetime") {
		theirs = notTime.ReplaceAllString(theirs, "${1}null")
	}
	switch {
	case v.Status >= 500 && o.err != nil:
		return "mlflow-500"
	case v.Status >= 400 && o.err != nil:
		return ""
	case v.Status >= 400:
		return weAccept(q, o, v)
	case o.err != nil:
		return weRefuse(q, o.err.Error(), v)
	case q.Signature == nil && v.Frame.Form == "list":
		return "list-without-signature"
	case q.Signature == nil && otherTypes(o, v) != "" && theirs == o.answer:
		return "untyped-columns"
	case theirs != o.answer:
		return otherAnswer(q, o, v, theirs)
	case theirs != v.Answer:
		return "not-a-number-in-answers"
	}
	return ""
}

func containsAny(s string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// weRefuse names the reason for which we refuse what MLflow accepts.
func weRefuse(q *question, message string, v *verdict) string {
	switch {
	case strings.HasSuffix(message, "holds null.") || strings.HasSuffix(message, "no value (null).") || strings.HasSuffix(message, "holds NaN."):
		return "null-in-typed-column"
	case q.Type == "text/csv" && containsAny(message, "is no number") && containsAny(string(q.Body), "True"):
		return "csv-booleans"
	case containsAny(message, "lists of lists", "holds a list."):
		return "lists-in-columns"
	case containsAny(message, "stands twice"):
		return "duplicate-columns"
	case containsAny(message, "not an object."):
		return "mixed-lists"
	case containsAny(message, "out of the type's range"):
		return "integer-overflow"
	case containsAny(message, "to type 'boolean'", "to type 'bool'") && containsAny(message, "string", "list", "object"):
		return "boolean-from-anything"
	case containsAny(message, "to type 'string'", "to type 'binary'", "to type 'str'"):
		return "text-from-anything"
	case containsAny(message, "'datetime'"):
		return "datetime-forms"
	case containsAny(message, "values where there are", "is an object where the others are lists", "is a list, not an object",
		"must be a list of rows", "not a list of"):
		return "ragged-frames"
	case containsAny(message, "'index'"):
		return "index"
	case containsAny(message, "mixes values of different types"):
		return "untyped-columns"
	case containsAny(message, "lone surrogate", "invalid escape"):
		return "lone-surrogates"
	case containsAny(message, "is not an array"):
		return "untyped-columns"
	case containsAny(message, "language model"):
		return "language-models"
	}
	return "?"
}

// weAccept names the reason for which we accept what MLflow refuses.
func weAccept(q *question, o *ours, v *verdict) string {
	body := string(q.Body)
	switch {
	case v.Status == 415:
		return "content-type-spelling"
	case v.Status >= 500:
		return "mlflow-500"
	case containsAny(body, `"inputs":[]`, `"instances":[]`), strings.Contains(v.Message, "single positional indexer is out-of-bounds"):
		return "empty-inputs"
	case strings.HasSuffix(v.Message, "Error: 0"):
		return "index"
	case containsAny(v.Message, "If using all scalar values", "dtyped data in column 1"):
		return "extra-columns-unread"
	case q.Type == "text/csv" && strings.Contains(v.Message, "datetime64[ns] is not supported"):
		return "csv-datetime"
	case strings.Contains(v.Message, "must be of the same length"), strings.Contains(v.Message, "inhomogeneous"),
		strings.Contains(v.Message, "Per-column arrays must each be 1-dimensional"):
		return "extra-columns-unread"
	case strings.Contains(body, `"inputs":[{`) && strings.Contains(v.Message, "Can not safely convert"):
		return "records-in-inputs"
	case strings.Contains(v.Message, "Can not safely convert int64 to float64"), strings.Contains(v.Message, "Can not safely convert"):
		return "unnamed-columns-own-type"
	case strings.Contains(v.Message, "datetime"), strings.Contains(v.Message, "time data"):
		return "datetime-forms"
	}
	return "?"
}

// otherAnswer names the reason for which both accept a body but understand different values.
func otherAnswer(q *question, o *ours, v *verdict, theirs string) string {
	inputs := ""
	if q.Signature != nil {
		inputs = string(q.Signature.Inputs)
	}
	switch {
	case q.Type == "text/csv" && strings.Contains(inputs, "binary"):
		return "csv-binary"
	case strings.Contains(inputs, `"datetime"`):
		return "datetime-forms"
	case q.Signature == nil && q.Type == "text/csv":
		return "untyped-columns"
	}
	return "?"
}

// TestMLflowAgrees compares decoding, schema enforcement and encoding with MLflow's own for a model that echoes its input. A
// difference must be one that DIFFERENCES.md lists, and every listed one must show up.
func TestMLflowAgrees(t *testing.T) {
	t.Parallel()
	questions := append(writtenQuestions(), generatedQuestions(4000)...)
	verdicts := askMLflow(t, questions)
	listed := listedDifferences(t)
	seen := map[string]int{}
	failed := 0
	for i := range questions {
		q, v := &questions[i], &verdicts[i]
		o := askOurs(t, q)
		id := difference(q, &o, v)
		if id == "" {
			if why := otherTypes(&o, v); why != "" {
				t.Errorf("%v\n%s", q, why)
			}
			continue
		}
		seen[id]++
		if !listed[id] && failed < 40 {
			failed++
			t.Errorf("unlisted difference %q: %v\n  MLflow: %d %s %s %s\n  ours:   %s %v", id, q, v.Status, v.Code, v.Answer, lastOfMessage(v.Message), o.answer, o.err)
		}
	}
	for id := range listed {
		if seen[id] == 0 {
			t.Errorf("DIFFERENCES.md lists %q, but no question shows it", id)
		}
	}
	t.Logf("%d questions, differences: %v", len(questions), seen)
}

func lastOfMessage(s string) string {
	if i := strings.LastIndex(s, "Error:"); i >= 0 {
		s = s[i:]
	}
	return s[:min(len(s), 300)]
}

// listedDifferences reads the headings of DIFFERENCES.md: "### id".
func listedDifferences(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("DIFFERENCES.md")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### ([a-z0-9-]+)$`).FindAllSubmatch(text, -1) {
		ids[string(m[1])] = true
	}
	return ids
}

// otherTypes compares the element types that a model would see.
func otherTypes(o *ours, v *verdict) string {
	if o.err != nil || v.Status != 200 {
		return ""
	}
	if len(o.params)+len(v.Params) > 0 {
		if got, want := asJSON(o.params), asJSON(v.Params); got != want {
			return fmt.Sprintf("MLflow's model gets the params %s, ours %s", want, got)
		}
	}
	forms := map[tensor.Form]string{tensor.Table: "table", tensor.Named: "named", tensor.Bare: "bare"}
	if forms[o.form] != v.Frame.Form || len(o.types) != len(v.Frame.Columns) {
		return fmt.Sprintf("MLflow's model sees a %s of %v, ours a %s of %v", v.Frame.Form, v.Frame.Columns, forms[o.form], o.types)
	}
	for i, c := range v.Frame.Columns {
		text := c[1] == "str" || c[1] == "object" || strings.HasPrefix(c[1], "<U") || strings.HasPrefix(c[1], "|S")
		if c[0] != o.types[i][0] || (c[1] != o.types[i][1] && (!text || !strings.Contains("string str binary bytes", o.types[i][1]))) {
			return fmt.Sprintf("column %d is %v for MLflow, %v for us", i, c, o.types[i])
		}
	}
	return ""
}

func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

const (
	typeJSON = "application/json"
	typeCSV  = "text/csv"
)

func schemaOf(columns ...string) *signature {
	return &signature{Inputs: json.RawMessage("[" + strings.Join(columns, ",") + "]")}
}

func columnJSON(name, kind string) string {
	return fmt.Sprintf(`{"type":%q,"name":%q,"required":true}`, kind, name)
}

func optionalJSON(name, kind string) string {
	return fmt.Sprintf(`{"type":%q,"name":%q,"required":false}`, kind, name)
}

func unnamedJSON(kind string) string { return fmt.Sprintf(`{"type":%q,"required":true}`, kind) }

func tensorJSON(name, dtype, shape string) string {
	if name == "" {
		return fmt.Sprintf(`{"type":"tensor","tensor-spec":{"dtype":%q,"shape":%s}}`, dtype, shape)
	}
	return fmt.Sprintf(`{"name":%q,"type":"tensor","tensor-spec":{"dtype":%q,"shape":%s}}`, name, dtype, shape)
}

var kindWords = []string{"boolean", "integer", "long", "float", "double", "string", "binary", "datetime"}

// cellTexts are JSON values that a column of any type may be confronted with.
var cellTexts = []string{
	"0", "1", "-1", "2", "2.5", "-0", "-0.0", "1.0", "1e3", "0.1", "3000000000", "9007199254740993", "12345678901234567890",
	"123456789012345678901234567890", "1e400", "-1e-320", "5e-324", "1.7976931348623157e308", "0.30000000000000004", "16777217", "33554433",
	"true", "false", "null", "NaN", "Infinity", "-Infinity", `"1"`, `"1.5"`, `"x"`, `""`, `" 7 "`, `"1_000"`, `"nan"`, `"inf"`, `"True"`,
	`"aGVsbG8="`, `"aGVsbG8"`, `"aGV sbG8="`, `"\u00e9\ud83d\ude00\n\"\\"`, `"2020-01-01"`, `"2020-01-01T10:00:00"`, `"2020-01-01T10:00:00.123456789"`,
	`"2020-01-01T10:00:00Z"`, `"NaT"`, "[1]", "[]", "{}", `{"k":1}`, "1E5", "100000000000000000000000.5", "0.00001", "123456789.123456789",
}

// writtenQuestions are the cases that somebody thought of.
func writtenQuestions() []question {
	var qs []question
	ask := func(s *signature, contentType string, bodies ...string) {
		for _, b := range bodies {
			qs = append(qs, question{s, contentType, []byte(b)})
		}
	}
	for _, kind := range kindWords {
		s := schemaOf(columnJSON("a", kind))
		for _, cell := range cellTexts {
			ask(s, typeJSON,
				`{"dataframe_split":{"columns":["a"],"data":[[`+cell+`]]}}`, `{"dataframe_records":[{"a":`+cell+`}]}`,
				`{"inputs":{"a":[`+cell+`]}}`, `{"inputs":[{"a":`+cell+`}]}`, `{"instances":[{"a":`+cell+`}]}`, `{"inputs":{"a":`+cell+`}}`)
		}
	}
	two := schemaOf(columnJSON("a", "float"), columnJSON("b", "float"))
	ask(two, typeJSON, frameBodies...)
	ask(schemaOf(columnJSON("a", "double"), optionalJSON("b", "double")), typeJSON, frameBodies...)
	ask(schemaOf(unnamedJSON("double"), unnamedJSON("double")), typeJSON, frameBodies...)
	ask(schemaOf(unnamedJSON("long"), unnamedJSON("double")), typeJSON, `{"inputs":[[1,2],[3,4]]}`, `{"inputs":[[1,0],[3,1]]}`)
	ask(schemaOf(columnJSON("a", "long")), typeJSON, frameBodies...)
	ask(schemaOf(columnJSON("a", "string")), typeJSON, frameBodies...)
	ask(nil, typeJSON, frameBodies...)
	for _, s := range tensorSchemas {
		ask(s, typeJSON, frameBodies...)
		ask(s, typeJSON, tensorBodies...)
	}
	ask(nil, typeJSON, tensorBodies...)
	for _, contentType := range []string{
		"application/json; charset=utf-8", "application/json;charset=UTF-8", "application/json; charset=latin-1", "application/json; version=1",
		"Application/JSON", "application/json;", `application/json; charset="utf-8"`, "", "text/plain", "application/x-www-form-urlencoded",
		"application/json; charset=utf-8; x=y", " application/json ", "multipart/form-data; boundary=x", "text/csv; charset=utf-8",
	} {
		ask(schemaOf(columnJSON("a", "long")), contentType, `{"inputs":{"a":[1]}}`)
	}
	for _, kind := range kindWords {
		ask(schemaOf(columnJSON("a", kind)), typeCSV, csvBodies...)
	}
	ask(two, typeCSV, csvBodies...)
	ask(nil, typeCSV, csvBodies...)
	ask(schemaOf(columnJSON("a", "double")), typeCSV, randomDecimals())
	ask(schemaOf(unnamedJSON("double"), unnamedJSON("double")), typeCSV, csvBodies...)
	ask(tensorSchemas[0], typeCSV, "a,b\n1,2\n")
	params := &signature{
		Inputs: json.RawMessage("[" + columnJSON("a", "long") + "]"),
		Params: json.RawMessage(`[{"name":"n","type":"long","default":3,"shape":null},{"name":"t","type":"double","default":0.5,"shape":null},` +
			`{"name":"s","type":"string","default":"x","shape":null},{"name":"l","type":"long","default":[1],"shape":[-1]}]`),
	}
	for _, p := range []string{`{}`, `null`, `{"n":4}`, `{"n":4.5}`, `{"n":"4"}`, `{"t":1}`, `{"t":"1"}`, `{"s":5}`, `{"l":[1,2]}`, `{"l":5}`, `{"q":1}`, `[]`, `5`, `{"n":null}`} {
		ask(params, typeJSON, `{"inputs":{"a":[1]},"params":`+p+`}`, `{"params":`+p+`,"inputs":{"a":[1]}}`)
	}
	return qs
}

// randomDecimals is a CSV column of decimals of 17 digits.
func randomDecimals() string {
	r := rand.New(rand.NewPCG(3, 5))
	var b strings.Builder
	b.WriteString("a\n")
	for range 300 {
		fmt.Fprintf(&b, "%.17g\n", r.ExpFloat64()*1e5)
	}
	return b.String()
}

var tensorSchemas = []*signature{
	schemaOf(tensorJSON("", "float32", "[-1,2]")), schemaOf(tensorJSON("", "float64", "[-1]")), schemaOf(tensorJSON("", "uint8", "[-1]")),
	schemaOf(tensorJSON("", "bool", "[-1]")), schemaOf(tensorJSON("", "str", "[-1]")), schemaOf(tensorJSON("", "float32", "[-1,2,2]")),
	schemaOf(tensorJSON("", "int32", "[2,2]")), schemaOf(tensorJSON("", "float16", "[-1,2]")), schemaOf(tensorJSON("", "float32", "[-1,-1]")),
	schemaOf(tensorJSON("a", "float32", "[-1,2]"), tensorJSON("b", "int64", "[-1]")), schemaOf(tensorJSON("a", "float32", "[-1]")),
	schemaOf(tensorJSON("a", "int8", "[-1]"), tensorJSON("b", "float64", "[-1,1]")),
}

var frameBodies = []string{
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3,4]]}}`,
	`{"dataframe_split":{"columns":["b","a"],"data":[[1,2],[3,4]]}}`,
	`{"dataframe_split":{"columns":["b","x","a"],"data":[[1,"q",2]]}}`,
	`{"dataframe_split":{"columns":["b","x","a"],"data":[[1,9,2]],"index":[0]}}`,
	`{"dataframe_split":{"index":[0,1],"columns":["a","b"],"data":[[1,2],[3,4]]}}`,
	`{"dataframe_split":{"data":[[1,2]],"columns":["a","b"]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2],[3]]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2,3]]}}`,
	`{"dataframe_split":{"columns":["a","a","b"],"data":[[1,2,3]]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[1,2]}}`,
	`{"dataframe_split":{"columns":["a"],"data":[1,2]}}`,
	`{"dataframe_split":{"columns":["a"],"data":[1,[2]]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":{"a":[1],"b":[2]}}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[{"a":1,"b":2}]}}`,
	`{"dataframe_split":{"data":[[1,2]]}}`, `{"dataframe_split":{"data":[1]}}`,
	`{"dataframe_split":{"columns":null,"index":null,"data":[[1,2]]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2]],"index":[0,1]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2]],"index":5}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2]],"index":["r"]}}`,
	`{"dataframe_split":{"columns":["a","b"],"data":[[1,2]],"extra":[7]}}`,
	`{"dataframe_split":{"columns":["a","b"]}}`, `{"dataframe_split":[]}`, `{"dataframe_split":{}}`, `{"dataframe_split":null}`,
	`{"dataframe_split":{"columns":"ab","data":[[1,2]]}}`, `{"dataframe_split":{"columns":[0,1],"data":[[1,2]]}}`,
	`{"dataframe_split":{"columns":["\u0061","b"],"data":[[1,2]]}}`,
	`{"dataframe_records":[{"a":1,"b":2},{"b":3,"a":4}]}`, `{"dataframe_records":[{"a":1,"b":2},{"a":4}]}`,
	`{"dataframe_records":[{"a":1,"b":2,"a":9}]}`, `{"dataframe_records":[]}`, `{"dataframe_records":[{}]}`, `{"dataframe_records":[[1,2]]}`,
	`{"dataframe_records":{"a":1}}`, `{"dataframe_records":[1]}`, `{"dataframe_records":[{"a":1},2]}`, `{"dataframe_records":[{"b":1,"a":2,"c":"x"}]}`,
	`{"inputs":{"a":[1,2],"b":[3]}}`, `{"inputs":{"a":[1,2],"b":3}}`, `{"inputs":{"a":1,"b":3}}`, `{"inputs":{"a":[1],"b":[3],"c":[1,2]}}`,
	`{"inputs":{"a":[1],"b":[3],"c":["x"]}}`, `{"inputs":{"a":[1],"b":[3],"c":[[1],[2,3]]}}`, `{"inputs":{"b":[1],"a":[3]}}`,
	`{"inputs":{"a":[[1,2]],"b":[[1,2]]}}`, `{"inputs":{"a":[[1],[2]],"b":[3,4]}}`, `{"inputs":{"a":[],"b":[]}}`, `{"inputs":{}}`,
	`{"inputs":[{"a":1,"b":2},{"a":3}]}`, `{"inputs":[{"a":0.1,"b":2},{"a":3,"b":4}]}`, `{"inputs":[{"a":1,"b":2},{"b":3,"a":4}]}`,
	`{"instances":[{"a":1,"b":2},{"a":3}]}`, `{"instances":[{"a":1,"b":2},{"b":3,"a":4}]}`, `{"instances":[{"a":1,"b":2,"c":5},{"a":1,"b":2}]}`,
	`{"instances":{"a":[1,2],"b":[3,4]}}`, `{"instances":{"a":[1,2],"b":[3]}}`, `{"instances":[[1,2],[3,4]]}`, `{"inputs":[[1,2],[3,4]]}`,
	`{"inputs":[1,2]}`, `{"inputs":[[1],[2]]}`, `{"inputs":1}`, `{"inputs":"x"}`, `{"inputs":null}`, `{"inputs":[]}`, `{"inputs":[1,{"a":2}]}`, `{"inputs":[{"a":1},2]}`,
	`{"inputs":["x","y"]}`, `{"inputs":{"a":"x"}}`, `{"inputs":{"a":["x","y"]}}`, `{"inputs":[true]}`, `{"instances":[1,2]}`, `{"instances":[]}`,
	`{"inputs":[1],"instances":[1]}`, `{"inputs":{"a":[1],"b":[1]},"inputs":{"a":[2],"b":[2]}}`, `{}`, `[]`, `5`, `"x"`, `null`, ``, ` `, `{`, `{"inputs":`, `{"inputs":[1,]}`, `{"inputs":[1]} x`,
	`{'inputs':[1]}`, `{"inputs":{"a":[01],"b":[1]}}`, `{"inputs":{"a":[1.],"b":[1]}}`, `{"inputs":{"a":[.5],"b":[1]}}`, `{"inputs":{"a":[+1],"b":[1]}}`, "{\"inputs\":{\"a\":[\"\x01\"]}}", "\xff",
	"\xef\xbb\xbf" + `{"inputs":{"a":[1],"b":[2]}}`, `{"inputs":{"a":[1],"b":[2]},"foo":3}`, `{"inputs":{"a":[1],"b":[2]},"prompt":"x"}`,
	`{"signature_name":"x","inputs":{"a":[1],"b":[2]}}`, `{"inputs":{"a":[1],"b":[2]},"params":{"x":1}}`, `{"messages":[]}`, `{"foo":1}`,
	`{"inputs":{"a":["\ud800"],"b":[1]}}`, "{ \"inputs\" :\n{ \"a\" : [ 1 ] ,\t\"b\" : [ 2 ] } }\r\n",
}

var tensorBodies = []string{
	`{"inputs":[[1,2],[3]]}`, `{"inputs":[[1,2,3]]}`, `{"inputs":{"a":[[1,2]]}}`, `{"inputs":[["1","2"]]}`, `{"inputs":[[null,true]]}`,
	`{"inputs":[[1.5,2.5],[3,4]]}`, `{"inputs":[[[1,2],[3,4]]]}`, `{"inputs":[[[1,2],[3,4]],[[5,6],[7,8]]]}`, `{"inputs":[300]}`, `{"inputs":[300.5]}`, `{"inputs":[-1]}`, `{"inputs":[-1.5]}`,
	`{"inputs":[2.7,true]}`, `{"inputs":[1e30]}`, `{"inputs":["7"]}`, `{"inputs":[1,0.5,true]}`, `{"inputs":[1,0.5,true,null,"x"]}`, `{"inputs":[70000.0,65519.9,65520,1e-8]}`,
	`{"inputs":[[70000.0,65519.9],[1e-8,0.1]]}`, `{"inputs":{"a":[[1,2]],"b":[3]}}`, `{"inputs":{"b":[3],"a":[[1,2]]}}`, `{"inputs":{"a":[[1,2]],"b":[3],"z":[1]}}`,
	`{"inputs":{"b":[3,4],"a":[[1,2]]}}`, `{"instances":{"b":[3,4],"a":[[1,2]]}}`, `{"instances":[{"a":[1,2],"b":3},{"b":4,"a":[5,6]}]}`,
	`{"inputs":[{"a":[1,2],"b":3}]}`, `{"dataframe_split":{"columns":["a","b"],"data":[[[1,2],3],[[4,5],6]]}}`, `{"dataframe_records":[{"a":[1,2],"b":3}]}`,
	`{"dataframe_split":{"columns":["p"],"data":[[[1,2]],[[3,4]]]}}`, `{"dataframe_split":{"columns":["p","q"],"data":[[1,2],[3,4]]}}`,
	`{"dataframe_split":{"columns":["p","q","r"],"data":[[1,2,3]]}}`, `{"dataframe_split":{"columns":["p"],"data":[[1],[2]]}}`,
	`{"inputs":[[16777217,33554433],[9007199254740993,0.1]]}`, `{"inputs":[[],[]]}`, `{"inputs":[NaN,Infinity]}`, `{"inputs":{"a":[1,2,3]}}`, `{"inputs":{"a":[1,2],"b":[[1],[2]]}}`,
}

var csvBodies = []string{
	"a,b\n1,2\n3,\n", "b,a\n1,NA\n", "b\n1\n", "", "\n", "a,b\n", "a,b\n1,2,3\n", "a,b\n1\n", "a,b\nx,1\n", "a,b\n\"1\",\"2\"\n", "a,b\n 1 , 2\n",
	"a\n1\n", "a\n1.0\n", "a\n1.5\n", "a\n\n1\n", "a\nNA\n", "a\n99999999999999999999\n", "a,a\n1,2\n", "a\n\"1,5\"\n", "a\nTrue\nfalse\nTRUE\n", "a\n0\n1\n",
	"a\n3000000000\n", "a\n2020-01-01\n", "a\naGVsbG8=\n", "a\nx\n\"q\"\"q\"\n\"l1\nl2\"\n", "a\n\"\"\n", "a,b\r\n1,2\r\n", "a,b\n1,2", "\xef\xbb\xbfa,b\n1,2\n",
	"a,b\n1,inf\n-Infinity,1e5\n", "a,b\n1_0,1\n", "a,b\n0x10,1\n", "a,b\n0.1,0.2\n", "\"a\",\"b\"\n1,2\n", "a,b\n1,2\n\n3,4\n", "a,b\n\"1,2\n", "a,b,c\n1,2,x\n",
	"a,b,c,d\n1,1.5,x,True\n2,,y,False\n", "a\n1\nx\n", "a\nTrue\n\n", "a\nx\nNA\n", "a\n-5\n+7\n", "a,b\n1e3,1E-3\n", "a\nnan\nNULL\n<NA>\n#N/A\nNone\nn/a\n", "a,b\nnull,1\n", "\xff\xfe",
}

// generatedQuestions are frames of random columns, cells and shapes, the same ones every time.
func generatedQuestions(n int) []question {
	r := rand.New(rand.NewPCG(7, 11))
	qs := make([]question, n)
	for i := range qs {
		qs[i] = generate(r)
	}
	return qs
}

func generate(r *rand.Rand) question {
	columns := 1 + r.IntN(4)
	kinds, specs := make([]string, columns), make([]string, columns)
	for c := range columns {
		kinds[c] = kindWords[r.IntN(len(kindWords))]
		specs[c] = columnJSON(string(rune('a'+c)), kinds[c])
		if r.IntN(5) == 0 {
			specs[c] = optionalJSON(string(rune('a'+c)), kinds[c])
		}
	}
	rows := r.IntN(4)
	cells := make([][]string, rows)
	for i := range cells {
		for c := range columns {
			cells[i] = append(cells[i], randomCell(r, kinds[c]))
		}
	}
	sig := schemaOf(specs...)
	if r.IntN(12) == 0 {
		sig = nil
	}
	return question{sig, typeJSON, []byte(randomBody(r, columns, cells))}
}

// randomCell is mostly a value that the kind takes.
func randomCell(r *rand.Rand, kind string) string {
	if r.IntN(12) == 0 {
		return cellTexts[r.IntN(len(cellTexts))]
	}
	switch kind {
	case "boolean":
		return []string{"true", "false"}[r.IntN(2)]
	case "integer", "long":
		return fmt.Sprint(r.IntN(2000) - 1000)
	case "string":
		return []string{`"x"`, `"\u00e9"`, `"a\"b"`, `"12"`}[r.IntN(4)]
	case "binary":
		return `"aGVsbG8="`
	case "datetime":
		return `"2021-02-03T04:05:06"`
	}
	switch r.IntN(5) {
	case 0:
		return "null"
	case 1:
		return fmt.Sprint(r.IntN(100))
	case 2:
		return fmt.Sprint(r.NormFloat64())
	}
	return fmt.Sprintf("%.3f", r.NormFloat64()*100)
}

func randomBody(r *rand.Rand, columns int, cells [][]string) string {
	order := r.Perm(columns)
	if r.IntN(10) == 0 {
		order = order[:columns-1]
	}
	name := func(c int) string { return fmt.Sprintf("%q", string(rune('a'+c))) }
	var parts []string
	switch r.IntN(4) {
	case 0:
		var names []string
		for _, c := range order {
			names = append(names, name(c))
		}
		for _, row := range cells {
			var values []string
			for _, c := range order {
				values = append(values, row[c])
			}
			parts = append(parts, "["+strings.Join(values, ", ")+"]")
		}
		return `{"dataframe_split": {"columns": [` + strings.Join(names, ",") + `], "data": [` + strings.Join(parts, ",") + `]}}`
	case 1:
		for _, c := range order {
			var values []string
			for _, row := range cells {
				values = append(values, row[c])
			}
			parts = append(parts, name(c)+": ["+strings.Join(values, ",")+"]")
		}
		return `{"inputs": {` + strings.Join(parts, ", ") + `}}`
	}
	for _, row := range cells {
		var values []string
		for _, c := range order {
			values = append(values, name(c)+":"+row[c])
		}
		parts = append(parts, "{"+strings.Join(values, ",")+"}")
	}
	field := []string{"dataframe_records", "instances", "inputs"}[r.IntN(3)]
	return `{"` + field + `":[` + strings.Join(parts, ", ") + `]}`
}
