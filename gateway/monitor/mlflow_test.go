package monitor

import (
	"testing"
	"time"

	"sluice/gateway/outcome"
	"sluice/tracking/sqldb/sqldbtest"
)

// The real MLflow, on the same database, finds a served version from its training run and the other way round, with its metrics.
func TestMLflowFindsServingRuns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	training, model := h.trained(t, "wine")
	m := h.monitor(t)
	m.Routed(t.Context(), []Served{{"shop", "wine", 1, "Production", "stable"}})
	h.serve(40, outcome.Key{Endpoint: "shop", Model: "wine", Version: 1, Code: 200}, time.Millisecond)
	flush(t, m)
	h.serve(2, outcome.Key{Endpoint: "shop", Model: "wine", Version: 1, Code: 500}, time.Millisecond)
	flush(t, m)
	sqldbtest.Python(t, `
import sys
import mlflow
from mlflow import MlflowClient

database, training, model = sys.argv[1:]
mlflow.set_tracking_uri("sqlite:///" + database)
frame = mlflow.search_runs(experiment_names=["serving/shop"], filter_string="tags.`+"`sluice.training_run_id`"+` = '%s'" % training)
assert len(frame) == 1, frame
run = frame.iloc[0]
assert run["tags.mlflow.runName"] == "wine v1" and run["status"] == "RUNNING", run
assert run["metrics.requests_total"] == 42 and run["metrics.errors"] == 2 and run["metrics.error_rate"] == 1, run
assert 0 < run["metrics.latency_p99_ms"] < 100, run

client = MlflowClient()
history = client.get_metric_history(run["run_id"], "requests")
assert [(m.step, m.value) for m in history] == [(1, 40), (2, 2)], history
assert [i.model_id for i in client.get_run(run["run_id"]).inputs.model_inputs] == [model]
assert client.get_run(training).data.tags["sluice.serving_run.shop"] == run["run_id"]
assert client.get_model_version("wine", "1").tags["sluice.serving_run.shop"] == run["run_id"]
`, h.db, training.Info.ID, model.ID)
}
