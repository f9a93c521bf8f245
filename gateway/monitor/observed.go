package monitor

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"unicode"

	"sluice/gateway/predlog"
	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// Observation is what somebody else found out about a version, as metrics of its serving run.
type Observation struct {
	predlog.Series
	// Subject tells the observations of one version apart.
	Subject string
	// AtMS is what the numbers are about, ms since the epoch.
	AtMS int64
	// Values are the metrics by key; characters that MLflow takes no keys with are replaced.
	Values map[string]float64
	// Tags are tags of its serving run.
	Tags map[string]string
}

type observationKey struct {
	predlog.Series
	subject string
}

// writeObservations writes what changed since it was written last. What is known of a version that nobody routes to, when it is seen for the
// first time, stands in its run already: it is written from its next change on. The caller holds mu, and has reconciled.
func (m *Monitor) writeObservations(ctx context.Context) error {
	if m.src.Observed == nil {
		return nil
	}
	var errs []error
	live := map[observationKey]bool{}
	for _, o := range m.src.Observed() {
		key := observationKey{o.Series, o.Subject}
		live[key] = true
		before, known := m.seen[key]
		if !known && m.runs[o.Series] == nil {
			m.seen[key] = o
			continue
		}
		if maps.Equal(before.Values, o.Values) && maps.Equal(before.Tags, o.Tags) {
			continue
		}
		if err := m.healed(o.Series, func() error { return m.writeObservation(ctx, o) }); err != nil {
			errs = append(errs, err)
			continue
		}
		m.seen[key] = o
	}
	maps.DeleteFunc(m.seen, func(k observationKey, _ Observation) bool { return !live[k] })
	return errors.Join(errs...)
}

func (m *Monitor) writeObservation(ctx context.Context, o Observation) error {
	r, err := m.ensure(ctx, o.Series)
	if err != nil {
		return err
	}
	var batch tracking.Batch
	taken := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(o.Values)) {
		name := metricKey(key)
		for n := 2; taken[name]; n++ { // two columns that differ in what no key may hold
			name = metricKey(fmt.Sprintf("%s_%d", mlflow.Truncate(key, maxMetricKey-4), n))
		}
		taken[name] = true
		batch.Metrics = append(batch.Metrics, tracking.Metric{Key: name, Value: o.Values[key], TimestampMS: m.opts.Now().UnixMilli(), Step: o.AtMS / 1000})
	}
	for _, key := range slices.Sorted(maps.Keys(o.Tags)) {
		batch.Tags = append(batch.Tags, tracking.Tag{Key: key, Value: o.Tags[key]})
	}
	if err := m.src.Tracking.LogBatch(ctx, r.id, batch); err != nil {
		return fmt.Errorf("metrics of serving run %s: %w", r.id, err)
	}
	return nil
}

// metricKey replaces what no key of a metric may hold (mlflow/utils/validation.py, 3.17), and cuts. Behind the first slash there is none.
func metricKey(key string) string {
	group, name, named := strings.Cut(key, "/")
	key = strings.Map(keyRune, group)
	if !named {
		return mlflow.Truncate(key, maxMetricKey)
	}
	name = strings.Map(keyRune, name)
	if strings.Trim(name, ". ") == "" { // a path that is another's
		name = "_" + name
	}
	key += "/" + name
	return mlflow.Truncate(key, maxMetricKey)
}

const maxMetricKey = 250 // characters

func keyRune(r rune) rune {
	switch {
	case unicode.IsLetter(r), unicode.IsNumber(r), strings.ContainsRune("_-. ", r):
		return r
	}
	return '_'
}

// The dataset input of a serving run.
const (
	datasetName    = "predictions"
	datasetContext = "serving"
)

// logDataset makes the run's segments its dataset input, once. mlflow.data resolves a source of the type "local" with whatever URI it holds.
// The caller holds mu.
func (m *Monitor) logDataset(ctx context.Context, r *servingRun) error {
	if r.dataset {
		return nil
	}
	run, err := m.src.Tracking.Run(ctx, r.id)
	if err != nil {
		return err
	}
	has := slices.ContainsFunc(run.Inputs.Datasets, func(d tracking.DatasetInput) bool { return d.Dataset.Name == datasetName })
	if !has {
		input, err := datasetOf(r.id)
		if err != nil {
			return err
		}
		if err := m.src.Tracking.LogInputs(ctx, r.id, []tracking.DatasetInput{input}, nil); err != nil {
			return err
		}
	}
	r.dataset = true
	return nil
}

// datasetOf describes the segments of a run. Inside an experiment a dataset is known by name and digest, so each run has its own.
func datasetOf(runID string) (tracking.DatasetInput, error) {
	digest := fnv.New32a()
	digest.Write([]byte(runID))
	source, err := json.Marshal(map[string]string{"uri": "runs:/" + runID + "/predictions"})
	if err != nil {
		return tracking.DatasetInput{}, err
	}
	columns := []map[string]any{
		column("databricks_request_id", "string", true), column("client_request_id", "string", false), column("time", "datetime", true),
		column("status_code", "integer", true), column("request", "string", false), column("response", "string", false),
		column("model_name", "string", true), column("model_version", "integer", true), column("rows", "integer", true),
	}
	schema, err := json.Marshal(map[string]any{"mlflow_colspec": columns})
	if err != nil {
		return tracking.DatasetInput{}, err
	}
	return tracking.DatasetInput{
		Dataset: tracking.Dataset{Name: datasetName, Digest: hex.EncodeToString(digest.Sum(nil)), SourceType: "local", Source: string(source), Schema: string(schema)},
		Tags:    []tracking.Tag{{Key: tracking.DatasetContextTag, Value: datasetContext}},
	}, nil
}

func column(name, kind string, required bool) map[string]any {
	return map[string]any{"name": name, "type": kind, "required": required}
}
