package main

import (
	"context"
	"errors"
	"fmt"

	"sluice/registry"
	"sluice/registry/modelcache"
	"sluice/runtime/mlmodel"
	"sluice/runtime/onnx"
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
	loaded, err := l.open(ctx, local.Dir)
	if err != nil {
		release()
		return nil, err
	}
	loaded.Backend = &pinned{Backend: loaded.Backend.(*onnx.Backend), release: release} // LoadDir makes no other
	return loaded, nil
}

func (l *loader) open(ctx context.Context, dir string) (*servable.Loaded, error) {
	model, err := mlmodel.Load(dir)
	if err != nil {
		return nil, err
	}
	if _, err := model.ONNX(); err != nil {
		return nil, fmt.Errorf("only the onnx flavor is served, this version has %v: %w", model.FlavorNames(), err)
	}
	runtime, err := l.runtime()
	if err != nil {
		return nil, err
	}
	return runtime.LoadDir(ctx, dir)
}

// pinned keeps a version's files in the cache while its backend is loaded.
type pinned struct {
	*onnx.Backend
	release func()
}

// Close closes the backend and lets the cache evict the files.
func (p *pinned) Close() error {
	defer p.release()
	return p.Backend.Close()
}

var errNoSuchDestination = errors.New("only local folders are built in as --artifacts-destination")
