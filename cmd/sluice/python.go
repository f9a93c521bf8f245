package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"sluice/runtime/pyworker"
	"sluice/runtime/servable"
)

// PythonConfig is the settings of models that run in Python.
type PythonConfig struct {
	Interpreter string
	Workers     int
	Memory      int64
	Files       int
	Nice        int
	MaxAge      time.Duration
	MaxRequests int64
	MaxRows     int64
}

// bind declares the flags.
func (c *PythonConfig) bind(f *pflag.FlagSet) {
	f.StringVar(&c.Interpreter, "python", "", "interpreter that runs every model that is not ONNX, as it is; it must have mlflow and what the models need (default: one of an environment that is built for the model)")
	f.IntVar(&c.Workers, "python-workers", 2, "processes of each model version that runs in Python")
	f.Int64Var(&c.Memory, "python-worker-memory-bytes", 0, "memory of a Python worker before it is replaced, and the most that it can allocate (default: half of the machine's or the container's)")
	f.IntVar(&c.Files, "python-worker-files", 1024, "files that a Python worker may have open")
	f.IntVar(&c.Nice, "python-worker-nice", 5, "how far a Python worker's priority is below the server's, 0 to 19")
	f.DurationVar(&c.MaxAge, "python-worker-max-age", 0, "age at which a Python worker is replaced by a new one; 0: never")
	f.Int64Var(&c.MaxRequests, "python-worker-max-requests", 0, "predictions after which a Python worker is replaced by a new one; 0: never")
	f.Int64Var(&c.MaxRows, "python-worker-max-rows", 0, "rows after which a Python worker is replaced by a new one; 0: never")
}

func (c *PythonConfig) check() error {
	if c.Memory == 0 {
		c.Memory = machineMemory() / 2
	}
	return errors.Join(
		c.checkInterpreter(),
		inRange("python-workers", float64(c.Workers), 1, 256),
		inRange("python-worker-memory-bytes", float64(c.Memory), 0, 1<<50),
		inRange("python-worker-files", float64(c.Files), 32, 1<<20),
		inRange("python-worker-nice", float64(c.Nice), 0, 19),
		atLeast("python-worker-max-age", c.MaxAge, 0),
		inRange("python-worker-max-requests", float64(c.MaxRequests), 0, 1<<50),
		inRange("python-worker-max-rows", float64(c.MaxRows), 0, 1<<50),
	)
}

// checkInterpreter finds the interpreter, which may be a name on the PATH.
func (c *PythonConfig) checkInterpreter() error {
	if c.Interpreter == "" {
		return nil
	}
	found, err := exec.LookPath(c.Interpreter)
	if err != nil {
		return fmt.Errorf("--python: %w", err)
	}
	if c.Interpreter, err = filepath.Abs(found); err != nil {
		return fmt.Errorf("--python: %w", err)
	}
	return nil
}

// openWorkers makes the folder of the workers' private directories, without what a server that was killed has left there.
func (a *App) openWorkers() (func(servable.ID) *pyworker.Options, error) {
	dir := filepath.Join(a.cfg.DataDir, "workers")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a.restarts = new(pyworker.Restarts)
	c := &a.cfg.Python
	return func(id servable.ID) *pyworker.Options {
		return &pyworker.Options{
			Workers: c.Workers, Dir: dir, Environ: a.environ, MemoryBytes: c.Memory, MaxFiles: c.Files, Nice: c.Nice,
			MaxAge: c.MaxAge, MaxRequests: c.MaxRequests, MaxRows: c.MaxRows, Restarts: a.restarts,
			Logger: a.log.With(slog.String("model", id.Model), slog.String("version", strconv.Itoa(id.Version))),
		}
	}, nil
}
