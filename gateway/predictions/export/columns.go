package export

import (
	"encoding/hex"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"sluice/gateway/predlog"
)

// kind is the type of a column.
type kind uint8

const (
	kindText   kind = iota // string
	kindBinary             // []byte
	kindBool               // bool
	kindFloat              // float64
	kindInt32              // int64 that fits
	kindInt64              // int64
	kindDate               // int64, days since the epoch
	kindTime               // int64, µs since the epoch
)

// column is a column of a segment; value gives nil for null.
type column struct {
	name     string
	kind     kind
	nullable bool
	value    func(r *predlog.Row) any
}

// columns are those of a segment, in its order.
var columns = []column{
	{"databricks_request_id", kindText, false, func(r *predlog.Row) any { return uuid.UUID(r.PredictionID).String() }},
	{"client_request_id", kindText, true, func(r *predlog.Row) any { return orNull(r.RequestID) }},
	{"date", kindDate, false, func(r *predlog.Row) any { return days(r.Time) }},
	{"timestamp_ms", kindInt64, false, func(r *predlog.Row) any { return r.Time.UnixMilli() }},
	{"status_code", kindInt32, false, func(r *predlog.Row) any { return int64(r.Status) }},
	{"sampling_fraction", kindFloat, false, func(r *predlog.Row) any { return r.SamplingFraction }},
	{"execution_time_ms", kindInt64, false, func(r *predlog.Row) any { return r.LatencyNS / int64(time.Millisecond) }},
	{"request", kindText, true, func(r *predlog.Row) any { return textBody(r.Request) }},
	{"response", kindText, true, func(r *predlog.Row) any { return textBody(r.Response) }},
	{"request_binary", kindBinary, true, func(r *predlog.Row) any { return binaryBody(r.Request) }},
	{"response_binary", kindBinary, true, func(r *predlog.Row) any { return binaryBody(r.Response) }},
	{"content_type", kindText, false, func(r *predlog.Row) any { return r.ContentType }},
	{"response_content_type", kindText, false, func(r *predlog.Row) any { return r.ResponseContentType }},
	{"truncated", kindBool, false, func(r *predlog.Row) any { return r.Truncated }},
	{"time", kindTime, false, func(r *predlog.Row) any { return r.Time.UnixMicro() }},
	{"endpoint", kindText, false, func(r *predlog.Row) any { return r.Endpoint }},
	{"model_name", kindText, false, func(r *predlog.Row) any { return r.Model }},
	{"model_version", kindInt32, false, func(r *predlog.Row) any { return int64(r.Version) }},
	{"stage", kindText, true, func(r *predlog.Row) any { return orNull(r.Stage) }},
	{"arm", kindText, true, func(r *predlog.Row) any { return orNull(r.Arm) }},
	{"rule", kindText, true, func(r *predlog.Row) any { return orNull(r.Rule) }},
	{"bucket", kindInt32, false, func(r *predlog.Row) any { return int64(r.Bucket) }},
	{"shadow", kindBool, false, func(r *predlog.Row) any { return r.Shadow }},
	{"cached", kindBool, false, func(r *predlog.Row) any { return r.Cached }},
	{"redaction", kindText, true, func(r *predlog.Row) any { return orNull(r.Redaction.String()) }},
	{"error_code", kindText, true, func(r *predlog.Row) any { return orNull(r.ErrorCode) }},
	{"trace_id", kindText, true, trace},
	{"rows", kindInt32, false, func(r *predlog.Row) any { return int64(r.Rows) }},
	{"latency_ns", kindInt64, false, func(r *predlog.Row) any { return r.LatencyNS }},
	{"queue_ns", kindInt64, false, func(r *predlog.Row) any { return r.QueueNS }},
	{"execute_ns", kindInt64, false, func(r *predlog.Row) any { return r.ExecuteNS }},
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func days(t time.Time) any {
	s := t.Unix()
	d := s / 86400
	if s%86400 < 0 {
		d--
	}
	return d
}

func textBody(b []byte) any {
	if len(b) == 0 || !utf8.Valid(b) {
		return nil
	}
	return string(b)
}

func binaryBody(b []byte) any {
	if len(b) == 0 || utf8.Valid(b) {
		return nil
	}
	return b
}

func trace(r *predlog.Row) any {
	if r.TraceID == [16]byte{} {
		return nil
	}
	return hex.EncodeToString(r.TraceID[:])
}
