package loadtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// Recorded is one request of a prediction log and the answer that it got.
type Recorded struct {
	ID              string // X-Sluice-Prediction-Id
	Time            time.Time
	Endpoint, Model string
	Version         int
	Status          int
	Protocol        Protocol
	Request         Payload
	Response        []byte
	ResponseType    string        // media type of Response
	Latency         time.Duration // from its arrival to its answer, as the server measured
}

// Wanted says which requests of a log are meant. Those without a whole body as it was sent are left out always: empty, cut and redacted ones.
type Wanted struct {
	// Endpoint that answered; "" means any.
	Endpoint string
	// Answered leaves out shadows and what was not answered with 200.
	Answered bool
	// Protocol of the requests; "" means any.
	Protocol Protocol
	// Last is how many of the newest; at least 1.
	Last int
}

// ReadLog reads requests from a Parquet segment of the prediction log, or from every one below a folder, in order of time. It holds twice as many as are
// wanted in memory at most. None at all is an error.
func ReadLog(path string, w Wanted) ([]Recorded, error) {
	files, err := segments(path)
	if err != nil {
		return nil, err
	}
	var found []Recorded
	for _, file := range files {
		err := eachRow(file, func(r *logRow) {
			if !w.wants(r) {
				return
			}
			record := r.recorded()
			if w.Protocol != "" && record.Protocol != w.Protocol {
				return
			}
			if found = append(found, record); len(found) >= 2*w.Last {
				found = newest(found, w.Last)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("loadtest: %s: %w", file, err)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("loadtest: %s holds no whole request of %s", path, cmp.Or(w.Protocol, "any protocol"))
	}
	return newest(found, w.Last), nil
}

// FromLog reads what the URL understands of a log, as ReadLog reads requests: the newest n whatever became of them. Those of gRPC are made to name the
// model that the URL names.
func FromLog(path, url string, n int) ([]Recorded, error) {
	found, err := ReadLog(path, Wanted{Protocol: ProtocolOf(url), Last: n})
	if err != nil {
		return nil, err
	}
	model, version := InferenceModel(url)
	for i := range found {
		if found[i].Protocol != InferenceRPC {
			continue
		}
		if found[i].Request.Body, err = addressed(found[i].Request.Body, model, version); err != nil {
			return nil, fmt.Errorf("loadtest: request %s: %w", found[i].ID, err)
		}
	}
	return found, nil
}

// Payloads are the requests of the records.
func Payloads(records []Recorded) []Payload {
	out := make([]Payload, len(records))
	for i := range records {
		out[i] = records[i].Request
	}
	return out
}

// newest sorts by time and keeps the last n.
func newest(all []Recorded, n int) []Recorded {
	slices.SortStableFunc(all, func(a, b Recorded) int { return a.Time.Compare(b.Time) })
	return slices.Clone(all[max(0, len(all)-n):])
}

// segments is the file, or every Parquet file below the folder.
func segments(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	var files []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(p, ".parquet") {
			files = append(files, p)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("loadtest: %s holds no .parquet file", path)
	}
	return files, err
}

// logRow is what a segment tells of a request; columns that a file lacks stay empty. (Source: gateway/predlog/DESIGN.md.)
type logRow struct {
	ID          string  `parquet:"databricks_request_id,optional"`
	Redaction   string  `parquet:"redaction,optional"`
	TimeUS      int64   `parquet:"time,optional"`
	Endpoint    string  `parquet:"endpoint,optional"`
	Model       string  `parquet:"model_name,optional"`
	Version     int32   `parquet:"model_version,optional"`
	Status      int32   `parquet:"status_code,optional"`
	Shadow      bool    `parquet:"shadow,optional"`
	Request     *string `parquet:"request,optional"`
	Response    *string `parquet:"response,optional"`
	RequestRaw  []byte  `parquet:"request_binary,optional"`
	ResponseRaw []byte  `parquet:"response_binary,optional"`
	ContentType string  `parquet:"content_type"`
	AnswerType  string  `parquet:"response_content_type,optional"`
	Truncated   bool    `parquet:"truncated"`
	LatencyNS   int64   `parquet:"latency_ns,optional"`
}

func (w *Wanted) wants(r *logRow) bool {
	whole := len(r.RequestRaw) > 0 || r.Request != nil && *r.Request != ""
	return whole && !r.Truncated && r.Redaction == "" && (w.Endpoint == "" || r.Endpoint == w.Endpoint) && (!w.Answered || r.Status == 200 && !r.Shadow)
}

func (r *logRow) recorded() Recorded {
	out := Recorded{
		ID: r.ID, Time: time.UnixMicro(r.TimeUS), Endpoint: r.Endpoint, Model: r.Model, Version: int(r.Version), Status: int(r.Status),
		Response: body(r.Response, r.ResponseRaw), ResponseType: cmp.Or(r.AnswerType, jsonType), Latency: time.Duration(r.LatencyNS),
	}
	out.Request, out.Protocol = recognized(cmp.Or(r.ContentType, jsonType), body(r.Request, r.RequestRaw))
	return out
}

// body is what stands in the column of texts, or in that of bytes.
func body(text *string, raw []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return bytes.Clone(raw)
}

func eachRow(path string, f func(*logRow)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	reader := parquet.NewGenericReader[logRow](file)
	defer reader.Close()
	rows := make([]logRow, 256)
	for {
		clear(rows)
		read, err := reader.Read(rows)
		for i := range rows[:read] {
			f(&rows[i])
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
