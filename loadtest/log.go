package loadtest

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
)

// FromLog reads requests from a Parquet segment of the prediction log (its columns request and content_type), at most n of them; empty and
// cut bodies are left out, and binary tensors, because the header that says where they begin is not logged.
func FromLog(path string, n int) ([]Payload, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	type row struct {
		Request     *string `parquet:"request,optional"`
		ContentType string  `parquet:"content_type"`
		Truncated   bool    `parquet:"truncated"`
	}
	reader := parquet.NewGenericReader[row](file)
	defer reader.Close()
	rows := make([]row, 256)
	var out []Payload
	for len(out) < n {
		read, err := reader.Read(rows)
		for _, r := range rows[:read] {
			if r.Request == nil || *r.Request == "" || r.Truncated || r.ContentType == binaryType || len(out) == n {
				continue
			}
			p := Payload{Body: []byte(*r.Request), ContentType: r.ContentType}
			if p.ContentType == "" {
				p.ContentType = jsonType
			}
			out = append(out, p)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("loadtest: %s: %w", path, err)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("loadtest: %s holds no whole request", path)
	}
	return out, nil
}
