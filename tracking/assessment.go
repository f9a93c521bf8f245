package tracking

import "encoding/json"

// AssessmentKind says what an assessment is, as the database spells it.
type AssessmentKind string

// The kinds of assessments.
const (
	Feedback    AssessmentKind = "feedback"
	Expectation AssessmentKind = "expectation"
	Issue       AssessmentKind = "issue" // a reference; the issue's id is the assessment's name
)

// Assessment is what somebody thinks of a trace or of one of its spans.
type Assessment struct {
	ID      string // "a-" and 32 hexadecimal digits
	TraceID string
	Name    string
	Kind    AssessmentKind
	// Value is JSON: of feedback and expectations any value, of an issue {"issue_name": …}.
	Value json.RawMessage
	Error *AssessmentError // of feedback only; nil means none
	// CreatedMS and UpdatedMS are Unix milliseconds; 0 in a new assessment means now.
	CreatedMS, UpdatedMS int64
	SourceType, SourceID string // SourceType is HUMAN, LLM_JUDGE, CODE …
	RunID, SpanID        string // "" means none
	Rationale            string // "" means none
	// Overrides is the id of the assessment that this one replaces, which is then no longer valid; "" means none.
	Overrides string
	Valid     bool
	Metadata  map[string]string
}

// AssessmentError says why feedback could not be had.
type AssessmentError struct {
	Code       string `json:"error_code,omitempty"`
	Message    string `json:"error_message,omitempty"`
	StackTrace string `json:"stack_trace,omitempty"`
}

// AssessmentUpdate is a partial change; nil fields stay as they are. Metadata is merged into what stands.
type AssessmentUpdate struct {
	Name        *string
	Feedback    *FeedbackValue  // refused for another kind
	Expectation json.RawMessage // refused for another kind
	Rationale   *string
	Metadata    map[string]string
}

// FeedbackValue is the value of feedback, JSON, and its error if there is one.
type FeedbackValue struct {
	Value json.RawMessage
	Error *AssessmentError
}
