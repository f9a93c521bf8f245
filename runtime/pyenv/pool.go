package pyenv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Errors of Ensure; the wrapping text says what is missing, or what the build said last.
var (
	ErrTool   = errors.New("a tool is missing") // uv, or conda where packages need it
	ErrBuild  = errors.New("the environment could not be built")
	ErrClosed = errors.New("environments are closed")
)

// Options of a Pool; nil and the zero value work.
type Options struct {
	// UV is the uv to build with. Default: the first on the PATH of Environ, then the one beside an interpreter of Search.
	UV string
	// Conda is the conda, mamba or micromamba for packages that no index of wheels has. Default: the first of the three on the PATH.
	Conda string
	// Environ are the server's own variables; builds see PATH and where packages come from (see the package comment).
	Environ []string
	// PipFiles are pip's configuration files, the last one counts most: uv does not read them itself.
	PipFiles []string
	// Search are the folders to look for interpreters in, the preferred first. Default: the PATH of Environ.
	Search []string
	// Wheels is a folder of wheels. With it no index is asked and no option of a package's that names one is followed.
	Wheels string
	// Timeout ends a build. Default (0): 30 min.
	Timeout time.Duration
	// MaxBuilds is how many builds run at once in this process. Default (0): 2.
	MaxBuilds int
	// MaxBytes bounds what all environments take on the disk, with the package cache where it is this folder's own; those in use stay.
	// Default (0): 20 GiB.
	MaxBytes int64
	// MaxAge is how long an environment is kept that nobody uses. Default (0): 30 days.
	MaxAge time.Duration
	// Logger. Default: discard.
	Logger *slog.Logger
	// Now is the clock of uses. Default: time.Now.
	Now func() time.Time
}

// Env is a finished environment that is in use until Release.
type Env struct {
	Key     string
	Dir     string // of the environment; do not write into it
	Python  string // absolute path of its interpreter
	Version string // of Python
	// Notes say what differs from what was asked for and does no harm, as a Python of another patch version.
	Notes []string

	release func()
	once    sync.Once
}

// Release ends the use, after which the environment may be removed. It may be called again.
func (e *Env) Release() { e.once.Do(e.release) }

// Pool makes and keeps environments in one folder. Use New; Close it.
type Pool struct {
	dir   string
	opts  Options
	index []string // variables of builds that say where packages come from

	ctx    context.Context // ends at Close: builds outlive the one who asked first, not the Pool
	cancel context.CancelFunc
	work   sync.WaitGroup
	slots  chan struct{} // one token per running build

	mu      sync.Mutex
	pythons []Interpreter     // found last; guarded by mu
	entries map[string]*entry // by key; guarded by mu
	closed  bool              // guarded by mu
}

// entry is an environment that is in use or being made. Its fields are guarded by Pool.mu but for done, which is closed once, out, and err, which
// is written before done is closed.
type entry struct {
	job      *job
	users    int // those who wait and those who have it
	watchers map[int]func(string)
	cancel   context.CancelFunc
	out      *output
	progress string
	lock     *os.File // held shared while there are users
	python   string   // version, of what was obtained
	err      error
	done     chan struct{}
}

// New opens the folder dir, makes it if it is not there, and removes what dead processes left half done.
func New(dir string, opts *Options) (*Pool, error) {
	p := &Pool{entries: map[string]*entry{}}
	if opts != nil {
		p.opts = *opts
	}
	p.opts.setDefaults()
	var err error
	if p.dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if p.opts.Wheels != "" {
		if p.opts.Wheels, err = filepath.Abs(p.opts.Wheels); err != nil {
			return nil, err
		}
		if info, err := os.Stat(p.opts.Wheels); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s is not a folder of wheels", p.opts.Wheels)
		}
	}
	for _, sub := range []string{"", envsDir, locksDir, logsDir, workDir} {
		if err := os.MkdirAll(filepath.Join(p.dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	p.index = indexSettings(p.opts.Environ, p.opts.PipFiles)
	p.slots = make(chan struct{}, p.opts.MaxBuilds)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.sweep(); err != nil {
		return nil, err
	}
	p.work.Go(p.upkeep)
	return p, nil
}

func (o *Options) setDefaults() {
	if o.Search == nil {
		o.Search = filepath.SplitList(variable(o.Environ, "PATH"))
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Minute
	}
	if o.MaxBuilds <= 0 {
		o.MaxBuilds = 2
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 20 << 30
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 30 * 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// variable returns the value of a variable in an os.Environ list.
func variable(environ []string, name string) string {
	for _, entry := range environ {
		if n, value, _ := strings.Cut(entry, "="); n == name {
			return value
		}
	}
	return ""
}

// Close stops builds, waits for them and ends all uses. Environments stay for the next process.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.work.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var failed error
	for key, e := range p.entries {
		delete(p.entries, key)
		if e.lock != nil {
			failed = errors.Join(failed, e.lock.Close())
			e.lock = nil
		}
	}
	return failed
}

// Ensure returns the environment that spec describes, built if it is not there. Callers of one environment share one build, which stops when
// all of them have given up. progress, which may be nil, is told in a few words how far the build is, at most about once a second, from another
// goroutine; it must not call the Pool.
//
// Errors: ErrPython, ErrTool, ErrBuild with the end of the build's output, ErrClosed, ctx's.
func (p *Pool) Ensure(ctx context.Context, spec Spec, progress func(string)) (*Env, error) {
	j, err := p.plan(ctx, spec)
	if err != nil {
		return nil, err
	}
	e, watcher, err := p.join(j, progress)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.done:
	case <-ctx.Done():
		p.leave(e)
		return nil, context.Cause(ctx)
	}
	p.unwatch(e, watcher)
	if e.err != nil {
		return nil, e.err
	}
	dir := p.envDir(j.key)
	return &Env{Key: j.key, Dir: dir, Python: interpreterOf(dir), Version: e.python, Notes: j.notes, release: func() { p.leave(e) }}, nil
}

// Key is the address of the environment that spec describes, without building it. Errors as of Ensure.
func (p *Pool) Key(ctx context.Context, spec Spec) (string, error) {
	j, err := p.plan(ctx, spec)
	if err != nil {
		return "", err
	}
	return j.key, nil
}

// Log returns what the newest build of an environment said, the one under way included, and false if there was none.
func (p *Pool) Log(key string) (string, bool) {
	p.mu.Lock()
	e := p.entries[key]
	p.mu.Unlock()
	if e != nil {
		if text := e.out.String(); text != "" {
			return text, true
		}
	}
	if filepath.Base(key) != key || !filepath.IsLocal(key) {
		return "", false
	}
	text, err := os.ReadFile(p.logFile(key))
	return string(text), err == nil
}

// join makes the caller a user of the job's environment and begins to bring it if nobody has.
func (p *Pool) join(j *job, progress func(string)) (e *entry, watcher int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, 0, ErrClosed
	}
	e = p.entries[j.key]
	if e == nil {
		e = &entry{job: j, watchers: map[int]func(string){}, out: new(output), done: make(chan struct{})}
		ctx, cancel := context.WithCancel(p.ctx)
		e.cancel = cancel
		p.entries[j.key] = e
		p.work.Go(func() {
			defer cancel()
			p.bring(ctx, e)
		})
	}
	e.users++
	if progress != nil {
		watcher = e.users
		for e.watchers[watcher] != nil {
			watcher++
		}
		e.watchers[watcher] = progress
		if e.progress != "" {
			progress(e.progress)
		}
	}
	return e, watcher, nil
}

func (p *Pool) unwatch(e *entry, watcher int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(e.watchers, watcher)
}

// tell passes a word on progress on to those who wait.
func (p *Pool) tell(e *entry, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.progress = text
	for _, w := range e.watchers {
		w(text)
	}
}

// leave ends one use. The last one ends the build, or the use of what was built.
func (p *Pool) leave(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.users--
	if e.users > 0 {
		return
	}
	e.cancel()
	if p.entries[e.job.key] == e {
		delete(p.entries, e.job.key) // who comes now starts anew, and waits for the file lock
	}
	p.letGo(e)
}

// letGo gives the file lock of an entry back. p.mu is held.
func (p *Pool) letGo(e *entry) {
	if e.lock == nil {
		return
	}
	_ = e.lock.Close()
	e.lock = nil
}

// bring finds or builds the environment of an entry and tells those who wait.
func (p *Pool) bring(ctx context.Context, e *entry) {
	lock, python, err := p.obtain(ctx, e)
	p.mu.Lock()
	defer p.mu.Unlock()
	e.lock, e.python, e.err = lock, python, err
	if err != nil && p.entries[e.job.key] == e {
		delete(p.entries, e.job.key)
	}
	if e.users == 0 {
		p.letGo(e)
	}
	close(e.done)
}
