package rest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"sluice/tracking/wire"
)

// metricBytes is about how long a metric gets.
const metricBytes = 80

// appendMetrics writes what the tags of metricJSON say. Histories have tens of thousands of metrics, for which reflection costs more
// than reading them from the database.
func appendMetrics(b []byte, list []metricJSON) ([]byte, error) {
	e := metricEncoder{out: append(b, '[')}
	for i := range list {
		if i > 0 {
			e.out = append(e.out, ',')
		}
		if err := e.metric(&list[i]); err != nil {
			return nil, err
		}
	}
	return append(e.out, ']'), nil
}

var _ wire.Appender = metricsAnswer{}

// AppendJSON writes what the tags of metricsAnswer say.
func (a metricsAnswer) AppendJSON(b []byte) (out []byte, err error) {
	out = append(slices.Grow(b, 300+metricBytes*len(a.Metrics)), '{')
	if len(a.Metrics) > 0 {
		if out, err = appendMetrics(append(out, `"metrics":`...), a.Metrics); err != nil {
			return nil, err
		}
	}
	if a.NextPageToken != "" {
		if len(a.Metrics) > 0 {
			out = append(out, ',')
		}
		token, err := encodeText(a.NextPageToken)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `"next_page_token":`...), token...)
	}
	return append(out, '}'), nil
}

// metricEncoder appends metrics; neighbours mostly share their key, whose encoding it keeps.
type metricEncoder struct {
	out      []byte
	key      string
	keyBytes []byte
}

func (e *metricEncoder) metric(m *metricJSON) error {
	if e.keyBytes == nil || m.Key != e.key {
		text, err := encodeText(m.Key)
		if err != nil {
			return err
		}
		e.key, e.keyBytes = m.Key, text
	}
	e.out = append(append(e.out, `{"key":`...), e.keyBytes...)
	e.out = m.Value.AppendJSON(append(e.out, `,"value":`...))
	e.out = strconv.AppendInt(append(e.out, `,"timestamp":`...), m.TimestampMS, 10)
	e.out = strconv.AppendInt(append(e.out, `,"step":`...), m.Step, 10)
	for _, f := range [...]struct{ name, text string }{
		{`,"dataset_name":`, m.DatasetName}, {`,"dataset_digest":`, m.DatasetDigest}, {`,"model_id":`, m.ModelID}, {`,"run_id":`, m.RunID},
	} {
		if f.text == "" {
			continue
		}
		text, err := encodeText(f.text)
		if err != nil {
			return err
		}
		e.out = append(append(e.out, f.name...), text...)
	}
	e.out = append(e.out, '}')
	return nil
}

// encodeText encodes a text as wire.Send does: without escapes for HTML.
func encodeText(s string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
