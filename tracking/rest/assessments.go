package rest

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

func (a *API) assessmentRoutes() []wire.Route {
	one := "/traces/:id/assessments/:assessment"
	return rows(
		wire.API("3.0", fiber.MethodPost, "/traces/:id/assessments", wire.Write, "tracking.assessment.create", callID(a, "id", a.createAssessment)),
		wire.API("3.0", fiber.MethodGet, one, wire.Read, "tracking.assessment.get", callAssessment(a, a.getAssessment)),
		wire.API("3.0", fiber.MethodPatch, one, wire.Write, "tracking.assessment.update", callAssessment(a, a.updateAssessment)),
		wire.API("3.0", fiber.MethodDelete, one, wire.Write, "tracking.assessment.delete", callAssessment(a, a.deleteAssessment)),
	)
}

// callAssessment is callID for a path with a trace and an assessment.
func callAssessment[Q any](a *API, f func(ctx context.Context, trace, id string, q *Q) (any, error)) fiber.Handler {
	return func(c *fiber.Ctx) error {
		id, err := wire.Param(c, "assessment")
		if err != nil {
			return err
		}
		return callID(a, "id", func(ctx context.Context, trace string, q *Q) (any, error) { return f(ctx, trace, id, q) })(c)
	}
}

func fromAssessment(a tracking.Assessment) assessmentJSON {
	j := assessmentJSON{
		ID: a.ID, Name: a.Name, TraceID: a.TraceID, SpanID: a.SpanID, Source: assessmentSource{a.SourceType, a.SourceID},
		CreateTime: timestamp(a.CreatedMS), UpdateTime: timestamp(a.UpdatedMS), Rationale: a.Rationale, Metadata: a.Metadata, Overrides: a.Overrides,
		Valid: &a.Valid,
	}
	switch a.Kind {
	case tracking.Feedback:
		j.Feedback = &feedbackJSON{a.Value, a.Error}
	case tracking.Issue:
		j.Issue = &issueJSON{}
		_ = json.Unmarshal(a.Value, j.Issue) // an issue without a name is shown without one
	default:
		j.Expectation = &expectationJSON{}
		if a.Value[0] == '{' || a.Value[0] == '[' {
			j.Expectation.Serialized = &serializedValue{jsonFormat, string(a.Value)}
		} else {
			j.Expectation.Value = a.Value
		}
	}
	return j
}

// jsonFormat is the only way in which values are written as texts.
const jsonFormat = "JSON_FORMAT"

func (j assessmentJSON) assessment() (tracking.Assessment, error) {
	a := tracking.Assessment{
		ID: j.ID, Name: j.Name, SpanID: j.SpanID, SourceType: j.Source.Type, SourceID: j.Source.ID, CreatedMS: int64(j.CreateTime),
		UpdatedMS: int64(j.UpdateTime), Rationale: j.Rationale, Metadata: j.Metadata,
	}
	if a.SourceType == "" {
		a.SourceType = "SOURCE_TYPE_UNSPECIFIED"
	}
	var err error
	switch {
	case j.Feedback != nil && j.Expectation != nil:
		err = mlflow.Invalidf("Assessment must have either feedback, expectation, or issue value")
	case j.Expectation != nil:
		a.Kind = tracking.Expectation
		a.Value, err = j.Expectation.value()
	case j.Feedback != nil:
		a.Kind, a.Value, a.Error, a.Overrides = tracking.Feedback, orNull(j.Feedback.Value), j.Feedback.Error, j.Overrides
	case j.Issue != nil:
		a.Kind = tracking.Issue
		a.Value, err = json.Marshal(j.Issue)
	default:
		err = mlflow.Invalidf("Unknown assessment type: None")
	}
	return a, err
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

func (j expectationJSON) value() (json.RawMessage, error) {
	if j.Serialized == nil && len(j.Value) == 0 {
		return nil, mlflow.Invalidf("The `value` field must be specified.")
	}
	if j.Serialized == nil {
		return j.Value, nil
	}
	if j.Serialized.Format != jsonFormat {
		return nil, mlflow.Invalidf("Unknown serialization format: %s. Only JSON_FORMAT is supported.", j.Serialized.Format)
	}
	if !json.Valid([]byte(j.Serialized.Value)) {
		return nil, mlflow.Invalidf("The serialized value of an expectation is not JSON.")
	}
	return json.RawMessage(j.Serialized.Value), nil
}

type assessmentAnswer struct {
	Assessment assessmentJSON `json:"assessment"`
}

type createAssessmentRequest struct {
	Assessment assessmentJSON `json:"assessment" wire:"required"`
}

func (a *API) createAssessment(ctx context.Context, trace string, q *createAssessmentRequest) (any, error) {
	in, err := q.Assessment.assessment()
	if err != nil {
		return nil, err
	}
	made, err := a.tracking.CreateAssessment(ctx, trace, in)
	if err != nil {
		return nil, err
	}
	return assessmentAnswer{fromAssessment(made)}, nil
}

func (a *API) getAssessment(ctx context.Context, trace, id string, _ *struct{}) (any, error) {
	found, err := a.tracking.Assessment(ctx, trace, id)
	if err != nil {
		return nil, err
	}
	return assessmentAnswer{fromAssessment(found)}, nil
}

// updateAssessmentRequest changes what Mask names, in protobuf's JSON of a FieldMask: names with commas between.
type updateAssessmentRequest struct {
	Assessment assessmentJSON `json:"assessment" wire:"required"`
	Mask       string         `json:"update_mask" wire:"required"`
}

func (a *API) updateAssessment(ctx context.Context, trace, id string, q *updateAssessmentRequest) (any, error) {
	u, err := q.update()
	if err != nil {
		return nil, err
	}
	changed, err := a.tracking.UpdateAssessment(ctx, trace, id, u)
	if err != nil {
		return nil, err
	}
	return assessmentAnswer{fromAssessment(changed)}, nil
}

func (q *updateAssessmentRequest) update() (tracking.AssessmentUpdate, error) {
	var u tracking.AssessmentUpdate
	in := &q.Assessment
	for field := range strings.SplitSeq(q.Mask, ",") {
		switch strings.TrimSpace(field) {
		case "assessment_name", "assessmentName":
			u.Name = &in.Name
		case "expectation":
			if in.Expectation == nil {
				in.Expectation = &expectationJSON{}
			}
			value, err := in.Expectation.value()
			if err != nil {
				return u, err
			}
			u.Expectation = value
		case "feedback":
			u.Feedback = &tracking.FeedbackValue{Value: orNull(nil)}
			if in.Feedback != nil {
				u.Feedback = &tracking.FeedbackValue{Value: orNull(in.Feedback.Value), Error: in.Feedback.Error}
			}
		case "rationale":
			u.Rationale = &in.Rationale
		case "metadata":
			u.Metadata = in.Metadata
		default:
			return u, mlflow.Invalidf("Field '%s' of an assessment cannot be updated.", mlflow.Truncate(field, 100))
		}
	}
	return u, nil
}

func (a *API) deleteAssessment(ctx context.Context, trace, id string, _ *struct{}) (any, error) {
	return done(a.tracking.DeleteAssessment(ctx, trace, id))
}
