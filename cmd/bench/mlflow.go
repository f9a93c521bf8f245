package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// mlflowServe are the configurations of `mlflow models serve` for a model: with uvloop, one worker or two, as scikit-learn and, where its
// scoring server can answer for it, as ONNX.
func (b *bench) mlflowServe(m *model) []configuration {
	flavors := []string{"sklearn"}
	if m.name == "small" {
		flavors = append(flavors, "zipmap")
	}
	var all []configuration
	for _, flavor := range flavors {
		for workers := 1; workers <= 2; workers++ {
			all = append(all, configuration{
				name: fmt.Sprintf("%s, %d worker(s), uvloop", map[string]string{"sklearn": "scikit-learn", "zipmap": "ONNX with ZipMap"}[flavor], workers),
				start: func(ctx context.Context) (*process, error) {
					return b.startMLflow(ctx, filepath.Join(m.dir, flavor), workers)
				},
				path: func(*model) string { return "/invocations" },
			})
		}
	}
	return all
}

func (b *bench) startMLflow(ctx context.Context, model string, workers int) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	python, err := filepath.Abs(b.python)
	if err != nil {
		return nil, err
	}
	// The scoring server is started by name through PATH, so the environment's own bin comes first.
	env := []string{"PATH=" + filepath.Dir(python) + ":" + os.Getenv("PATH"), keepBytecode}
	p, err := start(ctx, "mlflow models serve", env, python, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local", "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-w", strconv.Itoa(workers))
	if err != nil {
		return nil, err
	}
	p.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	return p, p.until(ctx, "/ping", peerStart, answers(p.url+"/ping"))
}
