package predlog

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/google/uuid"
)

// Row is a record as it stands in a segment.
type Row struct {
	Record
	// Truncated says that a body or a text was cut.
	Truncated bool
}

// Scan reads the rows of segment files, file by file, in the order in which they were recorded. The Row is the caller's. After an error,
// which names the file, the sequence ends.
func Scan(paths ...string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for _, path := range paths {
			if more, err := scanFile(path, yield); err != nil {
				yield(Row{}, fmt.Errorf("scan %s: %w", path, err))
				return
			} else if !more {
				return
			}
		}
	}
}

func scanFile(path string, yield func(Row, error) bool) (more bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	file, err := OpenSegment(f, info.Size())
	if err != nil {
		return false, err
	}
	more = true
	err = file.read(0, file.Segment.Rows, func(r Row) bool {
		more = yield(r, nil)
		return more
	})
	return more, err
}

// record returns the row as a Record, copied.
func (r *row) record() (Row, error) {
	id, err := uuid.ParseBytes(r.PredictionID)
	if err != nil {
		return Row{}, fmt.Errorf("prediction id: %w", err)
	}
	out := Row{Truncated: r.Truncated, Record: Record{
		PredictionID: id, RequestID: string(r.ClientRequestID), Time: time.UnixMicro(r.TimeUS).UTC(),
		Endpoint: string(r.Endpoint), Model: string(r.Model), Version: int(r.Version), Stage: string(r.Stage), Arm: string(r.Arm),
		Rule: string(r.Rule), Bucket: int(r.Bucket), Shadow: r.Shadow, Redaction: redactionOf(r.Redaction), Cached: r.Cached, SamplingFraction: r.SamplingFraction,
		Status: int(r.Status), ErrorCode: string(r.ErrorCode),
		LatencyNS: r.LatencyNS, QueueNS: r.QueueNS, ExecuteNS: r.ExecuteNS, Rows: int(r.Rows),
		ContentType: string(r.ContentType), ResponseContentType: string(r.ResponseContentType),
		Request: eitherBody(r.Request, r.RequestBinary), Response: eitherBody(r.Response, r.ResponseBinary),
	}}
	if len(r.TraceID) > 0 {
		trace, err := uuid.ParseBytes(r.TraceID)
		if err != nil {
			return Row{}, fmt.Errorf("trace id: %w", err)
		}
		out.TraceID = trace
	}
	return out, nil
}

func eitherBody(text, binary []byte) []byte {
	if len(text) > 0 {
		return bytes.Clone(text)
	}
	return bytes.Clone(binary)
}
