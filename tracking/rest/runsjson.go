package rest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"sluice/tracking"
	"sluice/tracking/wire"
)

// runAnswer is {"run": …}. A run that was just made has no "outputs": MLflow knows of none yet.
type runAnswer struct {
	run    tracking.Run
	unborn bool // without outputs
}

// runsAnswer is {"runs": […], "next_page_token": "…"}.
type runsAnswer struct {
	runs []tracking.Run
	next string
}

var _, _ wire.Appender = runAnswer{}, runsAnswer{}

// Sizes that answers are made room for, bytes: about what the head and one param or tag of a run take.
const (
	headBytes = 500
	pairBytes = 60
)

// AppendJSON implements wire.Appender.
func (a runAnswer) AppendJSON(b []byte) ([]byte, error) {
	b, err := appendRun(append(b, `{"run":`...), &a.run, !a.unborn)
	return append(b, '}'), err
}

// AppendJSON implements wire.Appender. Runs are encoded without reflection: a page of them may hold tens of thousands of metrics.
func (a runsAnswer) AppendJSON(b []byte) (_ []byte, err error) {
	room := 300
	for i := range a.runs {
		d := &a.runs[i].Data
		room += headBytes + metricBytes*len(d.Metrics) + pairBytes*(len(d.Params)+len(d.Tags))
	}
	b = append(slices.Grow(b, room), '{')
	if len(a.runs) > 0 {
		b = append(b, `"runs":[`...)
		for i := range a.runs {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendRun(b, &a.runs[i], true); err != nil {
				return nil, err
			}
		}
		b = append(b, ']')
	}
	return appendToken(b, a.next), nil
}

// appendRun writes the message Run; the empty objects of a run without inputs or outputs are sent, as MLflow does.
func appendRun(b []byte, r *tracking.Run, outputs bool) ([]byte, error) {
	b = appendRunInfo(append(b, `{"info":`...), &r.Info)
	b = appendRunData(append(b, `,"data":`...), &r.Data)
	b = append(b, `,"inputs":`...)
	var err error
	if len(r.Inputs.Datasets)+len(r.Inputs.Models) == 0 {
		b = append(b, `{}`...)
	} else if b, err = appendReflected(b, fromRunInputs(r.Inputs)); err != nil {
		return nil, err
	}
	switch {
	case !outputs:
	case len(r.Outputs) == 0:
		b = append(b, `,"outputs":{}`...)
	default:
		if b, err = appendReflected(append(b, `,"outputs":`...), fromRunOutputs(r.Outputs)); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendRunInfo writes what the tags of runInfoJSON say.
func appendRunInfo(b []byte, i *tracking.RunInfo) []byte {
	b = appendText(append(b, `{"run_uuid":`...), i.ID)
	b = appendText(append(b, `,"experiment_id":`...), i.ExperimentID)
	b = appendText(append(b, `,"run_name":`...), i.Name)
	b = appendText(append(b, `,"user_id":`...), i.UserID)
	b = appendText(append(b, `,"status":`...), string(i.Status))
	b = strconv.AppendInt(append(b, `,"start_time":`...), i.StartTimeMS, 10)
	if i.EndTimeMS != 0 {
		b = strconv.AppendInt(append(b, `,"end_time":`...), i.EndTimeMS, 10)
	}
	b = appendText(append(b, `,"artifact_uri":`...), i.ArtifactURI)
	b = appendText(append(b, `,"lifecycle_stage":`...), string(i.Lifecycle))
	return append(appendText(append(b, `,"run_id":`...), i.ID), '}')
}

func appendRunData(b []byte, d *tracking.RunData) []byte {
	b = append(b, '{')
	empty := len(b)
	name := func(text string) {
		if len(b) > empty {
			b = append(b, ',')
		}
		b = append(b, text...)
	}
	if len(d.Metrics) > 0 {
		name(`"metrics":`)
		b = appendMetricsOf(b, d.Metrics)
	}
	if len(d.Params) > 0 {
		name(`"params":`)
		b = appendPairs(b, d.Params)
	}
	if len(d.Tags) > 0 {
		name(`"tags":`)
		b = appendPairs(b, d.Tags)
	}
	return append(b, '}')
}

func appendPairs[T tracking.Param | tracking.Tag](b []byte, list []T) []byte {
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		p := tracking.Param(list[i])
		b = appendText(append(b, `{"key":`...), p.Key)
		b = append(appendText(append(b, `,"value":`...), p.Value), '}')
	}
	return append(b, ']')
}

// appendReflected writes what is too rare to be written by hand.
func appendReflected(b []byte, v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...), err
}
