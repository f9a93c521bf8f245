package loadtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/encoding/protowire"
)

// A load test takes from a log what its URL understands, as it was sent.
func TestBodiesFromAPredictionLog(t *testing.T) {
	type row struct {
		ID          string  `parquet:"databricks_request_id"`
		Request     *string `parquet:"request,optional"`
		Raw         []byte  `parquet:"request_binary,optional"`
		ContentType string  `parquet:"content_type"`
		Redaction   *string `parquet:"redaction,optional"`
		Truncated   bool    `parquet:"truncated"`
		Other       int64   `parquet:"other"`
	}
	text := func(s string) *string { return &s }
	head := `{"inputs": [{"name": "x", "shape": [2], "datatype": "INT8", "parameters": {"binary_data_size": 2}}]}`
	asJSON := `{"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}]}`
	message := appendMessage(appendText(appendText(appendText(nil, 1, "wine"), 2, "3"), 3, "id"), 5, appendText(nil, 1, "x"))
	path := filepath.Join(t.TempDir(), "log.parquet")
	if err := parquet.WriteFile(path, []row{
		{ID: "scoring", Request: text(`{"inputs": [1]}`), ContentType: "application/json"},
		{ID: "records", Request: text(`{"dataframe_records": [{"datatype": 1, "name": "a"}]}`), ContentType: "application/json"},
		{ID: "csv", Request: text("a\n1\n"), ContentType: "text/csv"},
		{ID: "arrow", Raw: []byte{0xff, 0xff, 0xff, 0xff}, ContentType: "application/vnd.apache.arrow.stream"},
		{ID: "tensors", Request: text(asJSON), ContentType: "application/json"},
		{ID: "bytes", Raw: []byte(head + "\x01\xff"), ContentType: "application/octet-stream"},
		{ID: "bytes that are text", Request: text(head + "ab"), ContentType: "application/octet-stream"},
		{ID: "message", Raw: message, ContentType: MessageType},
		{ID: "cut", Request: text(`{"inp`), Truncated: true}, {ID: "empty"}, {ID: "redacted", Request: text(`{"inputs": ["x"]}`), ContentType: "application/json", Redaction: text("redacted")},
	}); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"http://h/endpoints/wine/invocations": "scoring records csv arrow", "http://h/v2/models/other/infer": "tensors bytes bytes that are text",
		"grpc://h/v2/models/other/infer": "message",
	} {
		found, err := FromLog(path, url, 10)
		var ids []string
		for _, r := range found {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", url, got, err, want)
			continue
		}
		payloads := Payloads(found)
		switch url[:4] {
		case "grpc":
			if want := appendMessage(appendText(appendText(nil, 1, "other"), 3, "id"), 5, appendText(nil, 1, "x")); !bytes.Equal(payloads[0].Body, want) {
				t.Errorf("the message is not for another model: %q", payloads[0].Body)
			}
		case "http":
			for _, p := range payloads {
				length := p.Header[headerInferLength]
				if isBytes := p.ContentType == binaryType; isBytes != (length == fmt.Sprint(len(head))) || !isBytes && length != "" {
					t.Errorf("%q has the header %q", p.Body, length)
				}
			}
		}
	}
	if _, err := FromLog(filepath.Join(t.TempDir(), "none"), "http://h/invocations", 1); err == nil {
		t.Error("an absent file was read")
	}
	one := filepath.Join(t.TempDir(), "one.parquet")
	if err := parquet.WriteFile(one, []row{{Request: text("{}"), ContentType: "application/json"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := FromLog(one, "grpc://h/v2/models/m/infer", 1); err == nil || !strings.Contains(err.Error(), "over gRPC") {
		t.Errorf("a log of another protocol: %v", err)
	}
}

// The same outputs are read from an answer as JSON, as bytes and as a message.
func TestOutputs(t *testing.T) {
	raw := map[string]string{"f": "\x00\x3e\x00\x7e", "h": "\x20\x40", "d": "\x00\x00\x00\x00\x00\x00\xf0\x7f", "i": "\xff\xff\xff\xff\xff\xff\xff\xff", "s": "\x02\x00\x00\x00\xc3\xa9\x00\x00\x00\x00", "b": "\x01\x00", "u": "\xff\xff"}
	want := []Output{
		{"f", "FP16", []int{2}, []any{1.5, "NaN"}}, {"h", "BF16", []int{1}, []any{2.5}}, {"d", "FP64", []int{1}, []any{"+Inf"}}, {"i", "INT64", []int{1, 1}, []any{-1.0}},
		{"s", "BYTES", []int{2}, []any{"é", ""}}, {"b", "BOOL", []int{2}, []any{true, false}}, {"u", "UINT16", []int{1}, []any{65535.0}},
	}
	var tensors []map[string]any
	var tail string
	var message, contents []byte
	for _, o := range want {
		size := len(raw[o.Name])
		tensors = append(tensors, map[string]any{"name": o.Name, "datatype": o.Datatype, "shape": o.Shape, "parameters": map[string]any{"binary_data_size": size}})
		tail += raw[o.Name]
		var shape []byte
		for _, d := range o.Shape {
			shape = protowire.AppendVarint(shape, uint64(d))
		}
		message = appendMessage(message, 5, appendMessage(appendText(appendText(nil, 1, o.Name), 2, o.Datatype), 3, shape))
		contents = appendMessage(contents, 6, []byte(raw[o.Name]))
	}
	head, err := json.Marshal(map[string]any{"outputs": tensors})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Outputs(binaryType, append(head, tail...)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("bytes: %v, %v", got, err)
	}
	if got, err := Outputs(MessageType, append(message, contents...)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("message: %v, %v", got, err)
	}
	nested := `{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2.5], [null, 4]]}]} ` + "\n"
	if got, err := Outputs("application/json; charset=utf-8", []byte(nested)); err != nil || !reflect.DeepEqual(got, []Output{{"y", "FP32", []int{2, 2}, []any{1.0, 2.5, nil, 4.0}}}) {
		t.Errorf("JSON: %v, %v", got, err)
	}
	for name, c := range map[string]struct{ kind, body string }{
		"bytes missing":      {binaryType, string(head) + tail[1:]},
		"bytes left":         {binaryType, string(head) + tail + "x"},
		"no outputs":         {jsonType, `{"predictions": [1]}`},
		"an unknown type":    {binaryType, `{"outputs": [{"datatype": "FP8", "parameters": {"binary_data_size": 1}}]}x`},
		"half a number":      {binaryType, `{"outputs": [{"datatype": "FP16", "parameters": {"binary_data_size": 1}}]}x`},
		"half a text":        {binaryType, `{"outputs": [{"datatype": "BYTES", "parameters": {"binary_data_size": 5}}]}` + "\x02\x00\x00\x00x"},
		"a negative size":    {binaryType, `{"outputs": [{"datatype": "INT8", "parameters": {"binary_data_size": -1}}]}`},
		"neither":            {jsonType, `{"outputs": [{"datatype": "INT8"}]}`},
		"half a message":     {MessageType, string(message[:len(message)-1])},
		"contents missing":   {MessageType, string(message)},
		"another type":       {"text/html", string(head)},
		"no type":            {"", nested},
		"an error of gRPC's": {MessageType, ""},
	} {
		if got, err := Outputs(c.kind, []byte(c.body)); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestALogIsReadInOrderOfTime(t *testing.T) {
	type row struct {
		ID          string  `parquet:"databricks_request_id"`
		TimeUS      int64   `parquet:"time"`
		Endpoint    string  `parquet:"endpoint"`
		Model       string  `parquet:"model_name"`
		Version     int32   `parquet:"model_version"`
		Status      int32   `parquet:"status_code"`
		Shadow      bool    `parquet:"shadow"`
		Request     *string `parquet:"request,optional"`
		Response    *string `parquet:"response,optional"`
		ContentType string  `parquet:"content_type"`
		Truncated   bool    `parquet:"truncated"`
		LatencyNS   int64   `parquet:"latency_ns"`
	}
	folder := t.TempDir()
	body, answer := `{"inputs": [1]}`, `{"predictions": [1]}`
	for f := range int64(3) { // every file has every third record, the newest first
		var rows []row
		for i := int64(9); i >= 0; i-- {
			n := 3*i + f
			rows = append(rows, row{ID: fmt.Sprint(n), TimeUS: n * 1000, Endpoint: "wine", Model: "m", Version: 2, Status: 200, Request: &body, Response: &answer, LatencyNS: 5})
		}
		rows = append(rows, row{ID: "shadow", TimeUS: 1e6, Endpoint: "wine", Status: 200, Shadow: true, Request: &body}, row{ID: "failed", TimeUS: 1e6, Endpoint: "wine", Status: 500, Request: &body},
			row{ID: "elsewhere", TimeUS: 1e6, Endpoint: "iris", Status: 200, Request: &body}, row{ID: "cut", TimeUS: 1e6, Endpoint: "wine", Status: 200, Request: &body, Truncated: true})
		path := filepath.Join(folder, fmt.Sprintf("run%d/segment.parquet", f))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := parquet.WriteFile(path, rows); err != nil {
			t.Fatal(err)
		}
	}
	found, err := ReadLog(folder, Wanted{Endpoint: "wine", Answered: true, Last: 4})
	if err != nil || len(found) != 4 {
		t.Fatalf("%v, %v", found, err)
	}
	for i, r := range found {
		if r.ID != fmt.Sprint(26+i) || string(r.Response) != answer || r.Model != "m" || r.Version != 2 || r.Latency != 5 || r.Time.UnixMicro() != int64(26+i)*1000 {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	if all, err := ReadLog(folder, Wanted{Last: 1000}); err != nil || len(all) != 39 {
		t.Errorf("%d records, %v; want all but the cut ones", len(all), err)
	}
	for what, w := range map[string]Wanted{folder: {Endpoint: "nobody", Last: 1}, t.TempDir(): {Last: 1}} {
		if _, err := ReadLog(what, w); err == nil {
			t.Errorf("%+v of %s was found", w, what)
		}
	}
}
