package redact

import (
	"bytes"
	"encoding/csv"
	"io"
)

// csv redacts a table whose first line names the columns.
func (w *walker) csv(b []byte) ([]byte, bool) {
	r := csv.NewReader(bytes.NewReader(b))
	header, err := r.Read()
	if err != nil {
		return nil, false
	}
	header[0] = string(bytes.TrimPrefix([]byte(header[0]), []byte("\ufeff")))
	rules := make([]*Column, len(header))
	for i, name := range header {
		if c, ok := w.rules[name]; ok {
			rules[i] = &c
		}
	}
	var out bytes.Buffer
	lines := csv.NewWriter(&out)
	for line := header; err == nil; line, err = r.Read() {
		kept := make([]string, 0, len(line))
		for i, field := range line {
			switch c := rules[i]; {
			case c != nil && c.Action == Drop:
				continue
			case c != nil && &line[0] != &header[0] && field != "":
				field = w.text(*c, field)
			}
			kept = append(kept, field)
		}
		if werr := lines.Write(kept); werr != nil {
			return nil, false
		}
	}
	lines.Flush()
	if err != io.EOF {
		return nil, false
	}
	return out.Bytes(), true
}
