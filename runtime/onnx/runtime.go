package onnx

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// ErrNoLibrary: the ONNX Runtime shared library is not where it was said to be, or cannot be loaded.
var ErrNoLibrary = errors.New("ONNX Runtime library not found")

// Options of a Runtime; nil and the zero value work.
type Options struct {
	// Logger gets notes on models (providers that are missing, a slow way taken). Default: discard.
	Logger *slog.Logger
	// Runners is how many runners a Backend keeps bound for reuse: the number of concurrent predictions that cost no set-up.
	// Default (0): GOMAXPROCS.
	Runners int
}

// Runtime is the opened shared library. It stays open until the process ends: ONNX Runtime does not support being unloaded while any
// of its threads or values live.
type Runtime struct {
	log     *slog.Logger
	runners int
	path    string
	version string
}

// opened guards the library, which is one a process by ONNX Runtime's own design (its environment and the pointer to its functions are
// process-wide in onnxruntime_go too): the only state of this package that does not hang on a Runtime.
var opened struct {
	sync.Mutex
	path string
}

// Open loads the shared library at libPath and starts ONNX Runtime. A second call with the same path returns another Runtime over the
// same library, with its own options; one with another path is an error.
// Returns ErrNoLibrary, wrapped, if the file is missing or is no ONNX Runtime new enough (1.24).
func Open(libPath string, opts *Options) (*Runtime, error) {
	if opts == nil {
		opts = &Options{}
	}
	opened.Lock()
	defer opened.Unlock()
	if opened.path != "" && opened.path != libPath {
		return nil, fmt.Errorf("ONNX Runtime is already open from %s", opened.path)
	}
	if opened.path == "" {
		if err := start(libPath); err != nil {
			return nil, err
		}
		opened.path = libPath
	}
	r := &Runtime{log: opts.Logger, runners: opts.Runners, path: libPath, version: ort.GetVersion()}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.runners <= 0 {
		r.runners = defaultRunners()
	}
	return r, nil
}

func start(libPath string) error {
	info, err := os.Stat(libPath)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoLibrary, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a file", ErrNoLibrary, libPath)
	}
	ort.SetSharedLibraryPath(libPath)
	// Errors come back as values; ONNX Runtime's own lines on stderr would repeat them.
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNoLibrary, libPath, err)
	}
	return nil
}

// Version is ONNX Runtime's version, "1.32.0".
func (r *Runtime) Version() string { return r.version }

// Path is the file of the shared library.
func (r *Runtime) Path() string { return r.path }
