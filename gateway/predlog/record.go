package predlog

import "time"

// Record is one prediction request and its answer, whatever the outcome. Record copies what it keeps: strings and bytes may alias
// buffers that are reused after (*Log).Record returned.
type Record struct {
	// PredictionID is the UUIDv7 of the request (X-Sluice-Prediction-Id); a shadow's record has its own.
	PredictionID [16]byte
	// RequestID is the client's id (X-Request-Id); it may repeat. Longer than maxText bytes: cut.
	RequestID string
	// TraceID is the W3C trace id; all zero means none.
	TraceID [16]byte
	// Time is when the request arrived; the zero time means now.
	Time time.Time

	// Endpoint, Model and Version name what was asked; Model "" and Version 0 when the request failed before a route was picked.
	Endpoint string
	Model    string
	Version  int
	// Stage is the stage through which the version was routed, "" if none.
	Stage string
	// Arm is the route's arm (stable, canary, shadow, fallback …).
	Arm string
	// Rule names the rule that chose the arm, or says which arm did not answer and why ("fallback: canary; cause=error"); "" if the weights
	// chose.
	Rule string
	// Bucket is the sticky bucket 0–9999; negative means that none was computed.
	Bucket int
	// Shadow says that the answer was discarded.
	Shadow bool
	// Cached says that the answer came from the response cache or from an equal request under way: nothing was executed for this one.
	Cached bool
	// Redaction says whether the bodies were changed before they came here.
	Redaction Redaction
	// SamplingFraction is the share of requests that are logged, 0 < f ≤ 1; 0 means 1 (all).
	SamplingFraction float64

	// Status is the HTTP status of the answer.
	Status int
	// ErrorCode is the MLflow error code, "" on success.
	ErrorCode string
	// LatencyNS, QueueNS and ExecuteNS are ns: the whole request, waiting for a batch, and inside the backend.
	LatencyNS, QueueNS, ExecuteNS int64
	// Rows is the number of rows in the request, 0 if it was not decoded.
	Rows int

	// ContentType is the media type of Request, ResponseContentType that of Response; "" means application/json.
	ContentType         string
	ResponseContentType string
	// Request and Response are the bodies as they stood on the wire after decompression; longer ones than Options.MaxBodyBytes are cut and
	// flagged.
	Request  []byte
	Response []byte
}

// Series names the serving of one version by one endpoint; a segment holds the records of one Series.
type Series struct {
	Endpoint string
	Model    string
	Version  int
}

// Redaction is what became of a record's bodies before they were logged; DESIGN.md has the column.
type Redaction uint8

// The kinds of redaction.
const (
	Unredacted Redaction = iota // the bodies are those on the wire
	Redacted                    // columns were dropped, hashed or truncated
	Withheld                    // and a body that could not be redacted is missing
)

// String returns the redaction as it stands in segments: "", "redacted" or "withheld".
func (r Redaction) String() string {
	switch r {
	case Redacted:
		return "redacted"
	case Withheld:
		return "withheld"
	}
	return ""
}

// redactionOf reads what String wrote.
func redactionOf(text []byte) Redaction {
	for r := Unredacted; r <= Withheld; r++ {
		if string(text) == r.String() {
			return r
		}
	}
	return Redacted
}
