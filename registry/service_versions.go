package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// VersionPage is one page of model versions; NextPageToken is "" on the last.
type VersionPage struct {
	Versions      []Version
	NextPageToken string
}

// CreateVersion makes the next version of a registered model from a source.
//
// A source must be a URI that the server may read later: remote, or inside the artifacts of the run or logged model that the
// spec names; models:/<id> and models:/<name>/<version|stage|latest> or @<alias> are resolved to where those files are. Returns
// INVALID_PARAMETER_VALUE for any other source, RESOURCE_DOES_NOT_EXIST for an unknown registered model or origin.
func (s *Service) CreateVersion(ctx context.Context, spec VersionSpec) (v Version, err error) {
	tags, err := checkTags(spec.Tags, checkVersionTag)
	if err != nil {
		return Version{}, err
	}
	from, err := s.resolveSource(ctx, spec, isPrompt(tags)) // before the name is looked at, as in MLflow
	if err != nil {
		return Version{}, err
	}
	if err := checkModelName(spec.Name); err != nil {
		return Version{}, err
	}
	if err := s.inheritRun(ctx, &from); err != nil {
		return Version{}, err
	}
	draft := Version{
		Name: spec.Name, Source: from.source, StorageLocation: from.location, RunID: from.runID,
		RunLink: &spec.RunLink, Description: &spec.Description, Tags: tags,
	}
	err = s.change(ctx, func(at int64) (events []Event, err error) {
		v, events, err = s.store.CreateVersion(ctx, draft, at)
		return events, err
	})
	if err != nil || from.modelID == "" {
		return v, err
	}
	if err := s.opts.Sources.LinkVersion(ctx, from.modelID, v.Name, v.Version); err != nil {
		return v, fmt.Errorf("link version %d of %s to logged model %s: %w", v.Version, v.Name, from.modelID, err)
	}
	return v, nil
}

// Version returns a model version. Returns RESOURCE_DOES_NOT_EXIST for one that is not there or deleted.
func (s *Service) Version(ctx context.Context, name string, version int) (Version, error) {
	if err := checkModelName(name); err != nil {
		return Version{}, err
	}
	return s.store.Version(ctx, name, version)
}

// DownloadURI returns where the version's files are.
func (s *Service) DownloadURI(ctx context.Context, name string, version int) (string, error) {
	v, err := s.Version(ctx, name, version)
	return v.DownloadURI(), err
}

// SetVersionDescription overwrites the description; nil takes it away.
func (s *Service) SetVersionDescription(ctx context.Context, name string, version int, description *string) (v Version, err error) {
	if err := checkModelName(name); err != nil {
		return Version{}, err
	}
	err = s.change(ctx, func(at int64) (events []Event, err error) {
		v, events, err = s.store.SetVersionDescription(ctx, name, version, description, at)
		return events, err
	})
	return v, err
}

// SetStage moves a version to a stage, given in any letter case. With archiveOthers the other versions of the stage become
// Archived; that asks for an active stage, else INVALID_PARAMETER_VALUE (MLflow: INTERNAL_ERROR, which clients would try again).
func (s *Service) SetStage(ctx context.Context, name string, version int, stage string, archiveOthers bool) (v Version, err error) {
	to, err := checkTransition(name, stage, archiveOthers)
	if err != nil {
		return Version{}, err
	}
	err = s.change(ctx, func(at int64) (events []Event, err error) {
		v, events, err = s.store.SetStage(ctx, name, version, to, archiveOthers, at)
		return events, err
	})
	return v, err
}

// SetStageFrom is SetStage if from is the highest version of the stage now (0: none is in it), else it returns RESOURCE_CONFLICT with the
// detail current_version and changes nothing. Of two that move a stage from the same version one wins.
func (s *Service) SetStageFrom(ctx context.Context, name string, version int, stage string, archiveOthers bool, from int) (v Version, err error) {
	to, err := checkTransition(name, stage, archiveOthers)
	if err != nil {
		return Version{}, err
	}
	err = s.change(ctx, func(at int64) (events []Event, err error) {
		v, events, err = s.store.SetStageFrom(ctx, name, version, to, archiveOthers, from, at)
		return events, err
	})
	return v, err
}

func checkTransition(name, stage string, archiveOthers bool) (Stage, error) {
	to, err := ParseStage(stage)
	if err != nil {
		return "", err
	}
	if archiveOthers && !to.Active() {
		return "", mlflow.Invalidf("Model version transition cannot archive existing model versions because "+
			"'%s' is not an Active stage. Valid stages are ['Staging', 'Production']", stage)
	}
	return to, checkModelName(name)
}

// DeleteVersion deletes a version and its aliases; its number is not given again. Unless force is set, Options.GuardDelete may
// refuse.
func (s *Service) DeleteVersion(ctx context.Context, name string, version int, force bool) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	return s.change(ctx, func(at int64) ([]Event, error) {
		if err := s.guardDelete(ctx, name, version, force); err != nil {
			return nil, err
		}
		return s.store.DeleteVersion(ctx, name, version, at)
	})
}

// LatestVersions returns the highest version of each of the stages (in any letter case; none means all) that has one.
func (s *Service) LatestVersions(ctx context.Context, name string, stages []string) ([]Version, error) {
	if err := checkModelName(name); err != nil {
		return nil, err
	}
	latest, err := s.store.LatestVersions(ctx, name)
	if err != nil {
		return nil, err
	}
	wanted := Stages()
	if len(stages) > 0 {
		wanted = nil
	}
	for _, text := range stages {
		stage, err := ParseStage(text)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, stage)
	}
	return slices.DeleteFunc(latest, func(v Version) bool { return !slices.Contains(wanted, v.Stage) }), nil
}

// SearchVersions returns one page of model versions, last updated first unless OrderBy says otherwise; at most
// mlflow.SearchVersionsMax.
func (s *Service) SearchVersions(ctx context.Context, q SearchQuery) (VersionPage, error) {
	if len(q.OrderBy) == 0 {
		q.OrderBy = []string{"last_updated_timestamp DESC"} // then name and number, which every Search ends with
	}
	question := q.question("model versions")
	search, err := q.parse(filter.ModelVersions(), question, mlflow.SearchVersionsDefault, mlflow.SearchVersionsMax)
	if err != nil {
		return VersionPage{}, err
	}
	found, err := s.store.SearchVersions(ctx, search)
	if err != nil {
		return VersionPage{}, err
	}
	next, err := page.Next(question, found)
	return VersionPage{found.Rows, next}, err
}

// SetVersionTag sets or overwrites a tag.
func (s *Service) SetVersionTag(ctx context.Context, name string, version int, tag Tag) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	if err := checkVersionTag(tag); err != nil {
		return err
	}
	return s.change(ctx, func(at int64) ([]Event, error) { return s.store.SetVersionTag(ctx, name, version, tag, at) })
}

// DeleteVersionTag deletes a tag; one that is not there is nothing.
func (s *Service) DeleteVersionTag(ctx context.Context, name string, version int, key string) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	if err := mlflow.CheckName("key", key); err != nil {
		return err
	}
	return s.change(ctx, func(at int64) ([]Event, error) { return s.store.DeleteVersionTag(ctx, name, version, key, at) })
}

// SetAlias makes or moves an alias.
func (s *Service) SetAlias(ctx context.Context, name, alias string, version int) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	if err := checkFreeAlias(alias); err != nil {
		return err
	}
	return s.change(ctx, func(at int64) ([]Event, error) { return s.store.SetAlias(ctx, name, alias, version, at) })
}

// SetAliasFrom is SetAlias if the alias means from now (0: there is none), else it returns RESOURCE_CONFLICT with the detail current_version.
func (s *Service) SetAliasFrom(ctx context.Context, name, alias string, version, from int) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	if err := checkFreeAlias(alias); err != nil {
		return err
	}
	return s.change(ctx, func(at int64) ([]Event, error) { return s.store.SetAliasFrom(ctx, name, alias, version, from, at) })
}

// DeleteAlias deletes an alias; one that is not there is nothing.
func (s *Service) DeleteAlias(ctx context.Context, name, alias string) error {
	if err := checkModelName(name); err != nil {
		return err
	}
	if err := checkAlias(alias); err != nil {
		return err
	}
	return s.change(ctx, func(at int64) ([]Event, error) { return s.store.DeleteAlias(ctx, name, alias, at) })
}

// VersionByAlias returns the version that the alias names; LatestAlias names the highest. Returns INVALID_PARAMETER_VALUE for an
// unknown alias, as MLflow does.
func (s *Service) VersionByAlias(ctx context.Context, name, alias string) (Version, error) {
	if err := checkModelName(name); err != nil {
		return Version{}, err
	}
	if err := checkAlias(alias); err != nil {
		return Version{}, err
	}
	if !strings.EqualFold(alias, LatestAlias) {
		return s.store.VersionByAlias(ctx, name, alias)
	}
	latest, err := s.LatestVersions(ctx, name, nil)
	if err != nil {
		return Version{}, err
	}
	if len(latest) == 0 {
		return Version{}, mlflow.Missingf("Latest version not found for model %s.", name)
	}
	return highest(latest), nil
}

func highest(versions []Version) Version {
	return slices.MaxFunc(versions, func(a, b Version) int { return a.Version - b.Version })
}
