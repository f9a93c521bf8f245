package payload

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
