package tracking

import (
	"fmt"
	"regexp"
	"sort"
	"strings"

	"sluice/tracking/mlflow"
	"sluice/tracking/pyjson"
)

// runIDPattern is what log-batch and log-inputs take for a run id (source: mlflow/utils/validation.py, _RUN_ID_REGEX).
var runIDPattern = regexp.MustCompile(`^[a-zA-Z0-9][\w-]{0,255}$`)

func checkRunID(id string) error {
	if !runIDPattern.MatchString(id) {
		return mlflow.InvalidValue("run_id", id, "")
	}
	return nil
}

func checkExperimentName(name string) error {
	if name == "" {
		return mlflow.Invalidf("Invalid experiment name: '%s'", name)
	}
	return mlflow.CheckLength("name", name, mlflow.MaxExperimentNameLength)
}

func checkExperimentTag(t Tag) error {
	if err := mlflow.CheckName("key", t.Key); err != nil {
		return err
	}
	if err := mlflow.CheckLength("key", t.Key, mlflow.MaxKeyLength); err != nil {
		return err
	}
	return mlflow.CheckLength("value", t.Value, mlflow.MaxExperimentTagValue)
}

// checkMetric checks one metric; at is "" or "metrics[i]".
func checkMetric(m Metric, at string) error {
	if err := mlflow.CheckName(below(at, "name"), m.Key); err != nil {
		return err
	}
	if m.TimestampMS < 0 {
		return mlflow.InvalidValue(below(at, "timestamp"), m.TimestampMS,
			fmt.Sprintf("metric '%s' (value=%s). Timestamp must be a nonnegative long (64-bit integer) ", m.Key, pyjson.AppendFloat(nil, m.Value)))
	}
	if (m.DatasetName == "") != (m.DatasetDigest == "") {
		return mlflow.Invalidf("Both dataset_name and dataset_digest must be provided if one is provided")
	}
	return mlflow.CheckLength("Metric name", m.Key, mlflow.MaxKeyLength)
}

// checkParam checks a param and returns it with its value cut; at is "" or "params[i]".
func (s *Service) checkParam(p Param, at string) (Param, error) {
	if err := mlflow.CheckName(below(at, "key"), p.Key); err != nil {
		return p, err
	}
	if err := mlflow.CheckLength("Param key", p.Key, mlflow.MaxKeyLength); err != nil {
		return p, err
	}
	var err error
	p.Value, err = s.fit("Param value", p.Value, mlflow.MaxParamValueLength)
	return p, err
}

// checkTag checks a run's tag and returns it with its value cut; at is "" or "tags[i]".
func (s *Service) checkTag(t Tag, at string) (Tag, error) {
	if err := mlflow.CheckName(below(at, "key"), t.Key); err != nil {
		return t, err
	}
	if err := mlflow.CheckLength(below(at, "key"), t.Key, mlflow.MaxKeyLength); err != nil {
		return t, err
	}
	var err error
	t.Value, err = s.fit(below(at, "value"), t.Value, mlflow.MaxTagValueLength)
	return t, err
}

// fit cuts a value to limit characters, or refuses it if the Service was told so.
func (s *Service) fit(what, value string, limit int) (string, error) {
	if s.opts.RefuseLongValues {
		return value, mlflow.CheckLength(what, value, limit)
	}
	return mlflow.Truncate(value, limit), nil
}

// checkBatch checks everything about a batch that needs no store, in MLflow's order, and returns it with long values cut.
func (s *Service) checkBatch(b Batch) (Batch, error) {
	for i, m := range b.Metrics { // paths are made for mistakes alone
		if checkMetric(m, "") != nil {
			return b, checkMetric(m, fmt.Sprintf("metrics[%d]", i))
		}
	}
	params := make([]Param, len(b.Params))
	tags := make([]Tag, len(b.Tags))
	var err error
	for i, p := range b.Params {
		if params[i], err = s.checkParam(p, ""); err != nil {
			_, err = s.checkParam(p, fmt.Sprintf("params[%d]", i))
			return b, err
		}
	}
	for i, t := range b.Tags {
		if tags[i], err = s.checkTag(t, ""); err != nil {
			_, err = s.checkTag(t, fmt.Sprintf("tags[%d]", i))
			return b, err
		}
	}
	if err := checkBatchSize(b); err != nil {
		return b, err
	}
	return Batch{b.Metrics, params, tags}, checkParamsUnique(params)
}

func checkBatchSize(b Batch) error {
	for _, c := range []struct {
		what     string
		most, is int
	}{
		{"metrics", mlflow.MaxMetricsPerBatch, len(b.Metrics)},
		{"params", mlflow.MaxParamsPerBatch, len(b.Params)},
		{"tags", mlflow.MaxTagsPerBatch, len(b.Tags)},
		{"metrics, params, and tags", mlflow.MaxEntitiesPerBatch, len(b.Metrics) + len(b.Params) + len(b.Tags)},
	} {
		if c.is > c.most {
			return mlflow.Invalidf("A batch logging request can contain at most %d %s. Got %d %s. Please split up %s across multiple "+
				"requests and try again.", c.most, c.what, c.is, c.what, c.what)
		}
	}
	return nil
}

func checkParamsUnique(params []Param) error {
	seen := make(map[string]bool, len(params))
	var twice []string
	for _, p := range params {
		if seen[p.Key] {
			twice = append(twice, mlflow.Repr(p.Key))
		}
		seen[p.Key] = true
	}
	if twice == nil {
		return nil
	}
	return mlflow.Invalidf("Duplicate parameter keys have been submitted: [%s]. Please ensure the request contains only one param "+
		"value per param key.", strings.Join(twice, ", "))
}

func checkDatasetInput(in DatasetInput) error {
	d := in.Dataset
	if d.Name == "" {
		return mlflow.Invalidf("Dataset name cannot be None")
	}
	if d.Digest == "" {
		return mlflow.Invalidf("Dataset digest cannot be None")
	}
	for _, c := range []struct {
		what, value string
		most        int
	}{
		{"name", d.Name, mlflow.MaxDatasetName},
		{"digest", d.Digest, mlflow.MaxDatasetDigest},
		{"source", d.Source, mlflow.MaxDatasetSource},
		{"schema", d.Schema, mlflow.MaxDatasetSchema},
		{"profile", d.Profile, mlflow.MaxDatasetProfile},
	} {
		if err := mlflow.CheckLength(c.what, c.value, c.most); err != nil {
			return err
		}
	}
	for _, t := range in.Tags {
		if err := mlflow.CheckLength("key", t.Key, mlflow.MaxInputTagKey); err != nil {
			return err
		}
		if err := mlflow.CheckLength("value", t.Value, mlflow.MaxInputTagValue); err != nil {
			return err
		}
	}
	return nil
}

// checkModelName checks the name of a logged model; "" is fine, the Service then makes one.
func checkModelName(name string) error {
	if strings.ContainsAny(name, `/:.%"'`) {
		return mlflow.Invalidf(`Invalid model name (%s) provided. Model name must be a non-empty string and cannot contain the following `+
			`characters: ('/', ':', '.', '%%', '"', "'")`, mlflow.Repr(name))
	}
	return mlflow.CheckLength("name", name, mlflow.MaxLoggedModelName)
}

// below returns the path of a field: "field" or "at.field".
func below(at, field string) string {
	if at == "" {
		return field
	}
	return at + "." + field
}

// lastOfEachKey returns tags sorted by key, of those with one key the last.
func lastOfEachKey(tags []Tag) []Tag {
	out := append([]Tag(nil), tags...)
	sort.SliceStable(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	n := 0
	for i, t := range out {
		if i+1 < len(out) && out[i+1].Key == t.Key {
			continue
		}
		out[n] = t
		n++
	}
	return out[:n]
}

func hasKey(tags []Tag, key string) bool {
	_, ok := tagValue(tags, key)
	return ok
}

func tagValue(tags []Tag, key string) (string, bool) {
	for _, t := range tags {
		if t.Key == key {
			return t.Value, true
		}
	}
	return "", false
}

// fitTraceTag checks a tag of a trace and returns it with its value cut.
func fitTraceTag(t Tag) (Tag, error) {
	if err := mlflow.CheckName("key", t.Key); err != nil {
		return t, err
	}
	if err := mlflow.CheckLength("key", t.Key, MaxTraceKey); err != nil {
		return t, err
	}
	t.Value = mlflow.Truncate(t.Value, MaxTraceValue)
	return t, nil
}
