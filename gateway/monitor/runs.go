package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"sluice/gateway/predlog"
	"sluice/registry"
	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// The tags of a serving run.
const (
	TagServing      = "sluice.serving" // "true"
	TagEndpoint     = "sluice.endpoint"
	TagModel        = "sluice.model_name"
	TagVersion      = "sluice.model_version"
	TagStage        = "sluice.stage"
	TagArm          = "sluice.arm"
	TagTrainingRun  = "sluice.training_run_id"
	TagLoggedModel  = "sluice.logged_model_id"
	TagRollout      = "sluice.rollout"      // id of the rollout that brought the version to the endpoint last
	TagServingRun   = "sluice.serving_run." // + endpoint, on training runs and model versions
	experimentStart = "serving/"
	noEndpoint      = "(none)" // stands for the endpoint of requests that named no known one
	user            = "sluice"
)

// ExperimentName returns the name of the experiment that holds an endpoint's serving runs.
func ExperimentName(endpoint string) string {
	if endpoint == "" {
		endpoint = noEndpoint
	}
	return experimentStart + endpoint
}

// servingRun is what is known of a run in tracking.
type servingRun struct {
	id, artifactURI string
	status          tracking.RunStatus
	stage, arm      string
	rollout         string
	sums            Sums // as written last
	added           Sums // to Totals, and not yet written
	linked          bool // the links to training run, version and logged model stand
	dataset         bool // the segments are its dataset input
}

// ensure returns the serving run of the Series, found or made. The caller holds mu.
func (m *Monitor) ensure(ctx context.Context, s predlog.Series) (*servingRun, error) {
	if r := m.runs[s]; r != nil {
		return r, m.link(ctx, s, r)
	}
	experiment, err := m.experiment(ctx, s.Endpoint)
	if err != nil {
		return nil, err
	}
	origin, err := m.origin(ctx, s)
	if err != nil {
		return nil, err
	}
	found, err := m.find(ctx, experiment, s, origin)
	if err != nil {
		return nil, err
	}
	if found == nil {
		if found, err = m.create(ctx, experiment, s, origin); err != nil {
			return nil, err
		}
	}
	r := known(found)
	m.runs[s] = r
	return r, m.link(ctx, s, r)
}

// experiment returns the id of the endpoint's experiment.
func (m *Monitor) experiment(ctx context.Context, endpoint string) (string, error) {
	name := ExperimentName(endpoint)
	e, err := m.src.Tracking.ExperimentByName(ctx, name)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		id, err := m.src.Tracking.CreateExperiment(ctx, tracking.ExperimentSpec{
			Name: name, Tags: []tracking.Tag{{Key: TagServing, Value: "true"}, {Key: TagEndpoint, Value: endpoint}},
		})
		if mlflow.CodeOf(err) == mlflow.ResourceAlreadyExists { // another member was faster
			e, err := m.src.Tracking.ExperimentByName(ctx, name)
			return e.ID, err
		}
		if err != nil {
			return "", fmt.Errorf("create experiment %s: %w", name, err)
		}
		return id, nil
	}
	if err != nil {
		return "", fmt.Errorf("experiment %s: %w", name, err)
	}
	if e.Lifecycle == tracking.Deleted {
		m.opts.Logger.Warn("restoring the deleted experiment of an endpoint that is served", slog.String("experiment", name))
		if err := m.src.Tracking.RestoreExperiment(ctx, e.ID); err != nil {
			return "", fmt.Errorf("restore experiment %s: %w", name, err)
		}
	}
	return e.ID, nil
}

// origin is where a served version comes from; the zero value if the registry no longer knows the version.
type origin struct {
	known          bool
	runID, modelID string
	tags           []registry.Tag // of the version
}

func (m *Monitor) origin(ctx context.Context, s predlog.Series) (origin, error) {
	if unrouted(s) {
		return origin{}, nil
	}
	v, err := m.src.Versions.Version(ctx, s.Model, s.Version)
	if gone(err) { // deleted or renamed meanwhile: its records are kept all the same
		return origin{}, nil
	}
	if err != nil {
		return origin{}, fmt.Errorf("version %d of %s: %w", s.Version, s.Model, err)
	}
	snap := registry.NewVersionSnapshot(v)
	return origin{known: true, runID: snap.RunID, modelID: snap.ModelID, tags: v.Tags}, nil
}

// runPage is how many runs one search returns.
const runPage = 200

// find returns the newest serving run of the Series in the experiment, nil if there is none. A run of a version that came from another
// training run is not it: the registered model was deleted and made again.
func (m *Monitor) find(ctx context.Context, experiment string, s predlog.Series, o origin) (*tracking.Run, error) {
	q := tracking.RunQuery{
		ExperimentIDs: []string{experiment}, MaxResults: runPage,
		Filter: fmt.Sprintf("tags.`%s` = 'true' AND tags.`%s` = '%d'", TagServing, TagVersion, s.Version),
	}
	for {
		page, err := m.src.Tracking.SearchRuns(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("search serving runs: %w", err)
		}
		for _, r := range page.Runs {
			trained := tag(r, TagTrainingRun)
			if tag(r, TagModel) == s.Model && (!o.known || trained == o.runID) {
				return &r, nil
			}
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			return nil, nil
		}
	}
}

func (m *Monitor) create(ctx context.Context, experiment string, s predlog.Series, o origin) (*tracking.Run, error) {
	tags := []tracking.Tag{
		{Key: TagServing, Value: "true"}, {Key: TagEndpoint, Value: s.Endpoint}, {Key: TagModel, Value: s.Model},
		{Key: TagVersion, Value: strconv.Itoa(s.Version)}, {Key: "mlflow.user", Value: user},
	}
	if o.runID != "" {
		tags = append(tags, tracking.Tag{Key: TagTrainingRun, Value: o.runID})
	}
	if o.modelID != "" {
		tags = append(tags, tracking.Tag{Key: TagLoggedModel, Value: o.modelID})
	}
	r, err := m.src.Tracking.CreateRun(ctx, tracking.RunSpec{
		ExperimentID: experiment, UserID: user, Name: runName(s), StartTimeMS: m.opts.Now().UnixMilli(), Tags: tags,
	})
	if err != nil {
		return nil, fmt.Errorf("create serving run %s: %w", runName(s), err)
	}
	return &r, nil
}

// unrouted says that the Series holds requests that reached no version.
func unrouted(s predlog.Series) bool { return s.Model == "" || s.Version <= 0 }

func runName(s predlog.Series) string {
	if unrouted(s) {
		return "unrouted"
	}
	return fmt.Sprintf("%s v%d", s.Model, s.Version)
}

// known reads what a run in tracking says.
func known(r *tracking.Run) *servingRun {
	out := &servingRun{
		id: r.Info.ID, artifactURI: r.Info.ArtifactURI, status: r.Info.Status, stage: tag(*r, TagStage), arm: tag(*r, TagArm),
		rollout: tag(*r, TagRollout),
	}
	for _, metric := range r.Data.Metrics {
		out.sums.resume(metric)
	}
	return out
}

func tag(r tracking.Run, key string) string {
	for _, t := range r.Data.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// link writes the links between the serving run and where its version comes from, once. What a person deleted cannot be linked: that is
// logged, not retried.
func (m *Monitor) link(ctx context.Context, s predlog.Series, r *servingRun) error {
	if r.linked || unrouted(s) {
		return nil
	}
	o, err := m.origin(ctx, s)
	if err != nil {
		return err
	}
	key := TagServingRun + s.Endpoint
	errs := []error{m.linkVersion(ctx, s, o, key, r.id)}
	if o.runID != "" {
		err := m.src.Tracking.LogBatch(ctx, o.runID, tracking.Batch{Tags: []tracking.Tag{{Key: key, Value: r.id}}})
		errs = append(errs, m.tolerate("training run", err, s))
	}
	if o.modelID != "" {
		errs = append(errs, m.tolerate("logged model", m.linkModel(ctx, r.id, o.modelID), s))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("link serving run %s: %w", r.id, err)
	}
	r.linked = true
	return nil
}

// linkVersion tags the model version, unless it is tagged already: a tag is a change of the registry that others react to.
func (m *Monitor) linkVersion(ctx context.Context, s predlog.Series, o origin, key, runID string) error {
	if !o.known {
		return nil
	}
	for _, t := range o.tags {
		if t.Key == key && t.Value == runID {
			return nil
		}
	}
	return m.tolerate("model version", m.src.Versions.SetVersionTag(ctx, s.Model, s.Version, registry.Tag{Key: key, Value: runID}), s)
}

func (m *Monitor) linkModel(ctx context.Context, runID, modelID string) error {
	r, err := m.src.Tracking.Run(ctx, runID)
	if err != nil {
		return err
	}
	for _, in := range r.Inputs.Models {
		if in.ModelID == modelID {
			return nil
		}
	}
	return m.src.Tracking.LogInputs(ctx, runID, nil, []tracking.ModelInput{{ModelID: modelID}})
}

// tolerate logs and drops an error that trying again cannot mend.
func (m *Monitor) tolerate(what string, err error, s predlog.Series) error {
	if err == nil || !gone(err) {
		return err
	}
	m.opts.Logger.Warn("serving run not linked", slog.String("to", what), slog.String("endpoint", s.Endpoint),
		slog.String("model", s.Model), slog.Int("version", s.Version), slog.Any("error", err))
	return nil
}
