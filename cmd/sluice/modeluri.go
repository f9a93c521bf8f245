package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sluice/registry"
	"sluice/registry/modelcache"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

// modelStore is where model URIs are looked up: a tracking server, or a database of this machine.
type modelStore interface {
	runModels
	// version returns the artifact URI of a version by its number, stage (in any case of letters) or "latest", or by alias.
	version(ctx context.Context, name, numberOrStage, alias string) (string, error)
	// logged returns the artifact URI of a logged model, "m-…".
	logged(ctx context.Context, id string) (string, error)
	// tree returns the files below an artifact URI.
	tree(uri string) (modelcache.Source, error)
	close() error
}

// modelFolder brings the package that a URI names to a folder of this machine: a path, file:, runs:/RUN/PATH, models:/NAME/VERSION,
// models:/NAME/STAGE, models:/NAME@ALIAS or models:/m-ID. done ends its use.
func modelFolder(ctx context.Context, uri string, cfg *Config, environ []string) (dir string, done func() error, err error) {
	if local, ok := localModel(uri); ok {
		dir, err = filepath.Abs(local)
		return dir, func() error { return nil }, err
	}
	store, err := openModelStore(ctx, cfg, environ)
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	at, err := resolveModel(ctx, store, uri)
	if err != nil {
		return "", nil, err
	}
	if local, ok := localModel(at); ok {
		if _, err := os.Stat(local); err == nil {
			return local, func() error { return nil }, nil
		}
	}
	source, err := store.tree(at)
	if err != nil {
		return "", nil, err
	}
	return download(ctx, at, source, cfg)
}

// download copies a tree into a private folder.
func download(ctx context.Context, uri string, source modelcache.Source, cfg *Config) (dir string, done func() error, err error) {
	private, err := os.MkdirTemp("", "sluice-model-*")
	if err != nil {
		return "", nil, err
	}
	done = func() error { return os.RemoveAll(private) }
	cache, err := modelcache.New(private, &modelcache.Options{MaxBytes: cfg.ModelCacheBytes})
	if err != nil {
		return "", nil, errors.Join(err, done())
	}
	local, _, err := cache.Fetch(ctx, uri, source)
	if err = errors.Join(err, cache.Close()); err != nil {
		return "", nil, errors.Join(fmt.Errorf("fetch %s: %w", uri, err), done())
	}
	return local.Dir, done, nil
}

// localModel returns the path of a URI that names a folder of this machine.
func localModel(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return uri, true
	}
	if u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") {
		return filepath.FromSlash(u.Path), true
	}
	return "", false
}

// resolveModel turns runs:/ and models:/ into the artifact URI that they stand for; other URIs stay.
func resolveModel(ctx context.Context, store modelStore, uri string) (string, error) {
	rest, ok := strings.CutPrefix(uri, "models:/")
	if !ok {
		return locate(ctx, store, uri)
	}
	rest = strings.Trim(rest, "/")
	name, which, numbered := strings.Cut(rest, "/")
	named, alias, aliased := strings.Cut(rest, "@")
	var at string
	var err error
	switch {
	case strings.HasPrefix(rest, "m-") && !numbered && !aliased:
		at, err = store.logged(ctx, rest)
	case numbered && name != "" && which != "" && !strings.Contains(which, "/"):
		at, err = store.version(ctx, name, which, "")
	case aliased && !numbered && named != "" && alias != "":
		at, err = store.version(ctx, named, "", alias)
	default:
		return "", mlflow.Invalidf("%s is none of models:/NAME/VERSION, models:/NAME/STAGE, models:/NAME@ALIAS and models:/m-ID.", mlflow.Repr(uri))
	}
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(at, "models:/") && at != uri { // a version whose source is a logged model
		return resolveModel(ctx, store, at)
	}
	return locate(ctx, store, at)
}

// openModelStore opens what MLFLOW_TRACKING_URI names, else the database of the settings.
func openModelStore(ctx context.Context, cfg *Config, environ []string) (modelStore, error) {
	tracking := lookup(environ, "MLFLOW_TRACKING_URI")
	switch u, err := url.Parse(tracking); {
	case err != nil:
		return nil, fmt.Errorf("MLFLOW_TRACKING_URI: %w", err)
	case u.Scheme == "http" || u.Scheme == "https":
		return newRemoteModels(tracking, environ), nil
	case u.Scheme == "" && tracking == "":
	case strings.HasPrefix(u.Scheme, "sqlite") || strings.HasPrefix(u.Scheme, "postgres") || strings.HasPrefix(u.Scheme, "mysql"):
		cfg.BackendStoreURI = tracking
	default:
		return nil, fmt.Errorf("MLFLOW_TRACKING_URI: %s is neither a server (http, https) nor a database (sqlite, postgresql, mysql)", tracking)
	}
	address, err := sqldb.ParseURI(cfg.BackendStoreURI)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(address.Path); address.Dialect == sqldb.SQLite && err != nil {
		return nil, fmt.Errorf("%w: name a tracking server or a database with MLFLOW_TRACKING_URI", err)
	}
	return openStoredModels(ctx, cfg, environ)
}

// storedModels looks models up in a database, with the artifacts where the settings say.
type storedModels struct {
	runModels
	app *App // the rooms that it stands on; never run
}

func openStoredModels(ctx context.Context, cfg *Config, environ []string) (modelStore, error) {
	a := &App{cfg: *cfg, environ: environ, log: newLogger(*cfg, os.Stderr)}
	for _, step := range []func(context.Context) error{a.openDatabase, a.openArtifacts, a.openTracking, a.openRegistry} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	return &storedModels{runModels: a.tracking, app: a}, nil
}

func (s *storedModels) version(ctx context.Context, name, which, alias string) (string, error) {
	if alias != "" {
		v, err := s.app.registry.VersionByAlias(ctx, name, alias)
		return v.DownloadURI(), err
	}
	if n, err := strconv.Atoi(which); err == nil {
		return s.app.registry.DownloadURI(ctx, name, n)
	}
	var stages []string
	if !strings.EqualFold(which, "latest") {
		stages = []string{which}
	}
	latest, err := s.app.registry.LatestVersions(ctx, name, stages)
	if err != nil {
		return "", err
	}
	newest, err := newestOf(latest, func(v registry.Version) int { return v.Version })
	if err != nil {
		return "", mlflow.Missingf("No versions of model with name %s and stage %s found", mlflow.Repr(name), mlflow.Repr(which))
	}
	return newest.DownloadURI(), nil
}

// newestOf returns the one with the highest number.
func newestOf[V any](all []V, number func(V) int) (newest V, err error) {
	if len(all) == 0 {
		return newest, errors.New("none")
	}
	newest = all[0]
	for _, v := range all {
		if number(v) > number(newest) {
			newest = v
		}
	}
	return newest, nil
}

func (s *storedModels) logged(ctx context.Context, id string) (string, error) {
	m, err := s.app.tracking.LoggedModel(ctx, id, false)
	return m.ArtifactLocation, err
}

func (s *storedModels) tree(uri string) (modelcache.Source, error) {
	return s.app.artifacts.Resolve(uri)
}

func (s *storedModels) close() error { return s.app.Close() }
