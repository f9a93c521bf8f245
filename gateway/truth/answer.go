package truth

import (
	"bytes"
	"encoding/json"
	"mime"
)

// Answers returns the prediction of each row of an answer: the field output of a row that has fields, or its first one if output is "".
// It reads {"predictions": …}, where a row is a value, an object, or a list whose first value counts, or where fields are lists of rows; and
// {"outputs": …} of the Open Inference Protocol. Rows without such a value are None; nil means that the body is none of this.
func Answers(contentType string, body []byte, output string) []Value {
	if kind, _, err := mime.ParseMediaType(contentType); err != nil || kind != "application/json" {
		return nil
	}
	var answer struct {
		Predictions json.RawMessage `json:"predictions"`
		Outputs     []struct {
			Name  string            `json:"name"`
			Shape []int64           `json:"shape"`
			Data  []json.RawMessage `json:"data"`
		} `json:"outputs"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	for _, o := range answer.Outputs {
		if output != "" && o.Name != output {
			continue
		}
		width := 1
		if len(o.Shape) > 0 && o.Shape[0] > 0 {
			width = max(len(o.Data)/int(min(o.Shape[0], int64(len(o.Data))+1)), 1)
		}
		var out []Value
		for i := 0; i < len(o.Data); i += width {
			out = append(out, first(o.Data[i]))
		}
		return out
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
