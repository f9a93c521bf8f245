package pyenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// obtain returns the lock, held shared, and the Python version of an entry's environment: the one on the disk, or a new one.
func (p *Pool) obtain(ctx context.Context, e *entry) (lock *os.File, python string, err error) {
	key := e.job.key
	for {
		if lock, err = p.wait(ctx, e, syscall.LOCK_SH); err != nil {
			return nil, "", err
		}
		if m, ok := p.complete(key); ok {
			p.used(key)
			return lock, m.Python, nil
		}
		if err := lock.Close(); err != nil {
			return nil, "", err
		}
		if lock, err = p.wait(ctx, e, syscall.LOCK_EX); err != nil {
			return nil, "", err
		}
		if _, ok := p.complete(key); !ok { // else another process was quicker
			err = p.build(ctx, e)
		}
		if err := errors.Join(err, lock.Close()); err != nil {
			return nil, "", err
		}
	}
}

// wait takes the environment's lock, and says so if another process holds it.
func (p *Pool) wait(ctx context.Context, e *entry, mode int) (*os.File, error) {
	lock, err := p.tryLock(e.job.key, mode)
	if errors.Is(err, errBusy) {
		p.tell(e, "waiting for another process that builds it")
		lock, err = p.lock(ctx, e.job.key, mode)
	}
	return lock, err
}

// build makes the environment of an entry, whose lock is held exclusively, keeps what was said, and removes others beyond the bounds.
func (p *Pool) build(ctx context.Context, e *entry) error {
	p.tell(e, "waiting for another build to end")
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	began := p.opts.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, p.opts.Timeout, fmt.Errorf("it took longer than %v", p.opts.Timeout))
	defer cancel()
	e.out.line = p.listener(e)
	b := &building{pool: p, job: e.job, out: e.out, work: filepath.Join(p.dir, workDir, e.job.key), say: func(text string) { p.tell(e, text) }}
	err := b.run(ctx, began)
	switch {
	case err == nil:
		e.out.say("built in %v", p.opts.Now().Sub(began).Round(time.Millisecond))
		p.opts.Logger.Info("environment built", slog.String("environment", e.job.key), slog.Duration("took", p.opts.Now().Sub(began)))
	default:
		e.out.say("failed: %v", err)
		p.opts.Logger.Warn("environment could not be built", slog.String("environment", e.job.key), slog.Any("error", err))
	}
	err = errors.Join(err, os.RemoveAll(b.work))
	_ = os.WriteFile(p.logFile(e.job.key), []byte(e.out.String()), 0o600) // a full disk must not hide the build's own error
	if err != nil && !errors.Is(err, ErrTool) {
		return fmt.Errorf("%w: %w\n%s", ErrBuild, err, e.out.end())
	}
	if err == nil {
		p.prune(ctx, e.job.key)
	}
	return err
}

// listener passes on what uv says about its progress, at most once a second.
func (p *Pool) listener(e *entry) func(string) {
	var last time.Time
	return func(line string) {
		line = strings.TrimSpace(line)
		known := slices.ContainsFunc([]string{"Resolved ", "Prepared ", "Installed ", "Downloading ", "Building ", "Bytecode "}, func(w string) bool { return strings.HasPrefix(line, w) })
		if now := p.opts.Now(); known && now.Sub(last) >= time.Second {
			last = now
			p.tell(e, line[:min(len(line), 120)])
		}
	}
}

// building is one build under way.
type building struct {
	pool *Pool
	job  *job
	out  *output
	work string // private folder of the build
	say  func(string)
	uv   string
}

// run makes the environment and puts it in its place.
func (b *building) run(ctx context.Context, began time.Time) (err error) {
	if b.uv, err = b.pool.uv(); err != nil && len(b.job.spec.Conda) == 0 {
		return err
	}
	if err := b.prepare(); err != nil {
		return err
	}
	place := b.pool.envDir(b.job.key)
	if err := os.RemoveAll(place); err != nil { // left over from a process that died, or its interpreter is gone
		return err
	}
	cache, err := b.pool.lock(ctx, cacheDir, syscall.LOCK_SH) // nobody empties it meanwhile
	if err != nil {
		return err
	}
	defer cache.Close()
	at := filepath.Join(b.work, "env")
	if len(b.job.spec.Conda) > 0 {
		at = place // it cannot be moved
		err = b.condaEnvironment(ctx, at)
	} else {
		err = b.virtualEnvironment(ctx, at)
	}
	if err == nil {
		err = b.install(ctx, at)
	}
	if err == nil {
		err = b.finish(ctx, at, began)
	}
	if err == nil && at != place {
		err = os.Rename(at, place)
	}
	if err != nil {
		err = errors.Join(err, os.RemoveAll(place))
	}
	return err
}

// prepare makes the private folders and writes the requirements, with the package's own files that they name.
func (b *building) prepare() error {
	if err := os.RemoveAll(b.work); err != nil {
		return err
	}
	for _, sub := range []string{"home", "tmp", "files"} {
		if err := os.MkdirAll(filepath.Join(b.work, sub), 0o700); err != nil {
			return err
		}
	}
	spec := &b.job.spec
	for name, lines := range map[string][]string{"requirements.txt": spec.Requirements, "constraints.txt": spec.Constraints} {
		if err := os.WriteFile(filepath.Join(b.work, name), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			return err
		}
	}
	if len(spec.Files) == 0 {
		return nil
	}
	from, err := os.OpenRoot(spec.Dir)
	if err != nil {
		return err
	}
	defer from.Close()
	for _, name := range spec.Files {
		if err := copyFile(from, name, filepath.Join(b.work, "files", name)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from *os.Root, name, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// environ is all that a build sees.
func (b *building) environ() []string {
	environ := []string{
		"PATH=" + variable(b.pool.opts.Environ, "PATH"), "HOME=" + filepath.Join(b.work, "home"), "TMPDIR=" + filepath.Join(b.work, "tmp"), "LC_ALL=C.UTF-8",
		"UV_PYTHON_DOWNLOADS=never", "UV_NO_PROGRESS=1", "NO_COLOR=1", "PYTHONDONTWRITEBYTECODE=1",
		"UV_CACHE_DIR=" + filepath.Join(b.pool.dir, cacheDir), "CONDA_PKGS_DIRS=" + filepath.Join(b.pool.dir, condaDir),
	}
	if variable(b.pool.index, "UV_CONFIG_FILE") == "" {
		environ = append(environ, "UV_NO_CONFIG=1") // no project's around the folder
	}
	return append(environ, b.pool.index...) // a cache of the operator's own comes last, and counts
}

func (b *building) exec(ctx context.Context, name string, args ...string) error {
	b.out.say("$ %s %s", filepath.Base(name), strings.Join(args, " "))
	return run(ctx, filepath.Join(b.work, "files"), b.environ(), b.out, name, args...)
}

func (b *building) virtualEnvironment(ctx context.Context, at string) error {
	b.say("making a virtual environment with Python " + b.job.interpreter.Version)
	return b.exec(ctx, b.uv, "venv", "--relocatable", "--no-project", "--python", b.job.interpreter.Path, at)
}

// condaEnvironment lets conda install its packages, and python with them.
func (b *building) condaEnvironment(ctx context.Context, at string) error {
	spec := &b.job.spec
	tool, err := b.pool.conda(spec.Conda)
	if err != nil {
		return err
	}
	b.say("installing with " + filepath.Base(tool))
	args := []string{"create", "-y", "-p", at}
	if len(spec.Channels) > 0 {
		args = append(args, "--override-channels")
	}
	for _, c := range spec.Channels {
		args = append(args, "-c", c)
	}
	if b.pool.opts.Wheels != "" {
		args = append(args, "--offline")
	}
	args = append(args, spec.Conda...)
	if spec.Python != "" && !slices.ContainsFunc(spec.Conda, func(p string) bool { return strings.HasPrefix(p, "python") && condaBase.MatchString(p) }) {
		args = append(args, "python="+spec.Python)
	}
	return b.exec(ctx, tool, args...)
}

// install lets uv install the requirements: setuptools first, so that what the package itself asks for wins.
func (b *building) install(ctx context.Context, at string) error {
	spec := &b.job.spec
	if b.uv == "" && (spec.Setuptools != "" || len(spec.Requirements) > 0) {
		_, err := b.pool.uv()
		return err
	}
	args := []string{"pip", "install", "--python", interpreterOf(at), "--compile-bytecode"}
	if w := b.pool.opts.Wheels; w != "" {
		args = append(args, "--offline", "--no-index", "--find-links", w)
	}
	if spec.Setuptools != "" {
		b.say("installing " + spec.Setuptools)
		if err := b.exec(ctx, b.uv, append(slices.Clone(args), spec.Setuptools)...); err != nil {
			return err
		}
	}
	if len(spec.Requirements) == 0 {
		return nil
	}
	b.say(fmt.Sprintf("resolving %d requirements", len(spec.Requirements)))
	args = append(args, "-r", filepath.Join(b.work, "requirements.txt"))
	if len(spec.Constraints) > 0 {
		args = append(args, "-c", filepath.Join(b.work, "constraints.txt"))
	}
	return b.exec(ctx, b.uv, args...)
}

// finish asks the environment what it has become and writes its manifest.
func (b *building) finish(ctx context.Context, at string, began time.Time) error {
	python, err := probe(ctx, interpreterOf(at))
	if err != nil {
		return err
	}
	packages, err := installed(at)
	if err != nil {
		return err
	}
	if b.job.interpreter.Path == "" {
		if _, err := python.Note(b.job.spec.Python); err != nil && !b.job.spec.AnyPython {
			return err
		}
	}
	now := b.pool.opts.Now()
	return writeManifest(at, manifest{
		Key: b.job.key, Python: python.Version, Interpreter: b.job.interpreter.Path, Requirements: b.job.spec.Requirements, Packages: packages,
		BuiltMS: now.UnixMilli(), BuildMS: now.Sub(began).Milliseconds(), Bytes: diskBytes(at, nil),
	})
}

// installed lists the packages of an environment as name==version, from the names of their metadata folders.
func installed(at string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(at, "lib", "python3*", "site-packages", "*.dist-info"))
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(found))
	for _, f := range found {
		name := bytes.TrimSuffix([]byte(filepath.Base(f)), []byte(".dist-info"))
		if i := bytes.LastIndexByte(name, '-'); i > 0 {
			out = append(out, string(name[:i])+"=="+string(name[i+1:]))
		}
	}
	slices.Sort(out)
	return out, nil
}
