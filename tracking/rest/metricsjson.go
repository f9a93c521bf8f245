package rest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"

	"sluice/tracking"
	"sluice/tracking/wire"
)

// metricBytes is about how long a metric gets.
const metricBytes = 80

// appendMetrics writes what the tags of metricJSON say. Histories have tens of thousands of metrics, for which reflection costs more
// than reading them from the database.
func appendMetrics(b []byte, list []metricJSON) []byte {
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMetric(b, &list[i])
	}
	return append(b, ']')
}

var _, _ wire.Appender = metricsAnswer{}, historyAnswer{}

// AppendJSON writes what the tags of metricsAnswer say.
func (a metricsAnswer) AppendJSON(b []byte) ([]byte, error) {
	b = append(slices.Grow(b, 300+metricBytes*len(a.Metrics)), '{')
	if len(a.Metrics) > 0 {
		b = appendMetrics(append(b, `"metrics":`...), a.Metrics)
	}
	return appendToken(b, a.NextPageToken), nil
}

// historyAnswer is metricsAnswer for metrics as they are, which are many.
type historyAnswer struct {
	metrics []tracking.Metric
	next    string
}

// AppendJSON writes what the tags of metricsAnswer say.
func (a historyAnswer) AppendJSON(b []byte) ([]byte, error) {
	b = append(slices.Grow(b, 300+metricBytes*len(a.metrics)), '{')
	if len(a.metrics) > 0 {
		b = appendMetricsOf(append(b, `"metrics":`...), a.metrics)
	}
	return appendToken(b, a.next), nil
}

func appendMetricsOf(b []byte, list []tracking.Metric) []byte {
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		m := &list[i]
		if m.ModelID == "" && m.DatasetName == "" && m.DatasetDigest == "" && m.RunID == "" {
			b = append(appendMeasurement(b, m.Key, m.Value, m.TimestampMS, m.Step), '}')
			continue
		}
		full := fromMetric(*m)
		b = appendMetric(b, &full)
	}
	return append(b, ']')
}

// appendToken ends an answer with the token of the next page, if there is one.
func appendToken(b []byte, token string) []byte {
	if token == "" {
		return append(b, '}')
	}
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(appendText(append(b, `"next_page_token":`...), token), '}')
}

// appendMeasurement writes what every metric has, and leaves the object open.
func appendMeasurement(b []byte, key string, value float64, timestampMS, step int64) []byte {
	b = appendText(append(b, `{"key":`...), key)
	b = wire.Float(value).AppendJSON(append(b, `,"value":`...))
	b = strconv.AppendInt(append(b, `,"timestamp":`...), timestampMS, 10)
	return strconv.AppendInt(append(b, `,"step":`...), step, 10)
}

func appendMetric(b []byte, m *metricJSON) []byte {
	b = appendMeasurement(b, m.Key, float64(m.Value), m.TimestampMS, m.Step)
	if m.DatasetName != "" {
		b = appendText(append(b, `,"dataset_name":`...), m.DatasetName)
	}
	if m.DatasetDigest != "" {
		b = appendText(append(b, `,"dataset_digest":`...), m.DatasetDigest)
	}
	if m.ModelID != "" {
		b = appendText(append(b, `,"model_id":`...), m.ModelID)
	}
	if m.RunID != "" {
		b = appendText(append(b, `,"run_id":`...), m.RunID)
	}
	return append(b, '}')
}

// appendText writes a text as wire.Send does: without escapes for HTML.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return appendEscaped(b, s)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendEscaped(b []byte, s string) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // of a text, which cannot fail
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}
