package rest_test

import (
	"context"
	"strings"
	"testing"

	"sluice/gateway/predlog"
	"sluice/gateway/truth"
	"sluice/tracking/mlflow"
)

// fakeTruth answers with the outcome that an item's key names, and remembers what it got.
type fakeTruth struct{ got []truth.Item }

func (f *fakeTruth) Submit(_ context.Context, endpoint string, items []truth.Item) ([]truth.Result, error) {
	if endpoint != "wine" {
		return nil, mlflow.Missingf("no endpoint %q", endpoint)
	}
	f.got = append(f.got, items...)
	out := make([]truth.Result, len(items))
	for i, item := range items {
		out[i] = truth.Result{Outcome: truth.Outcome(item.Key.Text), Reason: "because"}
		if out[i].Outcome == truth.Joined {
			out[i] = truth.Result{Outcome: truth.Joined, PredictionID: "id", Model: "wine", Version: 2}
		}
	}
	return out, nil
}

func (f *fakeTruth) Quality(endpoint string) []truth.Report {
	var tally truth.Tally
	tally.Count(truth.Judgement{Judged: true, Wrong: true, Predicted: "a", Actual: "b"})
	tally.Count(truth.Judgement{Judged: true, Predicted: "b", Actual: "b"})
	return []truth.Report{{Series: predlog.Series{Endpoint: endpoint, Model: "wine", Version: 2}, Total: tally.Quality()}}
}

func TestGroundTruth(t *testing.T) {
	s := newServer(t)
	s.register(map[string][]string{"wine": {"Production"}})
	path := "/api/2.0/serving-endpoints/wine/ground-truth"
	s.want(200, "POST", path, `{"items": [{"client_request_id": "joined", "ground_truth": "x"}, {"key": 17, "row": 1, "ground_truth": 2},
		{"prediction_id": "pending", "ground_truth": [1, 2]}, {"ground_truth": 1}, {"key": "a", "client_request_id": "b", "ground_truth": 1},
		{"key": "a", "row": 1, "ground_truth": [1]}, {"key": "a", "row": -1, "ground_truth": 1}]}`,
		`"outcomes":{"17":1,"invalid":4,"joined":1,"pending":1}`, `{"model_name":"wine","model_version":"2","outcome":"joined","prediction_id":"id"}`,
		`exactly one of prediction_id, client_request_id, key`)
	if len(s.truth.got) != 3 || s.truth.got[0].Row != truth.AllRows || s.truth.got[1].Key != (truth.Key{Kind: truth.ByKey, Text: "17"}) || s.truth.got[1].Row != 1 || len(s.truth.got[2].Values) != 2 {
		t.Errorf("got %+v", s.truth.got)
	}
	for outcome, status := range map[truth.Outcome]int{
		truth.Joined: 200, truth.Pending: 200, truth.Duplicate: 200, truth.Conflicting: 409, truth.Ambiguous: 409, truth.Unknown: 404,
		truth.TooLate: 400, truth.WithoutPrediction: 400, truth.Invalid: 400,
	} {
		s.want(status, "POST", path, `{"client_request_id": "`+string(outcome)+`", "ground_truth": 1}`, `"`+string(outcome)+`"`)
	}
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"no JSON":       {`{`, 400},
		"unknown field": {`{"items": [{"id": "x"}]}`, 400},
		"no items":      {`{"items": {}}`, 400},
		"nothing":       {`{}`, 400},
	} {
		t.Run(name, func(t *testing.T) { s.want(c.status, "POST", path, c.body) })
	}
	s.want(200, "POST", path, `{"items": []}`, `"items":[]`)
	s.want(404, "POST", strings.Replace(path, "wine", "beer", 1), `{"items": [{"key": "a", "ground_truth": 1}]}`)
	s.want(200, "GET", "/api/2.0/serving-endpoints/wine/quality", "", `"model_version":"2"`, `"accuracy":0.5`, `"class":"b"`)
	s.want(404, "GET", "/api/2.0/serving-endpoints/beer/quality", "")
	s.want(200, "GET", "/api/2.0/serving-endpoints/wine/drift", "", `"model_version":"2"`, `"drifting":["x"]`, `"psi":0.5`)
	s.want(404, "GET", "/api/2.0/serving-endpoints/beer/drift", "")
}
