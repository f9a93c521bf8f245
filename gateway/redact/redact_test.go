package redact

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"sluice/gateway/predlog"
)

type kept struct {
	last    predlog.Record
	skipped int
}

func (k *kept) Skip(predlog.Series) { k.skipped++ }

func (k *kept) Record(r *predlog.Record) { k.last = *r }

func recorder(next Log) *Recorder {
	r := New(next, bytes.Repeat([]byte{7}, 32))
	r.Set(map[string][]Column{"wine": {{Name: "ssn", Action: Drop}, {Name: "mail", Action: Hash}, {Name: "note", Action: Truncate, Length: 2}}})
	return r
}

const (
	canary = "CANARY-1f9a"
	hashed = "#" // stands for the hash of the canary in column mail
)

// bodies have the canary in the columns ssn, mail and note; want is what is kept, "" that the body is withheld.
var bodies = []struct{ name, media, body, want string }{
	{"split", "", `{"dataframe_split":{"columns":["a","ssn","mail","note"],"index":[0],"data":[[1.50,"C","C","C"]]}}`,
		`{"dataframe_split":{"columns":["a","mail","note"],"index":[0],"data":[[1.50,"#","CA"]]}}`},
	{"split, data first", "application/json; charset=utf-8", `{"data":[["C",1]],"columns":["ssn","a"]}`, `{"data":[[1]],"columns":["a"]}`},
	{"beside a split", "", `{"columns":["a"],"data":[[1]],"ssn":"C","more":{"mail":"C"}}`, `{"columns":["a"],"data":[[1]],"more":{"mail":"#"}}`},
	{"an index that names its rows", "", `{"dataframe_split":{"columns":["a"],"index":["C"],"data":[[1]]}}`, ""},
	{"a row that looks like a tensor", "", `{"dataframe_records":[{"name":"x","data":"y","ssn":"C","mail":"C"}]}`, `{"dataframe_records":[{"name":"x","data":"y","mail":"#"}]}`},
	{"records", "application/json", `{"dataframe_records":[{"a":1,"ssn":"C","mail":"C"},{"note":"C","ssn":["C"],"mail":null}]}`,
		`{"dataframe_records":[{"a":1,"mail":"#"},{"note":"CA","mail":null}]}`},
	{"instances", "", `{"instances":[{"ssn":{"x":"C"},"mail":["C",["C"]],"b":[1,2]}],"params":{"note":"C"}}`, `{"instances":[{"mail":["#",["#"]],"b":[1,2]}],"params":{"note":"CA"}}`},
	{"inputs by column", "", `{"inputs":{"ssn":["C","C"],"mail":["C"],"a":[1]}}`, `{"inputs":{"mail":["#"],"a":[1]}}`},
	{"inference protocol", "", `{"id":"1","inputs":[{"name":"ssn","shape":[1],"datatype":"BYTES","data":["C"]},{"data":["C"],"name":"mail"},{"name":"a","data":[1]}]}`,
		`{"id":"1","inputs":[{"name":"ssn","shape":[1],"datatype":"BYTES","data":[]},{"data":["#"],"name":"mail"},{"name":"a","data":[1]}]}`},
	{"keys written otherwise, and twice", "", `{"inputs":{"s\u0073n":["C"],"ssn":["C"],"a":1}}`, `{"inputs":{"a":1}}`},
	{"numbers", "", `{"inputs":{"note":[12345,true],"a":[0.10]}}`, `{"inputs":{"note":["12","tr"],"a":[0.10]}}`},
	{"keys of a hashed object", "", `{"inputs":{"mail":{"C":"C"}}}`, `{"inputs":{"mail":{"#":"#"}}}`},
	{"no names", "", `{"inputs":[["C",1]]}`, ""},
	{"no names, instances", "", `{"instances":["C"]}`, ""},
	{"a list", "", `["C"]`, ""},
	{"ragged rows", "", `{"columns":["ssn"],"data":[["C","C"]]}`, ""},
	{"columns twice", "", `{"columns":["a"],"columns":["ssn"],"data":[["C"]]}`, ""},
	{"rows that are none", "", `{"columns":["ssn"],"data":{"x":"C"}}`, ""},
	{"no JSON", "", `{"ssn":"C"`, ""},
	{"JSON and more", "", `{"a":1} {"ssn":"C"}`, ""},
	{"deep", "", strings.Repeat(`{"a":`, 100) + `"C"` + strings.Repeat("}", 100), ""},
	{"CSV", "text/csv", "a,ssn,mail,note\n1,C,C,\"C\"\n2,\"C,\nC\",,\n", "a,mail,note\n1,#,CA\n2,,\n"},
	{"CSV with a mark in front", "text/csv; charset=utf-8", "\ufeffssn,a\nC,1\n", "a\n1\n"},
	{"ragged CSV", "text/csv", "ssn,a\nC\n", ""},
	{"Arrow", "application/vnd.apache.arrow.stream", "C", ""},
	{"tensors as bytes", "application/octet-stream", "C", ""},
	{"no content type at all", "///", "C", ""},
}

func TestBodies(t *testing.T) {
	t.Parallel()
	var k kept
	r := recorder(&k)
	w := walker{key: r.key}
	hash := w.text(Column{Name: "mail", Action: Hash}, canary)
	for _, c := range bodies {
		body := []byte(strings.ReplaceAll(c.body, "C", canary))
		before := string(body)
		r.Record(&predlog.Record{Endpoint: "wine", Request: body, ContentType: c.media, Response: []byte(`{"predictions":[{"ssn":"` + canary + `","p":1}]}`)})
		want := strings.ReplaceAll(c.want, hashed, hash)
		if got := string(k.last.Request); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, want)
		}
		if withheld := k.last.Redaction == predlog.Withheld; withheld != (c.want == "") {
			t.Errorf("%s: marked %q", c.name, k.last.Redaction)
		}
		if string(k.last.Response) != `{"predictions":[{"p":1}]}` || string(body) != before {
			t.Errorf("%s: response %s, request now %s", c.name, k.last.Response, body)
		}
		if strings.Contains(string(k.last.Request), canary) {
			t.Errorf("%s: the canary is in %s", c.name, k.last.Request)
		}
	}
}

func TestResponsesAndErrors(t *testing.T) {
	t.Parallel()
	var k kept
	r := recorder(&k)
	r.Record(&predlog.Record{Endpoint: "wine", Response: []byte(`{"predictions":[0.5,1]}`)})
	if string(k.last.Response) != `{"predictions":[0.5,1]}` || k.last.Redaction != predlog.Redacted {
		t.Errorf("bare values: %s %v", k.last.Response, k.last.Redaction)
	}
	r.Record(&predlog.Record{Endpoint: "wine", ErrorCode: "BAD_REQUEST", Response: []byte(`{"error_code":"BAD_REQUEST","message":"` + canary + ` is no number"}`)})
	if string(k.last.Response) != `{"error_code":"BAD_REQUEST"}` {
		t.Errorf("error: %s", k.last.Response)
	}
	r.Record(&predlog.Record{Endpoint: "wine", ErrorCode: "BAD_REQUEST", ContentType: "text/csv", Request: []byte(canary + ",1\n" + canary + ",2\n")})
	if k.last.Request != nil || k.last.Redaction != predlog.Withheld {
		t.Errorf("CSV without a header: %s", k.last.Request)
	}
	r.Record(&predlog.Record{Endpoint: "wine", Request: make([]byte, MaxBytes+1)})
	if k.last.Request != nil || k.last.Redaction != predlog.Withheld {
		t.Error("a body that is too long is kept")
	}
}

func TestOtherEndpointsAreLeftAlone(t *testing.T) {
	var k kept
	r := recorder(&k)
	rec := &predlog.Record{Endpoint: "bread", Request: []byte(`{"ssn":1}`)}
	if n := testing.AllocsPerRun(100, func() { r.Record(rec) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if string(k.last.Request) != `{"ssn":1}` || k.last.Redaction != predlog.Unredacted {
		t.Errorf("%+v", k.last)
	}
	r.Set(nil)
	r.Record(&predlog.Record{Endpoint: "wine", Request: []byte(`{"ssn":1}`)})
	if string(k.last.Request) != `{"ssn":1}` {
		t.Error("rules that were taken back are applied")
	}
}

// R45: whatever the shape, the canary stands nowhere on disk: not in the spool, not in segments.
func TestCanaryIsNowhereOnDisk(t *testing.T) {
	t.Parallel()
	dir, rows := t.TempDir(), 0
	look := func(when string) {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if bytes.Contains(data, []byte(canary)) {
				t.Errorf("%s: the canary stands in %s", when, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	sink := predlog.SinkFunc(func(_ context.Context, s predlog.Segment) error {
		look("sealed")
		for r, err := range predlog.Scan(s.Path) {
			if err != nil {
				return err
			}
			rows++
			if text, err := json.Marshal(r); err != nil || bytes.Contains(r.Request, []byte(canary)) || bytes.Contains(r.Response, []byte(canary)) || bytes.Contains(text, []byte(canary)) {
				t.Errorf("the canary stands in a row: %s", r.Request)
			}
		}
		return nil
	})
	log, err := predlog.Open(dir, sink, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := recorder(log)
	for _, c := range bodies {
		body := []byte(strings.ReplaceAll(c.body, "C", canary))
		r.Record(&predlog.Record{PredictionID: uuid.New(), Endpoint: "wine", Model: "wine", Version: 1, Request: body, ContentType: c.media, Response: []byte(`{"ssn":"` + canary + `"}`), Status: 200})
	}
	if err := log.Pending(t.Context(), func(predlog.Row) bool { return true }); err != nil { // writes the spool
		t.Fatal(err)
	}
	look("in the spool")
	if lost, err := log.Close(t.Context()); lost != 0 || err != nil || rows != len(bodies) {
		t.Errorf("%d lost, %d rows, %v", lost, rows, err)
	}
}

func FuzzJSON(f *testing.F) {
	for _, c := range bodies {
		f.Add(strings.ReplaceAll(c.body, "C", canary))
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := walker{rules: rules{"ssn": {Name: "ssn", Action: Drop}}}
		out, ok := w.json([]byte(body), true)
		if ok && !json.Valid(out) {
			t.Errorf("%q became %q", body, out)
		}
		w.csv([]byte(body))
	})
}
