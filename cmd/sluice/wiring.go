package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"sluice/cmd/sluice/setup"
	"sluice/gateway"
	"sluice/gateway/auth"
	"sluice/gateway/plan"
	gatewaystore "sluice/gateway/sqlstore"
	"sluice/registry"
	"sluice/registry/modelcache"
	registrystore "sluice/registry/sqlstore"
	"sluice/runtime/onnx"
	"sluice/runtime/servable"
	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/mlflow"
	trackingrest "sluice/tracking/rest"
	"sluice/tracking/sqldb"
	trackingstore "sluice/tracking/sqlstore"
)

func (a *App) openDatabase(ctx context.Context) error {
	db, err := sqldb.Open(ctx, a.cfg.BackendStoreURI, &sqldb.Options{RelaxedSync: a.cfg.SQLiteSynchronous == "normal", Logger: a.log})
	if err != nil {
		return err
	}
	a.db = db
	a.onClose("database", func(context.Context) error { return db.Close() })
	a.control, err = gatewaystore.New(ctx, db)
	return err
}

// openArtifacts opens the proxied destination, and the local folders that artifact locations may name besides.
func (a *App) openArtifacts(context.Context) error {
	destination, err := localFolder(a.cfg.ArtifactsDestination)
	if err != nil {
		return fmt.Errorf("--artifacts-destination: %w", err)
	}
	driver, err := fileartifact.New(destination, nil)
	if err != nil {
		return err
	}
	a.onClose("artifacts", func(context.Context) error { return driver.Close() })
	local, err := a.localFolders(destination)
	if err != nil {
		return err
	}
	folders, err := fileartifact.OpenFolders(local, nil)
	if err != nil {
		return err
	}
	a.onClose("artifact folders", func(context.Context) error { return folders.Close() })
	a.artifacts = artifact.NewResolver(artifact.NewRepo(driver), map[string]artifact.Opener{"file": folders.Open})
	return nil
}

// localFolders returns every folder on this machine that an artifact location may name: the destination, the default root if it is one, and
// --artifact-folders, which must be there already: a folder made by a slip of the pen would be found out much later.
func (a *App) localFolders(destination string) ([]string, error) {
	folders := []string{destination}
	if !isProxyRoot(a.cfg.DefaultArtifactRoot) {
		root, err := localFolder(a.cfg.DefaultArtifactRoot)
		if err != nil {
			return nil, fmt.Errorf("--default-artifact-root: %w", err)
		}
		folders = append(folders, root)
	}
	for _, where := range a.cfg.ArtifactFolders {
		folder, err := localFolder(where)
		if err == nil {
			_, err = os.Stat(folder)
		}
		if err != nil {
			return nil, fmt.Errorf("--artifact-folders: %w", err)
		}
		folders = append(folders, folder)
	}
	return folders, nil
}

// isProxyRoot says whether artifacts below the root are this server's own to keep: mlflow-artifacts:/ and the URL of the same proxy,
// which mlflow server takes too.
func isProxyRoot(root string) bool {
	if strings.HasPrefix(root, "mlflow-artifacts:") {
		return true
	}
	u, err := url.Parse(root)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && strings.HasPrefix(u.Path+"/", "/api/2.0/mlflow-artifacts/artifacts/")
}

// localFolder returns the absolute path of a folder given as a path or a file: URI.
func localFolder(where string) (string, error) {
	if !strings.Contains(where, ":") || filepath.IsAbs(where) {
		return filepath.Abs(where)
	}
	u, err := url.Parse(where)
	if err != nil {
		return "", err
	}
	if u.Scheme != "file" || (u.Host != "" && u.Host != "localhost") {
		return "", fmt.Errorf("%q: %w", where, errNoSuchDestination)
	}
	return filepath.Abs(filepath.FromSlash(u.Path))
}

func (a *App) openTracking(ctx context.Context) error {
	work, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	if err := trackingstore.Prepare(ctx, a.db); err != nil {
		return fmt.Errorf("indexes of tracking: %w", err)
	}
	a.store = trackingstore.New(a.db, nil)
	if a.tracking, err = tracking.New(a.store, &tracking.Options{ArtifactRoot: a.cfg.DefaultArtifactRoot, WorkDir: work}); err != nil {
		return err
	}
	return a.tracking.EnsureDefaultExperiment(ctx)
}

func (a *App) openRegistry(ctx context.Context) error {
	store, err := registrystore.New(ctx, a.db)
	if err != nil {
		return err
	}
	a.registryStore = store
	var sourcePattern *regexp.Regexp
	if a.cfg.VersionSourceRegex != "" {
		if sourcePattern, err = regexp.Compile(a.cfg.VersionSourceRegex); err != nil {
			return err
		}
	}
	a.registry = registry.New(store, &registry.Options{
		Sources: registry.FromTracking(a.tracking), GuardDelete: a.guardDelete,
		TrustedLocations: []string{a.cfg.DefaultArtifactRoot, a.cfg.ArtifactsDestination},
		SourcePattern:    sourcePattern,
	})
	a.endpoints = gateway.NewService(a.control, plan.FromRegistry(a.registry), &gateway.Options{Changed: a.poke, Feeds: a.feeds, Caches: a.cfg.Cache.stores(), Log: a.log})
	cancel := a.registry.Subscribe(func(e registry.Event) {
		if plan.MovesRoutes(e) {
			a.poke()
		}
		if a.servables != nil { // set before anything is served
			a.forget(e)
		}
	})
	a.onClose("registry", func(context.Context) error { cancel(); return nil })
	return nil
}

// forget lets go of versions on demand that an event ends; those that are routed are the plan's.
func (a *App) forget(e registry.Event) {
	switch e.Kind {
	case registry.VersionDeleted, registry.ModelDeleted, registry.ModelRenamed:
		a.servables.Forget(e.Model, e.Version)
	}
}

// poke wakes the plan loop; before it exists there is nothing to wake: its first turn reads everything.
func (a *App) poke() {
	if a.syncer != nil {
		a.syncer.Poke()
	}
}

// guardDelete refuses to delete what an endpoint routes to.
func (a *App) guardDelete(ctx context.Context, name string, version int) error {
	if a.syncer == nil {
		return nil // nothing is routed yet
	}
	return a.syncer.GuardDelete(ctx, name, version)
}

func (a *App) openAuth(ctx context.Context) error {
	authority, err := auth.NewAuthority(ctx, a.control, &auth.Options{Log: a.log, Always: !auth.Loopback(a.cfg.Host) && !a.cfg.InsecureNoAuth})
	if err != nil {
		return err
	}
	a.authority = authority
	a.onClose("authentication", func(context.Context) error { return authority.Close() })
	return auth.CheckBind(a.cfg.Host, authority.Enforced(), a.cfg.InsecureNoAuth)
}

// openModels opens ONNX Runtime, the model cache and the manager of loaded versions. Without the library the server goes on and says how to
// get it.
func (a *App) openModels(context.Context) error {
	cache, err := modelcache.New(filepath.Join(a.cfg.DataDir, "models"), &modelcache.Options{MaxBytes: a.cfg.ModelCacheBytes})
	if err != nil {
		return err
	}
	a.cache = cache
	a.onClose("model cache", func(context.Context) error { return cache.Close() })
	workers, err := a.openWorkers()
	if err != nil {
		return err
	}
	a.environments = newEnvironments(a.cfg.Python.Interpreter, &a.cfg.Environments, a.environ, a.log)
	a.onClose("environments", func(context.Context) error { return a.environments.close() })
	conversions, err := a.openConversions()
	if err != nil {
		return err
	}
	a.loader = &loader{
		registry: a.registry, runs: a.tracking, artifacts: a.artifacts, cache: cache, runtime: a.openRuntime,
		environments: a.environments, workers: workers, preparing: make(chan struct{}, 2), conversions: conversions,
		ownConverters: len(a.cfg.Conversion.Converters) > 0, log: a.log,
	}
	if _, err := setup.FindOnnxRuntime(setupOptions(&a.cfg, a.environ)); err != nil {
		a.log.Warn("models cannot be served", slog.String("reason", err.Error()))
	}
	a.servables = servable.NewManager(a.loader.load, &servable.Options{Logger: a.log, Prepare: a.loader.prepare, Rehearse: a.rehearse, MaxBytes: a.cfg.ModelMemory, MaxOnDemand: a.cfg.OnDemandVersions, OnDemandIdle: a.cfg.OnDemandIdle, Joining: a.joining(), OnChange: func(servable.ID, servable.Status) {
		if a.syncer != nil {
			a.syncer.PokeStatus()
		}
	}})
	a.onClose("servables", a.servables.Close)
	return nil
}

// joining is what --batching says.
func (a *App) joining() servable.Joining {
	if a.cfg.Batching == "off" {
		return servable.JoinNever
	}
	return servable.JoinMeasured
}

func (a *App) openRuntime() (*onnx.Runtime, error) {
	library, err := setup.FindOnnxRuntime(setupOptions(&a.cfg, a.environ))
	if err != nil {
		return nil, err
	}
	return onnx.Open(library, &onnx.Options{Logger: a.log})
}

// versionSource returns where a version's artifacts are, for the web UI's downloads.
func (a *App) versionSource(ctx context.Context, name, version string) (string, error) {
	number, err := strconv.Atoi(version)
	if err != nil {
		return "", mlflow.Invalidf("Parameter 'version' must be an integer, got '%s'.", version)
	}
	uri, err := a.registry.DownloadURI(ctx, name, number)
	if err != nil {
		return "", err
	}
	return locate(ctx, a.tracking, uri)
}

// runVersions returns the model versions that came from runs, for the web UI's tables.
func (a *App) runVersions(ctx context.Context, runIDs []string) ([]trackingrest.ModelVersion, error) {
	quoted := make([]string, len(runIDs))
	for i, id := range runIDs {
		quoted[i] = "'" + id + "'"
	}
	if len(quoted) == 0 {
		return nil, nil
	}
	page, err := a.registry.SearchVersions(ctx, registry.SearchQuery{Filter: "run_id IN (" + strings.Join(quoted, ",") + ")"})
	if err != nil {
		return nil, err
	}
	out := make([]trackingrest.ModelVersion, len(page.Versions))
	for i, v := range page.Versions {
		out[i] = trackingrest.ModelVersion{Name: v.Name, Version: strconv.Itoa(v.Version), Status: string(v.Status), Source: v.Source, CreatedMS: v.CreatedMS}
		if v.RunID != nil {
			out[i].RunID = *v.RunID
		}
	}
	return out, nil
}
