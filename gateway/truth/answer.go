package truth

import (
	"bytes"
	"encoding/json"
	"math"
	"mime"
	"unicode/utf8"

	"sluice/gateway/payload"
	"sluice/runtime/tensor"
)

// Answers returns the prediction of each row of an answer: the field output of a row that has fields, or its first one if output is "". It reads
//
//	{"predictions": …}   of MLflow's scoring protocol: a row is a value, an object, or a list whose first value counts, or fields are lists of rows
//	outputs              of the Open Inference Protocol, as JSON, with tensors' bytes behind JSON, or as gRPC carries them: the first value of each row
//
// Rows without such a value are None; nil means that the body is none of this. There are no others: answers are not written as CSV, Parquet or Arrow,
// which requests may be.
func Answers(contentType string, body []byte, output string) []Value {
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return nil
	case kind == "application/octet-stream" || kind == "application/x-protobuf":
		return outputsOf(kind, body, output)
	case kind != "application/json":
		return nil
	}
	var answer struct {
		Predictions json.RawMessage `json:"predictions"`
		Outputs     json.RawMessage `json:"outputs"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	if len(answer.Outputs) > 0 {
		return outputsOf(kind, body, output)
	}
	switch p := bytes.TrimSpace(answer.Predictions); {
	case len(p) == 0:
		return nil
	case p[0] == '[':
		return rowsOf(p, output)
	case p[0] == '{':
		if column := bytes.TrimSpace(field(p, output)); len(column) > 0 && column[0] == '[' {
			return rowsOf(column, "")
		}
		return nil
	default:
		return []Value{first(p)}
	}
}

// outputsOf is the first value of each row of an output of the Open Inference Protocol.
func outputsOf(contentType string, body []byte, output string) []Value {
	var in payload.Input
	t, err := payload.DecodeOutput(contentType, body, output, &in)
	if err != nil || t == nil || t.Len() == 0 {
		return nil
	}
	rows := t.Rows()
	if len(t.Shape) == 0 {
		rows = 1
	}
	out := make([]Value, rows)
	for row := range out {
		out[row] = element(t, row*(t.Len()/rows))
	}
	return out
}

// element is a value of a tensor, as JSON would have it: a number of an integer type is whole, and one that is none is missing.
func element(t *tensor.Tensor, i int) Value {
	switch {
	case t.Type.Text():
		if text := t.Strings()[i]; len(text) <= maxValueText && utf8.ValidString(text) {
			return Value{Kind: Text, Text: text}
		}
		return Value{}
	case t.Type == tensor.Bool:
		return boolValue(t.At(i) != 0)
	case !t.Type.Numeric():
		return Value{}
	}
	x := t.At(i)
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return Value{}
	case t.Type.Integer():
		return Value{Kind: Whole, Number: x}
	}
	return Value{Kind: Number, Number: x}
}

func rowsOf(list json.RawMessage, output string) []Value {
	var rows []json.RawMessage
	if json.Unmarshal(list, &rows) != nil {
		return nil
	}
	out := make([]Value, len(rows))
	for i, row := range rows {
		if row = bytes.TrimSpace(row); len(row) > 0 && row[0] == '{' {
			row = field(row, output)
		}
		out[i] = first(row)
	}
	return out
}

// first is the value, or the first one of a list, however deep.
func first(raw json.RawMessage) Value {
	for depth := 0; depth < 8; depth++ {
		raw = bytes.TrimSpace(raw)
		if len(raw) == 0 || raw[0] != '[' {
			break
		}
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
			return Value{}
		}
		raw = list[0]
	}
	v, _ := ParseValue(raw)
	return v
}

// field returns a field of an object, or its first one if name is ""; nil if there is none.
func field(object json.RawMessage, name string) json.RawMessage {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
		if name == "" || key == name {
			return value
		}
	}
	return nil
}
