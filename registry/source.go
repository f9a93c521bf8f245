package registry

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"sluice/tracking/mlflow"
)

// origin is where a new version comes from.
type origin struct {
	source   string  // as it will be shown; aliases and stages in models:/ URIs resolved to the number
	location string  // URI of the files
	runID    *string // nil: no value
	modelID  string  // the logged model to link to; "" means none
}

// promptSources are the sources that prompts carry instead of a place (source: mlflow/prompt/constants.py, MLflow 3.17).
var promptSources = []string{"dummy-source", "prompt-template"}

// resolveSource checks the source of a new version and finds its files. Nothing is opened or fetched: whether the files exist
// is found out when they are needed.
func (s *Service) resolveSource(ctx context.Context, spec VersionSpec, prompt bool) (origin, error) {
	source := spec.Source
	if source == "" {
		return origin{}, mlflow.MissingValue("source")
	}
	if p := s.opts.SourcePattern; p != nil && !p.MatchString(source) {
		return origin{}, mlflow.Invalidf("Invalid model version source: '%s'.", source)
	}
	if prompt {
		if !slices.Contains(promptSources, source) {
			return origin{}, mlflow.Invalidf("Invalid prompt source: '%s'. Prompt sources must use an MLflow placeholder.", source)
		}
		return origin{source: source, location: source, runID: orEmpty(spec.RunID)}, nil
	}
	if err := s.checkHost(source); err != nil {
		return origin{}, err
	}
	if isLocal(source) {
		return s.fromLocal(ctx, spec)
	}
	if err := checkPlainSource(source); err != nil {
		return origin{}, err
	}
	scheme, _ := cutScheme(source)
	if scheme == "models" {
		return s.resolveModelsURI(ctx, spec)
	}
	if err := s.checkOwner(ctx, spec, scheme); err != nil {
		return origin{}, err
	}
	return origin{source: source, location: source, runID: orEmpty(spec.RunID), modelID: deref(spec.ModelID)}, nil
}

// resolveModelsURI resolves models:/<id>, models:/<name>/<version, stage or latest> and models:/<name>@<alias>.
func (s *Service) resolveModelsURI(ctx context.Context, spec VersionSpec) (origin, error) {
	u, err := url.Parse(spec.Source)
	if err == nil && u.Host != "" {
		return origin{}, mlflow.Invalidf("Invalid model version source: '%s'. Registered model sources must use the active model registry.", spec.Source)
	}
	ref, ok := parseModelsURI(spec.Source)
	if !ok {
		return origin{}, notInSource(spec.Source, "model_id")
	}
	if ref.modelID != "" {
		return s.fromLoggedModel(ctx, spec, ref.modelID)
	}
	return s.fromVersion(ctx, spec, ref)
}

func (s *Service) fromLoggedModel(ctx context.Context, spec VersionSpec, modelID string) (origin, error) {
	if deref(spec.ModelID) != modelID {
		return origin{}, notInSource(spec.Source, "model_id")
	}
	m, err := s.loggedModel(ctx, modelID)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return origin{}, mlflow.Missingf("Unable to fetch model from model URI source artifact location '%s'.Error: Logged model with ID '%s' not found.", spec.Source, modelID)
	}
	if err != nil {
		return origin{}, err
	}
	o := origin{source: spec.Source, location: m.ArtifactLocation, runID: spec.RunID, modelID: modelID}
	if deref(o.runID) == "" {
		o.runID = &m.SourceRunID
	}
	return o, nil
}

// fromVersion makes the new version a copy of a registered one: its files, and its run and logged model unless the caller says
// the same himself.
func (s *Service) fromVersion(ctx context.Context, spec VersionSpec, ref modelRef) (origin, error) {
	m, err := s.Model(ctx, ref.name)
	if err != nil {
		return origin{}, err
	}
	if m.IsPrompt() {
		return origin{}, mlflow.Invalidf("Invalid model version source: '%s'. Prompt versions cannot be used as model version sources.", spec.Source)
	}
	from, err := s.find(ctx, ref)
	if err != nil {
		return origin{}, err
	}
	modelID := "" // MLflow's database does not keep the logged model of a version, so there is none to compare with or to inherit
	if spec.RunID != nil && *spec.RunID != deref(from.RunID) || spec.ModelID != nil && *spec.ModelID != modelID {
		return origin{}, mlflow.Invalidf("Invalid model version source: '%s'. The run_id and model_id request parameters must match the referenced model version.", spec.Source)
	}
	return origin{
		source:   "models:/" + ref.name + "/" + strconv.Itoa(from.Version),
		location: from.DownloadURI(),
		runID:    from.RunID,
		modelID:  modelID,
	}, nil
}

// find returns the version that the reference names.
func (s *Service) find(ctx context.Context, ref modelRef) (Version, error) {
	switch {
	case ref.version != "":
		n, err := ParseVersion(ref.version)
		if err != nil {
			return Version{}, err
		}
		return s.store.Version(ctx, ref.name, n)
	case ref.alias != "":
		return s.VersionByAlias(ctx, ref.name, ref.alias)
	}
	var stages []string
	where := ""
	if ref.stage != "" {
		stages, where = []string{ref.stage}, " and stage '"+ref.stage+"'"
	}
	latest, err := s.LatestVersions(ctx, ref.name, stages)
	if err != nil {
		return Version{}, err
	}
	if len(latest) == 0 {
		return Version{}, mlflow.Missingf("No versions of model with name '%s'%s found", ref.name, where)
	}
	return highest(latest), nil
}

// inheritRun fills a missing run id from the logged model.
func (s *Service) inheritRun(ctx context.Context, o *origin) error {
	if deref(o.runID) != "" || o.modelID == "" {
		return nil
	}
	m, err := s.loggedModel(ctx, o.modelID)
	if err != nil {
		return err
	}
	o.runID = &m.SourceRunID
	return nil
}

func (s *Service) loggedModel(ctx context.Context, id string) (LoggedModelSource, error) {
	if s.opts.Sources == nil {
		return LoggedModelSource{}, mlflow.Missingf("Logged model with ID '%s' not found.", id)
	}
	return s.opts.Sources.LoggedModel(ctx, id)
}

// fromLocal takes files on this machine, which must lie in the artifacts of the logged model or run that the caller names. "." and ".."
// are resolved first, as MLflow does: the source is shown as it was given, the files are where it leads.
func (s *Service) fromLocal(ctx context.Context, spec VersionSpec) (origin, error) {
	runID, modelID := deref(spec.RunID), deref(spec.ModelID)
	param := ownerParam(modelID)
	if isForeignFile(spec.Source) {
		return origin{}, mlflow.Invalidf("%s is not a valid remote uri. For remote access on windows, please consider "+
			"using a different scheme such as SMB (e.g. smb://<hostname>/<path>).", spec.Source)
	}
	local, ok := localPath(spec.Source)
	if runID == "" && modelID == "" || !ok {
		return origin{}, localSource(spec.Source, param)
	}
	root, err := s.root(ctx, spec.Source, runID, modelID)
	if err != nil {
		return origin{}, err
	}
	if rootPath, ok := localPath(root); !ok || !isBelow(local, rootPath) {
		return origin{}, localSource(local, param)
	}
	location := cleanLocal(spec.Source)
	if err := checkPlainSource(location); err != nil {
		return origin{}, err
	}
	return origin{source: spec.Source, location: location, runID: orEmpty(spec.RunID), modelID: modelID}, nil
}

// checkOwner refuses a runs:/ URI, or an artifact of this server's own proxy, that does not belong to the run or logged model
// that the caller names.
func (s *Service) checkOwner(ctx context.Context, spec VersionSpec, scheme string) error {
	runID, modelID := deref(spec.RunID), deref(spec.ModelID)
	param := ownerParam(modelID)
	if scheme == "runs" {
		if owner, ok := runOf(spec.Source); !ok || modelID != "" || owner != runID {
			return notInSource(spec.Source, param)
		}
		return nil
	}
	if !isProxied(spec.Source) {
		return nil
	}
	if runID == "" && modelID == "" {
		return notInSource(spec.Source, param)
	}
	root, err := s.root(ctx, spec.Source, runID, modelID)
	if err != nil {
		return err
	}
	if !isWithin(spec.Source, root) {
		return notInSource(spec.Source, param)
	}
	return nil
}

// ownerParam names the parameter that says whose files the source is.
func ownerParam(modelID string) string {
	if modelID != "" {
		return "model_id"
	}
	return "run_id"
}

// root returns the artifact root that the source must lie in: the logged model's if there is one, else the run's.
func (s *Service) root(ctx context.Context, source, runID, modelID string) (root string, err error) {
	switch {
	case s.opts.Sources == nil:
		err = mlflow.Missingf("no runs known")
	case modelID != "":
		var m LoggedModelSource
		m, err = s.opts.Sources.LoggedModel(ctx, modelID)
		root = m.ArtifactLocation
	default:
		root, err = s.opts.Sources.RunArtifactRoot(ctx, runID)
	}
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return "", notInSource(source, ownerParam(modelID))
	}
	return root, err
}

// modelRef is a parsed models:/ URI; modelID, or name with at most one of the others (none: the latest version).
type modelRef struct{ modelID, name, version, stage, alias string }

// parseModelsURI reads a models:/ URI (source: mlflow/store/artifact/utils/models.py, MLflow 3.17).
func parseModelsURI(uri string) (modelRef, bool) {
	_, rest := cutScheme(uri)
	rest, _, _ = strings.Cut(rest, "?")
	if !strings.HasPrefix(rest, "/") || len(rest) < 2 {
		return modelRef{}, false
	}
	parts := strings.Split(strings.TrimLeft(rest, "/"), "/")
	if len(parts) > 2 || strings.TrimSpace(parts[0]) == "" {
		return modelRef{}, false
	}
	if len(parts) == 2 {
		return parseSuffix(parts[0], parts[1])
	}
	if at := strings.LastIndexByte(parts[0], '@'); at >= 0 {
		ref := modelRef{name: parts[0][:at], alias: parts[0][at+1:]}
		return ref, strings.TrimSpace(ref.alias) != ""
	}
	return modelRef{modelID: parts[0]}, true
}

func parseSuffix(name, suffix string) (modelRef, bool) {
	switch {
	case strings.TrimSpace(suffix) == "":
		return modelRef{}, false
	case !strings.ContainsFunc(suffix, func(r rune) bool { return !unicode.IsDigit(r) }):
		return modelRef{name: name, version: suffix}, true
	case strings.EqualFold(suffix, LatestAlias):
		return modelRef{name: name}, true
	}
	return modelRef{name: name, stage: suffix}, true
}

// modelIDOf tells the logged model of a version by its source or by the folder that its files are in; "" if neither says.
func modelIDOf(source, location string) string {
	if scheme, _ := cutScheme(source); scheme == "models" {
		if ref, ok := parseModelsURI(source); ok && ref.modelID != "" {
			return ref.modelID
		}
	}
	dir, last := path.Split(strings.TrimRight(location, "/"))
	dir, id := path.Split(strings.TrimRight(dir, "/"))
	if last == "artifacts" && strings.HasPrefix(id, "m-") && path.Base(dir) == "models" {
		return id
	}
	return ""
}

// runOf returns the run id of a runs:/ URI.
func runOf(uri string) (string, bool) {
	_, rest := cutScheme(uri)
	if !strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "//") {
		return "", false
	}
	id, _, _ := strings.Cut(rest[1:], "/")
	return id, id != ""
}

func notInSource(source, param string) error {
	return mlflow.Invalidf("Invalid model version source: '%s'. The %s request parameter must identify the resource that contains the source.", source, param)
}

func localSource(source, param string) error {
	return mlflow.Invalidf("Invalid model version source: '%s'. To use a local path as a model version source, the %s request parameter "+
		"has to be specified and the local path has to be contained within the artifact directory of the run specified by the %s.", source, param, param)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// orEmpty is MLflow's request default: a field that is not sent is "".
func orEmpty(s *string) *string {
	if s == nil {
		return new(string)
	}
	return s
}
