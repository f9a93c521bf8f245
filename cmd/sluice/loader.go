package main

import (
	"context"
	"errors"
	"fmt"

	"sluice/registry"
	"sluice/registry/modelcache"
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
	environment Environment
	workers     func(id servable.ID) *pyworker.Options
}

// load is a servable.Loader.
func (l *loader) load(ctx context.Context, id servable.ID) (*servable.Loaded, error) {
	version, err := l.registry.Version(ctx, id.Model, id.Version)
	if mlflow.CodeOf(err) == mlflow.ResourceDoesNotExist {
		return nil, fmt.Errorf("%w: %w", servable.ErrUnknown, err)
	}
	if err != nil {
		return nil, err
	}
	uri, err := locate(ctx, l.runs, version.DownloadURI())
	if err != nil {
		return nil, err
	}
	repo, err := l.artifacts.Resolve(uri)
	if err != nil {
		return nil, err
	}
	// A version's files never change: the key names the version, and by its time of creation not one of the same number after a deletion.
	key := fmt.Sprintf("%s@%d %s", id, version.CreatedMS, version.DownloadURI())
	local, release, err := l.cache.Fetch(ctx, key, repo)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", uri, err)
	}
	loaded, err := l.open(ctx, id, local.Dir)
	if err != nil {
		release()
		return nil, err
	}
	loaded.Backend = pin(loaded.Backend, release)
	return loaded, nil
}

// open chooses the backend: ONNX Runtime for what has the onnx flavor, Python for every other python_function.
func (l *loader) open(ctx context.Context, id servable.ID, dir string) (*servable.Loaded, error) {
	model, err := mlmodel.Load(dir)
	if err != nil {
		return nil, err
	}
	switch {
	case model.Flavors.Has("onnx"):
		runtime, err := l.runtime()
		if err != nil {
			return nil, err
		}
		return runtime.LoadDir(ctx, dir)
	case model.Flavors.Has("python_function"):
		interpreter, err := l.environment(ctx, model, dir)
		if err != nil {
			return nil, fmt.Errorf("environment: %w", err)
		}
		return pyworker.LoadDir(ctx, interpreter, dir, l.workers(id))
	}
	return nil, fmt.Errorf("only the onnx and python_function flavors are served, this version has %v", model.FlavorNames())
}

// pin keeps a version's files in the cache while its backend is loaded. The backend keeps its optional powers.
func pin(b servable.Backend, release func()) servable.Backend {
	if python, ok := b.(*pyworker.Backend); ok {
		return &pinnedPython{Backend: python, release: release}
	}
	return &pinnedONNX{Backend: b.(*onnx.Backend), release: release} // open makes no other
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
