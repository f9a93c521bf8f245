package rest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// traceInfoJSON is the message TraceInfoV3.
type traceInfoJSON struct {
	ID              string            `json:"trace_id"`
	ClientRequestID string            `json:"client_request_id,omitempty"`
	Location        traceLocation     `json:"trace_location"`
	RequestPreview  string            `json:"request_preview,omitempty"`
	ResponsePreview string            `json:"response_preview,omitempty"`
	RequestTime     timestamp         `json:"request_time"`
	Duration        *duration         `json:"execution_duration,omitempty"`
	State           traceState        `json:"state"`
	Metadata        map[string]string `json:"trace_metadata,omitempty"`
	Assessments     []assessmentJSON  `json:"assessments,omitempty"`
	Tags            map[string]string `json:"tags,omitempty"`
}

// traceLocation is the message TraceLocation; other kinds than an experiment are Databricks'.
type traceLocation struct {
	Type       string           `json:"type,omitempty"`
	Experiment *traceExperiment `json:"mlflow_experiment,omitempty"`
}

type traceExperiment struct {
	ID string `json:"experiment_id"`
}

func inExperiment(id string) traceLocation {
	return traceLocation{Type: "MLFLOW_EXPERIMENT", Experiment: &traceExperiment{id}}
}

func (l traceLocation) experimentID() string {
	if l.Experiment == nil {
		return ""
	}
	return l.Experiment.ID
}

func fromTrace(t tracking.TraceInfo) traceInfoJSON {
	j := traceInfoJSON{
		ID: t.ID, ClientRequestID: t.ClientRequestID, Location: inExperiment(t.ExperimentID), RequestPreview: t.RequestPreview,
		ResponsePreview: t.ResponsePreview, RequestTime: timestamp(t.RequestTimeMS), State: traceState(t.State), Metadata: shown(t.Metadata, maxShownMetadata),
		Tags: shown(t.Tags, maxShownTag),
	}
	if t.DurationMS != nil {
		d := duration(*t.DurationMS)
		j.Duration = &d
	}
	for _, a := range t.Assessments {
		j.Assessments = append(j.Assessments, fromAssessment(a))
	}
	return j
}

// How much of a trace's tags and metadata answers show, in characters; more is stored (source: mlflow/tracing/constant.py,
// MAX_CHARS_IN_TRACE_INFO_TAGS_VALUE and MAX_CHARS_IN_TRACE_INFO_METADATA).
const (
	maxShownTag      = 4096
	maxShownMetadata = 250
)

// shown returns values as answers show them, cut to most characters.
func shown(values map[string]string, most int) map[string]string {
	for _, value := range values {
		if len(value) > most {
			cut := make(map[string]string, len(values))
			for key, value := range values {
				cut[key] = mlflow.Truncate(value, most)
			}
			return cut
		}
	}
	return values
}

func fromTraces(list []tracking.TraceInfo) []traceInfoJSON {
	out := make([]traceInfoJSON, len(list))
	for i, t := range list {
		out[i] = fromTrace(t)
	}
	return out
}

func (j traceInfoJSON) trace() (tracking.TraceInfo, error) {
	t := tracking.TraceInfo{
		ID: j.ID, ExperimentID: j.Location.experimentID(), RequestTimeMS: int64(j.RequestTime), State: tracking.TraceState(j.State),
		ClientRequestID: j.ClientRequestID, RequestPreview: j.RequestPreview, ResponsePreview: j.ResponsePreview, Tags: j.Tags, Metadata: j.Metadata,
	}
	if t.State == "" {
		t.State = tracking.TraceStateUnspecified
	}
	if j.Duration != nil {
		ms := int64(*j.Duration)
		t.DurationMS = &ms
	}
	for _, a := range j.Assessments {
		made, err := a.assessment()
		if err != nil {
			return t, err
		}
		t.Assessments = append(t.Assessments, made)
	}
	return t, nil
}

// traceState is the enum TraceInfoV3.State, by name or number.
type traceState tracking.TraceState

var traceStates = []tracking.TraceState{tracking.TraceStateUnspecified, tracking.TraceOK, tracking.TraceError, tracking.TraceInProgress}

func (s *traceState) UnmarshalJSON(raw []byte) error {
	text := strings.Trim(string(raw), `"`)
	for i, state := range traceStates {
		if text == string(state) || text == fmt.Sprint(i) {
			*s = traceState(state)
			return nil
		}
	}
	return fmt.Errorf("unknown state %s", text)
}

// timestamp is the message Timestamp as JSON (RFC 3339); the number is Unix milliseconds.
type timestamp int64

// MarshalJSON writes no fraction or three digits of it, as protobuf does.
func (t timestamp) MarshalJSON() ([]byte, error) {
	layout := "2006-01-02T15:04:05Z"
	if t%1000 != 0 {
		layout = "2006-01-02T15:04:05.000Z"
	}
	return json.Marshal(time.UnixMilli(int64(t)).UTC().Format(layout))
}

func (t *timestamp) UnmarshalJSON(raw []byte) error {
	var at time.Time
	if err := json.Unmarshal(raw, &at); err != nil {
		return err
	}
	*t = timestamp(at.UnixMilli())
	return nil
}

// duration is the message Duration as JSON (seconds with an "s"); the number is milliseconds.
type duration int64

// MarshalJSON writes no fraction or three digits of it, as protobuf does.
func (d duration) MarshalJSON() ([]byte, error) {
	sign, ms := "", int64(d)
	if ms < 0 {
		sign, ms = "-", -ms
	}
	if ms%1000 == 0 {
		return json.Marshal(fmt.Sprintf("%s%ds", sign, ms/1000))
	}
	return json.Marshal(fmt.Sprintf("%s%d.%03ds", sign, ms/1000, ms%1000))
}

func (d *duration) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	number, seconds := strings.CutSuffix(text, "s")
	if !seconds || strings.ContainsAny(number, "hmnuµ ") {
		return fmt.Errorf("%q is no duration in seconds", text)
	}
	v, err := time.ParseDuration(text)
	*d = duration(v.Milliseconds())
	return err
}

// assessmentJSON is the message Assessment.
type assessmentJSON struct {
	ID          string            `json:"assessment_id,omitempty"`
	Name        string            `json:"assessment_name"`
	TraceID     string            `json:"trace_id,omitempty"`
	SpanID      string            `json:"span_id,omitempty"`
	Source      assessmentSource  `json:"source"`
	CreateTime  timestamp         `json:"create_time"`
	UpdateTime  timestamp         `json:"last_update_time"`
	Feedback    *feedbackJSON     `json:"feedback,omitempty"`
	Expectation *expectationJSON  `json:"expectation,omitempty"`
	Issue       *issueJSON        `json:"issue,omitempty"`
	Rationale   string            `json:"rationale,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	Overrides   string            `json:"overrides,omitempty"`
	Valid       *bool             `json:"valid,omitempty"`
}

type assessmentSource struct {
	Type string `json:"source_type" enum:"HUMAN,LLM_JUDGE,CODE,SOURCE_TYPE_UNSPECIFIED"`
	ID   string `json:"source_id,omitempty"`
}

type feedbackJSON struct {
	Value json.RawMessage           `json:"value"`
	Error *tracking.AssessmentError `json:"error,omitempty"`
}

// expectationJSON has a scalar as Value and everything else as JSON in a text.
type expectationJSON struct {
	Value      json.RawMessage  `json:"value,omitempty"`
	Serialized *serializedValue `json:"serialized_value,omitempty"`
}

type serializedValue struct {
	Format string `json:"serialization_format"`
	Value  string `json:"value"`
}

type issueJSON struct {
	Name string `json:"issue_name"`
}
