package registry

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sluice/tracking"
)

// Tracking is what FromTracking needs of *tracking.Service.
type Tracking interface {
	Run(ctx context.Context, id string) (tracking.Run, error)
	LoggedModel(ctx context.Context, id string, allowDeleted bool) (tracking.LoggedModel, error)
	SetLoggedModelTags(ctx context.Context, id string, tags []tracking.Tag) error
}

// modelVersionsTag of a logged model lists the versions made from it (source: mlflow/utils/mlflow_tags.py, MLflow 3.17).
const modelVersionsTag = "mlflow.modelVersions"

// FromTracking returns Sources over the tracking service of this server.
func FromTracking(t Tracking) Sources { return &trackingSources{tracking: t} }

type trackingSources struct {
	tracking Tracking
	linking  sync.Mutex // one reader and writer of modelVersionsTag at a time
}

func (t *trackingSources) RunArtifactRoot(ctx context.Context, runID string) (string, error) {
	run, err := t.tracking.Run(ctx, runID)
	return run.Info.ArtifactURI, err
}

func (t *trackingSources) LoggedModel(ctx context.Context, modelID string) (LoggedModelSource, error) {
	m, err := t.tracking.LoggedModel(ctx, modelID, false)
	return LoggedModelSource{ArtifactLocation: m.ArtifactLocation, SourceRunID: m.SourceRunID}, err
}

type versionLink struct {
	Name    string      `json:"name"`
	Version json.Number `json:"version"` // MLflow's clients wrote it as a string at times
}

func (t *trackingSources) LinkVersion(ctx context.Context, modelID, name string, version int) error {
	t.linking.Lock()
	defer t.linking.Unlock()
	m, err := t.tracking.LoggedModel(ctx, modelID, false)
	if err != nil {
		return err
	}
	link := versionLink{name, json.Number(strconv.Itoa(version))}
	links := readLinks(m.Tags)
	if slices.Contains(links, link) {
		return nil
	}
	value, err := writeLinks(append(links, link))
	if err != nil {
		return err
	}
	return t.tracking.SetLoggedModelTags(ctx, modelID, []tracking.Tag{{Key: modelVersionsTag, Value: value}})
}

// readLinks reads the tag; a value that is not a list of links counts as none.
func readLinks(tags []tracking.Tag) []versionLink {
	var links []versionLink
	for _, tag := range tags {
		if tag.Key == modelVersionsTag && json.Unmarshal([]byte(tag.Value), &links) != nil {
			return nil
		}
	}
	return links
}

// writeLinks writes the list as Python's json.dumps does: [{"name": "x", "version": 1}].
func writeLinks(links []versionLink) (string, error) {
	parts := make([]string, len(links))
	for i, l := range links {
		name, err := json.Marshal(l.Name)
		if err != nil {
			return "", err
		}
		parts[i] = `{"name": ` + string(name) + `, "version": ` + l.Version.String() + `}`
	}
	return "[" + strings.Join(parts, ", ") + "]", nil
}
