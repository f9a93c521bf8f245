package tracking

import (
	"context"
	"encoding/json"
	"maps"

	"sluice/tracking/mlflow"
)

// CreateAssessment stores an assessment of a trace and returns it with its id and times. Returns RESOURCE_DOES_NOT_EXIST if the
// trace, or the assessment that it overrides, is not there.
func (s *Service) CreateAssessment(ctx context.Context, traceID string, a Assessment) (Assessment, error) {
	a, err := s.newAssessment(a, traceID)
	if err != nil {
		return Assessment{}, err
	}
	return a, s.store.CreateAssessment(ctx, a)
}

// newAssessment checks an assessment and gives it what it lacks.
func (s *Service) newAssessment(a Assessment, traceID string) (Assessment, error) {
	if len(a.Value) == 0 {
		return a, mlflow.Invalidf("Assessment must have either feedback, expectation, or issue value")
	}
	if err := checkAssessment(a); err != nil {
		return a, err
	}
	now := s.nowMS()
	a.TraceID, a.Valid = traceID, true
	if a.ID == "" {
		a.ID = "a-" + s.opts.NewSortedID()
	}
	if a.CreatedMS == 0 {
		a.CreatedMS = now
	}
	if a.UpdatedMS == 0 {
		a.UpdatedMS = now
	}
	return a, nil
}

// checkAssessment checks what the columns of an assessment can hold.
func checkAssessment(a Assessment) error {
	for _, c := range []struct {
		what, value string
		most        int
	}{
		{"assessment_id", a.ID, MaxTraceID}, {"assessment_name", a.Name, MaxAssessmentKey}, {"source_id", a.SourceID, MaxAssessmentKey},
		{"span_id", a.SpanID, MaxTraceID}, {"overrides", a.Overrides, MaxTraceID},
	} {
		if err := mlflow.CheckLength(c.what, c.value, c.most); err != nil {
			return err
		}
	}
	if !json.Valid(a.Value) {
		return mlflow.Invalidf("The value of assessment '%s' is not JSON.", a.Name)
	}
	return nil
}

// Assessment returns an assessment. Returns RESOURCE_DOES_NOT_EXIST if trace or assessment is not there.
func (s *Service) Assessment(ctx context.Context, traceID, id string) (Assessment, error) {
	return s.store.Assessment(ctx, traceID, id)
}

// UpdateAssessment changes an assessment and returns it. Returns INVALID_PARAMETER_VALUE for a value of another kind.
func (s *Service) UpdateAssessment(ctx context.Context, traceID, id string, u AssessmentUpdate) (Assessment, error) {
	if u.Feedback != nil && u.Expectation != nil {
		return Assessment{}, mlflow.Invalidf("Cannot specify both `expectation` and `feedback` parameters.")
	}
	now := s.nowMS()
	return s.store.EditAssessment(ctx, traceID, id, func(a Assessment) (Assessment, error) {
		if u.Expectation != nil && a.Kind != Expectation {
			return a, mlflow.Invalidf("Cannot update expectation value on a Feedback assessment.")
		}
		if u.Feedback != nil && a.Kind != Feedback {
			return a, mlflow.Invalidf("Cannot update feedback value on an Expectation assessment.")
		}
		a = u.apply(a)
		a.UpdatedMS = now
		return a, checkAssessment(a)
	})
}

func (u AssessmentUpdate) apply(a Assessment) Assessment {
	if u.Name != nil {
		a.Name = *u.Name
	}
	if u.Expectation != nil {
		a.Value = u.Expectation
	}
	if u.Feedback != nil {
		a.Value, a.Error = u.Feedback.Value, u.Feedback.Error
	}
	if u.Rationale != nil {
		a.Rationale = *u.Rationale
	}
	if len(u.Metadata) > 0 {
		merged := maps.Clone(a.Metadata)
		if merged == nil {
			merged = map[string]string{}
		}
		maps.Copy(merged, u.Metadata)
		a.Metadata = merged
	}
	return a
}

// DeleteAssessment deletes an assessment; one that is not there is deleted already.
func (s *Service) DeleteAssessment(ctx context.Context, traceID, id string) error {
	return s.store.DeleteAssessment(ctx, traceID, id)
}
