package export

import "time"

// Page is what JSON answers, for the OpenAPI document.
type Page struct {
	Predictions []Prediction `json:"predictions"`
	Next        string       `json:"next_page_token,omitempty"`
	Follow      string       `json:"follow_token,omitempty"`
}

// Prediction is a record as JSON tells it, for the OpenAPI document and for who decodes one; what is null is left out. Its fields are the columns.
type Prediction struct {
	ID                  string    `json:"databricks_request_id"`
	ClientID            string    `json:"client_request_id,omitempty"`
	Date                string    `json:"date"` // UTC, 2006-01-02
	TimestampMS         int64     `json:"timestamp_ms"`
	Status              int       `json:"status_code"`
	SamplingFraction    float64   `json:"sampling_fraction"`
	ExecutionMS         int64     `json:"execution_time_ms"`
	Request             string    `json:"request,omitempty"`
	Response            string    `json:"response,omitempty"`
	RequestBinary       []byte    `json:"request_binary,omitempty"`
	ResponseBinary      []byte    `json:"response_binary,omitempty"`
	ContentType         string    `json:"content_type"`
	ResponseContentType string    `json:"response_content_type"`
	Truncated           bool      `json:"truncated"`
	Time                time.Time `json:"time"`
	Endpoint            string    `json:"endpoint"`
	Model               string    `json:"model_name"`
	Version             int       `json:"model_version"`
	Stage               string    `json:"stage,omitempty"`
	Arm                 string    `json:"arm,omitempty"`
	Rule                string    `json:"rule,omitempty"`
	Bucket              int       `json:"bucket"`
	Shadow              bool      `json:"shadow"`
	Cached              bool      `json:"cached"`
	Redaction           string    `json:"redaction,omitempty"`
	ErrorCode           string    `json:"error_code,omitempty"`
	TraceID             string    `json:"trace_id,omitempty"`
	Rows                int       `json:"rows"`
	LatencyNS           int64     `json:"latency_ns"`
	QueueNS             int64     `json:"queue_ns"`
	ExecuteNS           int64     `json:"execute_ns"`
}
