package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sluice/runtime/pyworker"
)

// starts are how often a worker, and a program that loads the same model, are started in turn.
const starts = 7

// workerStarts compares the start of a worker, until it has loaded its model, with that of the interpreter that loads it and ends.
func (b *bench) workerStarts(ctx context.Context, interpreter string, m *model) error {
	at := filepath.Join(m.dir, m.folder)
	var ours, theirs []float64
	for range starts {
		began := time.Now()
		worker, err := pyworker.LoadDir(ctx, interpreter, at, &pyworker.Options{Workers: 1, Dir: b.dir, Environ: os.Environ()})
		if err != nil {
			return err
		}
		ours = append(ours, time.Since(began).Seconds())
		if err := worker.Backend.Close(); err != nil {
			return err
		}
		began = time.Now()
		program := exec.CommandContext(ctx, interpreter, "-c", "import sys, mlflow.pyfunc; mlflow.pyfunc.load_model(sys.argv[1])", at)
		if out, err := program.CombinedOutput(); err != nil {
			return fmt.Errorf("load the model: %w: %s", err, out)
		}
		theirs = append(theirs, time.Since(began).Seconds())
	}
	b.say("  start, until the model is loaded: worker %.2f s, python -c %.2f s", median(ours), median(theirs))
	b.claim(claim{work: "start of a worker ÷ python that loads the model", must: 1.2, noReach: true, most: true, unit: " x", digits: 2, measured: median(ours) / median(theirs)})
	return nil
}
