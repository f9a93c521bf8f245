package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"sluice/runtime/mlmodel"
	"sluice/runtime/pyenv"
	"sluice/runtime/servable"
)

// EnvironmentConfig is the settings of the Python environments that are built for models.
type EnvironmentConfig struct {
	Dir       string
	UV, Conda string
	Wheels    string
	AnyPython bool
	Timeout   time.Duration
	MaxBytes  int64
	MaxAge    time.Duration
}

func (c *EnvironmentConfig) bind(f *pflag.FlagSet) {
	f.StringVar(&c.Dir, "env-dir", "", "where Python environments of models are kept, shared by all servers of this user (default: environments in --cache-dir)")
	f.StringVar(&c.UV, "uv", "", "the uv that builds environments (default: on the PATH, or beside an interpreter)")
	f.StringVar(&c.Conda, "conda", "", "conda, mamba or micromamba, for packages that conda.yaml alone can name (default: on the PATH)")
	f.StringVar(&c.Wheels, "wheels", "", "folder of wheels that environments are built from, without any index")
	f.BoolVar(&c.AnyPython, "python-any-version", false, "run models in another minor version of Python than theirs where there is none of it (a version's tag sluice.python = any allows it for one)")
	f.DurationVar(&c.Timeout, "env-build-timeout", 30*time.Minute, "how long building an environment may take")
	f.Int64Var(&c.MaxBytes, "env-max-bytes", 20<<30, "bytes of environments and downloaded packages to keep; those used longest ago go first, those in use stay")
	f.DurationVar(&c.MaxAge, "env-max-age", 30*24*time.Hour, "how long an environment is kept that nobody uses")
}

func (c *EnvironmentConfig) check(cacheDir string) error {
	if c.Dir == "" {
		c.Dir = filepath.Join(cacheDir, "environments")
	}
	return errors.Join(
		isFolder("wheels", c.Wheels),
		atLeast("env-build-timeout", c.Timeout, time.Second),
		inRange("env-max-bytes", float64(c.MaxBytes), 0, 1<<50),
		atLeast("env-max-age", c.MaxAge, time.Minute),
	)
}

func isFolder(flag, at string) error {
	if at == "" {
		return nil
	}
	if info, err := os.Stat(at); err != nil || !info.IsDir() {
		return fmt.Errorf("--%s: %s is not a folder", flag, at)
	}
	return nil
}

// open opens the environments' folder.
func (c *EnvironmentConfig) open(environ []string, log *slog.Logger) (*pyenv.Pool, error) {
	home := lookup(environ, "HOME")
	return pyenv.New(c.Dir, &pyenv.Options{
		UV: c.UV, Conda: c.Conda, Environ: withUVConfig(environ, home), PipFiles: pipFiles(environ, home), Search: pythonFolders(environ, home),
		Wheels: c.Wheels, Timeout: c.Timeout, MaxBytes: c.MaxBytes, MaxAge: c.MaxAge, Logger: log,
	})
}

// withUVConfig names the user's or the machine's configuration of uv, which a build, whose home is another, would not find.
func withUVConfig(environ []string, home string) []string {
	if lookup(environ, "UV_CONFIG_FILE") != "" {
		return environ
	}
	for _, at := range []string{filepath.Join(home, ".config", "uv", "uv.toml"), "/etc/uv/uv.toml"} {
		if _, err := os.Stat(at); err == nil {
			return append(environ[:len(environ):len(environ)], "UV_CONFIG_FILE="+at)
		}
	}
	return environ
}

// pipFiles are pip's configuration files, the last one counts most (pip's user guide, "Configuration files").
func pipFiles(environ []string, home string) []string {
	files := []string{"/etc/pip.conf", "/etc/xdg/pip/pip.conf", filepath.Join(home, ".pip", "pip.conf"), filepath.Join(home, ".config", "pip", "pip.conf")}
	if at := lookup(environ, "PIP_CONFIG_FILE"); at != "" {
		files = append(files, at)
	}
	return files
}

// pythonFolders are where interpreters lie: the PATH, then those of pyenv and uv, which are on it rarely.
func pythonFolders(environ []string, home string) []string {
	folders := filepath.SplitList(lookup(environ, "PATH"))
	pyenvRoot, uvRoot := lookup(environ, "PYENV_ROOT"), lookup(environ, "UV_PYTHON_INSTALL_DIR")
	if pyenvRoot == "" {
		pyenvRoot = filepath.Join(home, ".pyenv")
	}
	if uvRoot == "" {
		uvRoot = filepath.Join(home, ".local", "share", "uv", "python")
	}
	for _, pattern := range []string{filepath.Join(pyenvRoot, "versions", "*", "bin"), filepath.Join(uvRoot, "*", "bin")} {
		found, err := filepath.Glob(pattern)
		if err == nil {
			folders = append(folders, found...)
		}
	}
	return folders
}

// environments gives models the interpreters that run them: the one that --python names, or one of an environment made of what the model's package
// asks for.
type environments struct {
	fixed   string // --python; empty: environments are built
	cfg     *EnvironmentConfig
	environ []string
	log     *slog.Logger

	mu   sync.Mutex            // guards everything below
	pool *pyenv.Pool           // opened when first needed
	keys map[versionKey]string // the environment of a version
}

// versionKey names a version of a registered model, whatever its form.
type versionKey struct {
	model  string
	number int
}

// pack is a model's package, whose environment is asked for.
type pack struct {
	id        servable.ID
	model     *mlmodel.Model
	dir       string
	anyPython bool // any Python will do
}

// maxRemembered bounds the versions whose build can be read about.
const maxRemembered = 10_000

func newEnvironments(fixed string, cfg *EnvironmentConfig, environ []string, log *slog.Logger) *environments {
	return &environments{fixed: fixed, cfg: cfg, environ: environ, log: log, keys: map[versionKey]string{}}
}

// ensure returns the environment of a package, built if it is not there, in use until its Release. What it has besides the package's requirements is of
// no interest to who reads about its build.
func (e *environments) ensure(ctx context.Context, p *pack, besides []string, progress func(string)) (*pyenv.Env, error) {
	pool, err := e.opened()
	if err != nil {
		return nil, err
	}
	spec, err := specOf(p.model, p.dir)
	if err != nil {
		return nil, err
	}
	spec.AnyPython = e.cfg.AnyPython || p.anyPython
	spec.Requirements = slices.Concat(spec.Requirements, besides)
	key, err := pool.Key(ctx, spec)
	if err != nil {
		return nil, err
	}
	if len(besides) == 0 {
		e.remember(p.id, key)
	}
	env, err := pool.Ensure(ctx, spec, progress)
	if err == nil && len(env.Notes) > 0 {
		e.log.Info("environment differs", slog.String("servable", p.id.String()), slog.String("note", strings.Join(env.Notes, "; ")))
	}
	return env, err
}

// opened is the pool, opened at the first call.
func (e *environments) opened() (_ *pyenv.Pool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pool == nil {
		e.pool, err = e.cfg.open(e.environ, e.log)
	}
	return e.pool, err
}

// remember notes which environment a version has, whatever its form.
func (e *environments) remember(id servable.ID, key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.keys) >= maxRemembered {
		clear(e.keys)
	}
	e.keys[versionKey{id.Model, id.Version}] = key
}

// specOf reads what a package asks for.
func specOf(model *mlmodel.Model, dir string) (pyenv.Spec, error) {
	flavor, err := model.PyFunc()
	if err != nil {
		return pyenv.Spec{}, err
	}
	spec, err := pyenv.Read(dir, pyenv.Sources{PythonEnv: flavor.VirtualEnv, Conda: flavor.CondaEnv})
	if err == nil && spec.Python == "" {
		spec.Python = flavor.PythonVersion
	}
	return spec, err
}

// prepare makes the environment of a package, so that interpreter has it at once.
func (e *environments) prepare(ctx context.Context, p *pack, progress func(string)) error {
	if e.fixed != "" {
		return nil
	}
	env, err := e.ensure(ctx, p, nil, progress)
	if err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	env.Release()
	return nil
}

// interpreter is the Python that runs a package: one whose environment has what the package says that it needs. It may take long; ctx ends when
// nobody wants the version any more. What it returns stays until release, which the caller calls once if there is no error.
func (e *environments) interpreter(ctx context.Context, p *pack) (at string, release func(), err error) {
	if e.fixed != "" {
		return e.fixed, func() {}, nil
	}
	env, err := e.ensure(ctx, p, nil, nil)
	if err != nil {
		return "", nil, err
	}
	return env.Python, env.Release, nil
}

// withConverters is interpreter for a conversion: its environment has the converters too, resolved together with what the package asks for. Where they
// cannot be had so, it is the package's own, which may have them by itself.
func (e *environments) withConverters(ctx context.Context, p *pack, converters []string, progress func(string)) (at string, release func(), err error) {
	if e.fixed != "" || len(converters) == 0 {
		return e.interpreter(ctx, p)
	}
	env, err := e.ensure(ctx, p, converters, progress)
	if errors.Is(err, pyenv.ErrBuild) {
		e.log.Warn("converters not installed beside a model's packages", slog.String("servable", p.id.String()), slog.Any("error", err))
		return e.interpreter(ctx, p)
	}
	if err != nil {
		return "", nil, err
	}
	return env.Python, env.Release, nil
}

// buildLog is what building the environment of a version said.
func (e *environments) buildLog(model string, number int) (string, bool) {
	e.mu.Lock()
	key, ok := e.keys[versionKey{model, number}]
	pool := e.pool
	e.mu.Unlock()
	if !ok || pool == nil {
		return "", false
	}
	return pool.Log(key)
}

func (e *environments) close() error {
	e.mu.Lock()
	pool := e.pool
	e.mu.Unlock()
	if pool == nil {
		return nil
	}
	return pool.Close()
}
