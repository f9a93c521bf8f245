package tracking

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"sluice/tracking/mlflow"
)

// maxOffset bounds page tokens, which clients can forge.
const maxOffset = 1 << 40

// PageToken makes the page token for an offset in rows, MLflow's way: base64 of {"offset": N}.
func PageToken(offset int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"offset": %d}`, offset))
}

// PageOffset reads a page token; "" is offset 0. Returns INVALID_PARAMETER_VALUE for anything that PageToken did not make.
func PageOffset(token string) (int, error) {
	if token == "" {
		return 0, nil
	}
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return 0, mlflow.Invalidf("Invalid page token, could not base64-decode")
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return 0, mlflow.Invalidf("Invalid page token, decoded value=%s", mlflow.Repr(string(raw)))
	}
	text := string(fields["offset"])
	if text == "" || text == "null" {
		return 0, mlflow.Invalidf("Invalid page token, parsed value=%s", mlflow.Repr(string(raw)))
	}
	offset, err := strconv.Atoi(text)
	if err != nil || offset < 0 || offset > maxOffset {
		return 0, mlflow.Invalidf("Invalid page token, not stringable %s", text)
	}
	return offset, nil
}

// modelToken is the page token of a logged model search; it carries the question, so that a token can't continue another one.
// The fields are MLflow's (source: mlflow/utils/search_utils.py, SearchLoggedModelsPaginationToken).
type modelToken struct {
	ExperimentIDs []string          `json:"experiment_ids"`
	Filter        *string           `json:"filter_string"`
	OrderBy       []modelTokenOrder `json:"order_by"`
	Offset        int               `json:"offset"`
}

type modelTokenOrder struct {
	Field         string  `json:"field_name"`
	Ascending     bool    `json:"ascending"`
	DatasetName   *string `json:"dataset_name"`
	DatasetDigest *string `json:"dataset_digest"`
}

func modelTokenFor(q LoggedModelQuery, offset int) modelToken {
	t := modelToken{ExperimentIDs: q.ExperimentIDs, Filter: optional(q.Filter), Offset: offset}
	for _, o := range q.OrderBy {
		t.OrderBy = append(t.OrderBy, modelTokenOrder{o.Field, !o.Descending, optional(o.DatasetName), optional(o.DatasetDigest)})
	}
	return t
}

func (t modelToken) encode() (string, error) {
	raw, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encode page token: %w", err)
	}
	return base64.StdEncoding.EncodeToString(raw), nil
}

// modelOffset reads the page token of q; "" is offset 0. A token made for another question is INVALID_PARAMETER_VALUE.
func modelOffset(q LoggedModelQuery) (int, error) {
	if q.PageToken == "" {
		return 0, nil
	}
	var got modelToken
	raw, err := base64.StdEncoding.DecodeString(q.PageToken)
	if err != nil || json.Unmarshal(raw, &got) != nil || got.Offset < 0 || got.Offset > maxOffset {
		return 0, mlflow.Invalidf("Invalid page token: %s.", q.PageToken)
	}
	want := modelTokenFor(q, got.Offset)
	switch {
	case !slices.Equal(got.ExperimentIDs, want.ExperimentIDs):
		return 0, mlflow.Invalidf("Experiment IDs in the page token do not match the requested experiment IDs. Expected: %s. Found: %s",
			want.ExperimentIDs, got.ExperimentIDs)
	case deref(got.Filter) != deref(want.Filter):
		return 0, mlflow.Invalidf("Filter string in the page token does not match the requested filter string. Expected: %s. Found: %s",
			deref(want.Filter), deref(got.Filter))
	case !slices.EqualFunc(got.OrderBy, want.OrderBy, sameOrder):
		return 0, mlflow.Invalidf("Order by in the page token does not match the requested order by.")
	}
	return got.Offset, nil
}

func sameOrder(a, b modelTokenOrder) bool {
	return a.Field == b.Field && a.Ascending == b.Ascending &&
		deref(a.DatasetName) == deref(b.DatasetName) && deref(a.DatasetDigest) == deref(b.DatasetDigest)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
