// Package baseline finds the rows that a version's predictions are compared with, before it was asked anything, and makes a drift.Profile of them.
//
// It owns where such rows may lie, their reading, and the asking of the model for its predictions of them. It is called by gateway/drift through
// a function that cmd hands over (Finder.Baseline). It must not know HTTP or SQL, and reads nothing but the server's own artifact store and the
// folders that the operator opened beside it: a path or URL of another machine, which clients write into datasets, is told and passed by.
// A Finder is safe for concurrent use.
//
// # Where rows are looked for, in this order
//
//	table              that a person named: the version's tag TagBaseline, else the endpoint's drift.baseline. A path is one among the
//	                   artifacts of the version's training run (of its own files if it has no run); else it is a URI: runs:/, mlflow-artifacts:/, …
//	training dataset   the first input of the training run with the context "training" whose source leads into the artifact store, or, as a path of
//	                   the client's, has the name of a file that was logged as an artifact of the run. MLflow keeps schema and profile of a dataset,
//	                   a count of rows, but no values: without its file nothing can be compared
//	input example      of the model
//
// The first with Drift.MinRows rows or more is taken; of more than Drift.BaselineRows blocks that lie evenly. Files are Parquet, CSV, or JSON as
// mlflow.log_table and the scoring protocol write it, told by their names' ends. Columns that are not in the model's signature are left out.
// The predictions are the version's own: it is asked for every row, block by block, with rests. Columns that the endpoint's redaction keeps out of the
// prediction log are left out of the Profile too, and nothing is told of rows that cannot be taken but that.
package baseline

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"sluice/gateway"
	"sluice/gateway/drift"
	"sluice/gateway/predlog"
	"sluice/registry"
	"sluice/runtime/batch"
	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// TagBaseline is the tag of a model version that names the table it is compared with; a serving run has it to say what it was compared with.
const TagBaseline = "sluice.drift.baseline"

// Model is a loaded version; *servable.Handle implements it.
type Model interface {
	Model() *mlmodel.Model
	Predict(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch, t *batch.Timing) error
	Release()
}

// Deps are what a Finder works with; all are required.
type Deps struct {
	// Version and Run read what stands in the registry and in tracking.
	Version func(ctx context.Context, model string, version int) (registry.Version, error)
	Run     func(ctx context.Context, id string) (tracking.Run, error)
	// Locate makes an artifact URI of one that is relative to a run; others it returns as they are.
	Locate func(ctx context.Context, uri string) (string, error)
	// Resolve returns the place that an artifact URI names. Returns PERMISSION_DENIED or INVALID_PARAMETER_VALUE for one that is not the server's.
	Resolve func(uri string) (*artifact.Repo, error)
	// Acquire returns the version as the endpoint serves it, for the caller to release. An error is one that may be gone the next time.
	Acquire func(ctx context.Context, s predlog.Series) (Model, error)
	// Redaction returns what the prediction log does not keep of the endpoint's rows.
	Redaction func(ctx context.Context, endpoint string) (Redaction, error)
}

// Redaction is what must not be kept of rows, nor told; the zero value is nothing.
type Redaction struct {
	Columns []string                   // of requests
	Answer  func(answer []byte) []byte // what is kept of an answer, in JSON; nil if there are no Columns
}

// Finder finds baselines. Make it with New.
type Finder struct{ deps Deps }

// New returns a Finder.
func New(deps Deps) *Finder { return &Finder{deps} }

// candidate is a place where rows may lie.
type candidate struct {
	source drift.Source
	uri    string // an artifact URI of a file
	named  bool   // by a person
}

// Baseline returns the baseline of a version, without a Profile if there is none. It is drift.Deps.Baseline.
func (f *Finder) Baseline(ctx context.Context, s predlog.Series, settings gateway.Drift, output string) (drift.Given, error) {
	var out drift.Given
	v, err := f.deps.Version(ctx, s.Model, s.Version)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	all, notes, err := f.candidates(ctx, &v, settings.Baseline)
	if err != nil {
		return out, err
	}
	out.Notes = notes
	for _, c := range all {
		profile, err := f.profile(ctx, s, c, settings, output)
		if why, unusable := reason(err); unusable {
			note := fmt.Sprintf("%s %s: %s", c.source, c.uri, why)
			if c.named {
				out.Failed = note
			}
			out.Notes = append(out.Notes, note)
			continue
		}
		if err != nil {
			return out, err
		}
		out.Source, out.From, out.Profile = c.source, c.uri, profile
		return out, nil
	}
	return out, nil
}

// candidates are the places, the best first, and what is to be said of others.
func (f *Finder) candidates(ctx context.Context, v *registry.Version, setting string) (all []candidate, notes []string, err error) {
	run, err := f.trainingRun(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	if named := namedTable(v, setting); named != "" {
		all = append(all, candidate{drift.FromTable, inside(named, run, v), true})
	}
	if run != nil {
		for _, d := range trainingDatasets(run) {
			uri := sourceURI(d.Source)
			if uri == "" {
				notes = append(notes, fmt.Sprintf("%s %s: its source, of type %s, names no file", drift.FromDataset, d.Name, d.SourceType))
				continue
			}
			all = append(all, candidate{source: drift.FromDataset, uri: uri})
			if name := path.Base(strings.ReplaceAll(uri, `\`, "/")); d.SourceType == sourceLocal && mlflow.IsPlainPath(name) {
				all = append(all, candidate{source: drift.FromDataset, uri: within(run.Info.ArtifactURI, name)})
			}
		}
	}
	example, err := f.example(ctx, v)
	if why, unusable := reason(err); unusable {
		return all, append(notes, fmt.Sprintf("%s: %s", drift.FromExample, why)), nil
	}
	if example != "" {
		all = append(all, candidate{source: drift.FromExample, uri: example})
	}
	return all, notes, err
}

// trainingRun is the run that the version came from; nil if there is none.
func (f *Finder) trainingRun(ctx context.Context, v *registry.Version) (*tracking.Run, error) {
	id := registry.NewVersionSnapshot(*v).RunID
	if id == "" {
		return nil, nil
	}
	run, err := f.deps.Run(ctx, id)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return nil, nil
	}
	return &run, err
}

func namedTable(v *registry.Version, setting string) string {
	for _, t := range v.Tags {
		if t.Key == TagBaseline && t.Value != "" {
			return t.Value
		}
	}
	return setting
}

// inside is the URI of a table that a person named, by a path or a URI.
func inside(named string, run *tracking.Run, v *registry.Version) string {
	if !mlflow.IsPlainPath(named) || hasScheme(named) {
		return named
	}
	if run != nil {
		return within(run.Info.ArtifactURI, named)
	}
	return within(v.DownloadURI(), named)
}

// trainingContext is the context of the datasets that a model was trained on; mlflow.log_input's users write it, and so does autologging.
const trainingContext = "train"

func trainingDatasets(run *tracking.Run) []tracking.Dataset {
	var out []tracking.Dataset
	for _, in := range run.Inputs.Datasets {
		for _, t := range in.Tags {
			if t.Key == tracking.DatasetContextTag && (t.Value == trainingContext || t.Value == trainingContext+"ing") {
				out = append(out, in.Dataset)
			}
		}
	}
	return out
}

// sourceLocal is the type of a source that is a path on the client's machine.
const sourceLocal = "local"

// sourceURI is where a dataset's source says that its rows lie (mlflow/data/*_dataset_source.py, 3.17); "" where it says nothing of the kind.
func sourceURI(source string) string {
	var s struct {
		URI  string `json:"uri"`
		URL  string `json:"url"`
		Path string `json:"path"`
	}
	if json.Unmarshal([]byte(source), &s) != nil {
		return ""
	}
	switch {
	case s.URI != "":
		return s.URI
	case s.URL != "":
		return s.URL
	}
	return s.Path
}

// example is the URI of the model's input example; "" if it has none.
func (f *Finder) example(ctx context.Context, v *registry.Version) (string, error) {
	uri := v.DownloadURI()
	text, err := f.read(ctx, within(uri, mlmodel.FileName))
	if err != nil {
		return "", err
	}
	model, err := mlmodel.Parse(text)
	if err != nil {
		return "", unusable(err.Error())
	}
	switch e := model.Example; {
	case e == nil:
		return "", nil
	case mlflow.IsPlainPath(e.ServingPath):
		return within(uri, e.ServingPath), nil
	case e.Kind == "dataframe" && !e.HasParams && mlflow.IsPlainPath(e.Path):
		return within(uri, e.Path), nil
	}
	return "", nil
}
