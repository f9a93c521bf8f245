package payload

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const typeParquet = "application/vnd.apache.parquet"

// parquetBodies are files that pandas and pyarrow wrote.
func parquetBodies(t testing.TB) map[string][]byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), findPython(t), "testdata/parquet.py").Output()
	if err != nil {
		t.Fatalf("parquet.py: %v", err)
	}
	bodies := map[string][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var one struct {
			Name string `json:"name"`
			Body []byte `json:"body"`
		}
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		bodies[one.Name] = one.Body
	}
	return bodies
}

// parquetExceptions are the files, or "file as kind", in which we differ from MLflow, and why; DIFFERENCES.md has them under Parquet.
var parquetExceptions = map[string]string{
	"nulls without a type as boolean": "null-in-typed-column",
	"nulls without a type as binary":  "null-in-typed-column",
	"codec brotli":                    "brotli is not read",
	"codec lz4":                       "lz4 is not read",
	"delta":                           "delta encodings are not read",
	"float16":                         "half floats are not read",
	"nulls in bools":                  "null-in-typed-column",
	"nulls in text as binary":         "null-in-typed-column",
	"timestamps utc":                  "times with a time zone are not read",
	"dates":                           "dates are times at midnight; pandas makes Python objects of them",
	"lists":                           "nested columns are not read",
	"decimals":                        "decimals are not read; pandas makes Python objects of them",
	"categories":                      "categories are text; pyfunc refuses them for string columns",
	"text as binary":                  "text is its bytes; MLflow passes the text itself",
	"many texts as binary":            "text is its bytes; MLflow passes the text itself",
	"bytes as string":                 "bytes are text if they are UTF-8; MLflow passes the bytes",
	"bytes as boolean":                "MLflow passes bytes in a boolean column",
}

// TestParquetAgrees compares with MLflow's reading of the same files, for a model without signature and for every column type.
func TestParquetAgrees(t *testing.T) {
	t.Parallel()
	bodies := parquetBodies(t)
	var names []string
	var questions []question
	for name, body := range bodies {
		for _, kind := range append([]string{""}, kindWords...) {
			q := question{Type: typeParquet, Body: body}
			if kind != "" {
				q.Signature = schemaOf(columnJSON("a", kind))
			}
			names, questions = append(names, name+" as "+kind), append(questions, q)
		}
		names, questions = append(names, name+" as tensor"), append(questions, question{schemaOf(tensorJSON("", "float64", "[-1,2]")), typeParquet, body})
	}
	used := map[string]bool{}
	for i, v := range askMLflow(t, questions) {
		o := askOurs(t, &questions[i])
		theirs := notTime.ReplaceAllString(notJSON.ReplaceAllString(v.Answer, "${1}null"), "${1}null")
		if (v.Status == 200) == (o.err == nil) && (o.err != nil || theirs == o.answer) {
			continue
		}
		file, _, _ := strings.Cut(names[i], " as ")
		if parquetExceptions[file] != "" || parquetExceptions[names[i]] != "" {
			used[file], used[names[i]] = true, true
			continue
		}
		t.Errorf("%s\n  MLflow: %d %s %.300s\n  ours:   %v %.300s", names[i], v.Status, lastOfMessage(v.Message), v.Answer, o.err, o.answer)
	}
	for name := range parquetExceptions {
		if !used[name] {
			t.Errorf("the exception %q is not needed", name)
		}
	}
}

// TestParquetBombs changes every byte of a small file, and cuts it everywhere: an error or an answer, but never a panic.
func TestParquetBombs(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("testdata/parquet/two.parquet")
	if err != nil {
		t.Fatal(err)
	}
	plan := Compile(nil, &Options{MaxCells: 1000})
	var in Input
	for i := range body {
		for _, x := range []byte{0x01, 0x80, 0xff} {
			damaged := bytes.Clone(body)
			damaged[i] ^= x
			_ = plan.Decode(typeParquet, damaged, &in)
		}
		if err := plan.Decode(typeParquet, body[:i], &in); err == nil {
			t.Errorf("the first %d of %d bytes were accepted", i, len(body))
		}
	}
	if err := plan.Decode(typeParquet, body, &in); err != nil {
		t.Errorf("the whole file: %v", err)
	}
}

// TestParquetListBomb is a footer whose schema claims two billion elements.
func TestParquetListBomb(t *testing.T) {
	footer := []byte{0x15, 0x02, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07}
	body := append([]byte("PAR1"), footer...)
	body = append(body, byte(len(footer)), 0, 0, 0)
	body = append(body, "PAR1"...)
	if err := Decode(typeParquet, body, nil, new(Input)); err == nil || !strings.Contains(err.Error(), "footer") {
		t.Errorf("got %v, want a damaged footer", err)
	}
}
