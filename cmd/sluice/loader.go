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

// Environment provides the interpreter that runs a model: one whose environment has what the package in dir says that it needs. It may take
// long; ctx ends when nobody wants the version any more.
type Environment func(ctx context.Context, model *mlmodel.Model, dir string) (interpreter string, err error)

// loader turns a model version into a loaded backend: where its files are, a local copy, the package, the backend.
type loader struct {
	registry  *registry.Service
	runs      runModels
	artifacts *artifact.Resolver
	cache     *modelcache.Cache
	// runtime opens ONNX Runtime when the first version is loaded: a server without models does not carry the library in memory, and one that was
	// started before `sluice setup` finds it at the next try. Opening again costs nothing.
	runtime func() (*onnx.Runtime, error)
	// environment and workers are for versions that only Python can run.
	environment  Environment
	environments *environments
	workers      func(id servable.ID) *pyworker.Options
	// preparing holds a token for each version whose files are fetched ahead of its load.
	preparing chan struct{}
	// conversions are of versions that may be ONNX after all; nil: none are made.
	conversions *convert.Store
	log         *slog.Logger
}

// prepare is a servable.Preparer: it makes the environment of a version that Python runs, which may take minutes.
func (l *loader) prepare(ctx context.Context, id servable.ID, progress func(string)) error {
	if l.environments.fixed != "" {
		return nil
	}
	local, release, err := l.fetchAhead(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	model, err := mlmodel.Load(local.Dir)
	if err != nil {
		return err
	}
	if model.Flavors.Has("onnx") || !model.Flavors.Has("python_function") {
		return nil
	}
	return l.environments.prepare(ctx, model, local.Dir, progress)
}

func (l *loader) fetchAhead(ctx context.Context, id servable.ID) (modelcache.Local, func(), error) {
	select {
	case l.preparing <- struct{}{}:
		defer func() { <-l.preparing }()
	case <-ctx.Done():
		return modelcache.Local{}, nil, ctx.Err()
	}
	return l.fetch(ctx, id)
}

// anyPythonTag on a version allows, with the value "any", another minor version of Python than its own.
const anyPythonTag = "sluice.python"

func anyPython(tags []registry.Tag) bool {
	return slices.Contains(tags, registry.Tag{Key: anyPythonTag, Value: "any"})
}

// fetch brings the files of a version to this machine, where they stay until release.
func (l *loader) fetch(ctx context.Context, id servable.ID) (local modelcache.Local, release func(), err error) {
	version, err := l.registry.Version(ctx, id.Model, id.Version)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return local, nil, fmt.Errorf("%w: %w", servable.ErrUnknown, err)
	}
	if err != nil {
		return local, nil, err
	}
	uri, err := locate(ctx, l.runs, version.DownloadURI())
	if err != nil {
		return local, nil, err
	}
	repo, err := l.artifacts.Resolve(uri)
	if err != nil {
		return local, nil, err
	}
	// A version's files never change: the key names the version, and by its time of creation not one of the same number after a deletion.
	key := fmt.Sprintf("%s@%d %s", id, version.CreatedMS, version.DownloadURI())
	local, release, err = l.cache.Fetch(ctx, key, repo)
	if err != nil {
		return local, nil, fmt.Errorf("fetch %s: %w", uri, err)
	}
	l.environments.about(local.Dir, id, anyPython(version.Tags))
	return local, release, nil
}

// load is a servable.Loader.
func (l *loader) load(ctx context.Context, id servable.ID) (*servable.Loaded, error) {
	local, unpin, err := l.fetch(ctx, id)
	if err != nil {
		return nil, err
	}
	release := func() { l.environments.release(local.Dir); unpin() }
	loaded, err := l.openVersion(ctx, id, local)
	if err != nil {
		release()
		return nil, err
	}
	loaded.Backend = pin(loaded.Backend, release)
	return loaded, nil
}

func (l *loader) openVersion(ctx context.Context, id servable.ID, local modelcache.Local) (*servable.Loaded, error) {
	version, err := l.registry.Version(ctx, id.Model, id.Version)
	if err != nil {
		return nil, err
	}
	return l.open(ctx, id, &version, local)
}

// open chooses the backend: ONNX Runtime for what has the onnx flavor or converts to it, Python for every other python_function; and never another
// one than was asked for.
func (l *loader) open(ctx context.Context, id servable.ID, version *registry.Version, local modelcache.Local) (*servable.Loaded, error) {
	model, err := mlmodel.Load(local.Dir)
	if err != nil {
		return nil, err
	}
	python := model.Flavors.Has("python_function")
	switch {
	case model.Flavors.Has("onnx") && id.Backend != formPython:
		return l.openONNX(ctx, local.Dir)
	case !python:
		return nil, fmt.Errorf("only the onnx and python_function flavors are served, this version has %v", model.FlavorNames())
	case id.Backend == formPython:
		return l.openPython(ctx, id, model, local.Dir, "the endpoint asks for Python")
	}
	loaded, why, err := l.tryONNX(ctx, version, model, local)
	switch {
	case err != nil || loaded != nil:
		return loaded, err
	case id.Backend == formONNX:
		return nil, fmt.Errorf("%w: %s", errOnlyONNX, why)
	}
	return l.openPython(ctx, id, model, local.Dir, why)
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

func (l *loader) openPython(ctx context.Context, id servable.ID, model *mlmodel.Model, dir, why string) (*servable.Loaded, error) {
	interpreter, err := l.environment(ctx, model, dir)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	loaded, err := pyworker.LoadDir(ctx, interpreter, dir, l.workers(id))
	if err != nil {
		return nil, err
	}
	loaded.By, loaded.Note = formPython, why
	return loaded, nil
}

// pin keeps a version's files in the cache while its backend is loaded. The backend keeps its optional powers.
func pin(b servable.Backend, release func()) servable.Backend {
	switch b := b.(type) {
	case *pyworker.Backend:
		return &pinnedPython{Backend: b, release: release}
	case *convert.Backend:
		return &pinnedConverted{Backend: b, release: release}
	}
	return &pinnedONNX{Backend: b.(*onnx.Backend), release: release} // open makes no other
}

type pinnedConverted struct {
	*convert.Backend
	release func()
}

// Close closes the backend and lets the cache evict the files.
func (p *pinnedConverted) Close() error {
	defer p.release()
	return p.Backend.Close()
}

type pinnedONNX struct {
	*onnx.Backend
	release func()
}

// Close closes the backend and lets the cache evict the files.
func (p *pinnedONNX) Close() error {
	defer p.release()
	return p.Backend.Close()
}

type pinnedPython struct {
	*pyworker.Backend
	release func()
}

// Close closes the backend and lets the cache evict the files.
func (p *pinnedPython) Close() error {
	defer p.release()
	return p.Backend.Close()
}

var errNoSuchDestination = errors.New("only local folders are built in as --artifacts-destination")
