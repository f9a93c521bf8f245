package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"sluice/registry"
	"sluice/registry/modelcache"
	"sluice/runtime/convert"
	"sluice/runtime/mlmodel"
	"sluice/runtime/onnx"
	"sluice/runtime/pyworker"
	"sluice/runtime/servable"
	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// loader turns a model version into a loaded backend: where its files are, a local copy, the package, the backend.
type loader struct {
	registry  *registry.Service
	runs      runModels
	artifacts *artifact.Resolver
	cache     *modelcache.Cache
	// runtime opens ONNX Runtime when the first version is loaded: a server without models does not carry the library in memory, and one that was
	// started before `sluice setup` finds it at the next try. Opening again costs nothing.
	runtime func() (*onnx.Runtime, error)
	// environments and workers are for versions that only Python can run.
	environments *environments
	workers      func(id servable.ID) *pyworker.Options
	// preparing holds a token for each version whose files are fetched ahead of its load.
	preparing chan struct{}
	// conversions are of versions that may be ONNX after all; nil: none are made. verdicts are those of versions that are about to be loaded.
	conversions *convert.Store
	verdicts    verdicts
	// ownConverters says that --converters has the packages that convert, so that none are installed.
	ownConverters bool
	log           *slog.Logger
}

// prepare is a servable.Preparer: it makes the environment of a version that Python runs, and converts what may be ONNX; both may take minutes.
func (l *loader) prepare(ctx context.Context, id servable.ID, progress func(string)) error {
	if l.environments.fixed != "" && l.conversions == nil {
		return nil
	}
	version, local, release, err := l.fetchAhead(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	model, err := mlmodel.Load(local.Dir)
	if err != nil {
		return err
	}
	if model.Flavors.Has("onnx") && id.Backend != formPython || !model.Flavors.Has("python_function") {
		return nil
	}
	p := packOf(id, &version, model, local.Dir)
	if err := l.environments.prepare(ctx, p, progress); err != nil || id.Backend == formPython {
		return err
	}
	v, err := l.judge(ctx, &version, p, local.Digest, progress)
	if err == nil {
		l.verdicts.keep(id, v)
	}
	return err
}

func (l *loader) fetchAhead(ctx context.Context, id servable.ID) (version registry.Version, local modelcache.Local, release func(), err error) {
	select {
	case l.preparing <- struct{}{}:
		defer func() { <-l.preparing }()
	case <-ctx.Done():
		return version, local, nil, ctx.Err()
	}
	return l.fetch(ctx, id)
}

// anyPythonTag on a version allows, with the value "any", another minor version of Python than its own.
const anyPythonTag = "sluice.python"

// packOf is the package of a version, in the folder dir.
func packOf(id servable.ID, version *registry.Version, model *mlmodel.Model, dir string) *pack {
	return &pack{id: id, model: model, dir: dir, anyPython: slices.Contains(version.Tags, registry.Tag{Key: anyPythonTag, Value: "any"})}
}

// fetch finds a version and brings its files to this machine, where they stay until release.
func (l *loader) fetch(ctx context.Context, id servable.ID) (version registry.Version, local modelcache.Local, release func(), err error) {
	version, err = l.registry.Version(ctx, id.Model, id.Version)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return version, local, nil, fmt.Errorf("%w: %w", servable.ErrUnknown, err)
	}
	if err != nil {
		return version, local, nil, err
	}
	uri, err := locate(ctx, l.runs, version.DownloadURI())
	if err != nil {
		return version, local, nil, err
	}
	repo, err := l.artifacts.Resolve(uri)
	if err != nil {
		return version, local, nil, err
	}
	// A version's files never change: the key names the version, and by its time of creation not one of the same number after a deletion.
	key := fmt.Sprintf("%s@%d %s", id, version.CreatedMS, version.DownloadURI())
	local, release, err = l.cache.Fetch(ctx, key, repo)
	if err != nil {
		return version, local, nil, fmt.Errorf("fetch %s: %w", uri, err)
	}
	return version, local, release, nil
}

// load is a servable.Loader.
func (l *loader) load(ctx context.Context, id servable.ID) (*servable.Loaded, error) {
	version, local, unpin, err := l.fetch(ctx, id)
	if err != nil {
		return nil, err
	}
	loaded, err := l.open(ctx, id, &version, local)
	if err != nil {
		unpin()
		return nil, err
	}
	loaded.Digest = local.Digest + " " + loaded.By
	environment := loaded.Release
	loaded.Release = func() { // the cache may evict the files of what is closed
		if environment != nil {
			environment()
		}
		unpin()
	}
	return loaded, nil
}

// open chooses the backend: ONNX Runtime for what has the onnx flavor or converts to it, Python for every other python_function; and never another
// one than was asked for.
func (l *loader) open(ctx context.Context, id servable.ID, version *registry.Version, local modelcache.Local) (*servable.Loaded, error) {
	model, err := mlmodel.Load(local.Dir)
	if err != nil {
		return nil, err
	}
	python, pack := model.Flavors.Has("python_function"), packOf(id, version, model, local.Dir)
	switch {
	case model.Flavors.Has("onnx") && id.Backend != formPython:
		return l.openONNX(ctx, local.Dir)
	case !python:
		return nil, fmt.Errorf("only the onnx and python_function flavors are served, this version has %v", model.FlavorNames())
	case id.Backend == formPython:
		return l.openPython(ctx, pack, "the endpoint asks for Python")
	}
	loaded, why, err := l.tryONNX(ctx, version, pack, local.Digest)
	switch {
	case err != nil || loaded != nil:
		return loaded, err
	case id.Backend == formONNX:
		return nil, fmt.Errorf("%w: %s", errOnlyONNX, why)
	}
	return l.openPython(ctx, pack, why)
}

func (l *loader) openONNX(ctx context.Context, dir string) (*servable.Loaded, error) {
	runtime, err := l.runtime()
	if err != nil {
		return nil, err
	}
	loaded, err := runtime.LoadDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	loaded.By = formONNX
	return loaded, nil
}

func (l *loader) openPython(ctx context.Context, p *pack, why string) (*servable.Loaded, error) {
	interpreter, release, err := l.environments.interpreter(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	loaded, err := pyworker.LoadDir(ctx, interpreter, p.dir, l.workers(p.id))
	if err != nil {
		release()
		return nil, err
	}
	loaded.By, loaded.Note, loaded.Release = formPython, why, release
	return loaded, nil
}

var errNoSuchDestination = errors.New("only local folders are built in as --artifacts-destination")
