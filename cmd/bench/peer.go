package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// peerModels trains the example's pipeline and saves it in the two forms that `mlflow models serve` can answer for: the scikit-learn flavor, and
// ONNX with ZipMap (its scoring server fails on the plain ONNX form, whose outputs differ in width).
//
//go:embed peer_models.py
var peerModels []byte

// peer measures the rate of `mlflow models serve` in several configurations and compares the best with ours, windows alternating.
func (b *bench) peer(ctx context.Context) error {
	script := filepath.Join(b.dir, "peer_models.py")
	if err := os.WriteFile(script, peerModels, 0o644); err != nil {
		return err
	}
	models := filepath.Join(b.dir, "peer")
	if out, err := exec.CommandContext(ctx, b.python, script, models).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", script, err, out)
	}
	var best, ours float64
	var bestName string
	for _, flavor := range []string{"sklearn", "onnx"} {
		for _, workers := range []string{"1", "2"} {
			name := fmt.Sprintf("%s, %s worker(s), uvloop", flavor, workers)
			theirs, mine, err := b.against(ctx, filepath.Join(models, flavor), workers)
			if err != nil {
				return fmt.Errorf("mlflow models serve (%s): %w", name, err)
			}
			b.say("mlflow models serve (%s): %.0f requests/s; sluice in the same windows %.0f = %.0f x", name, theirs, mine, mine/theirs)
			if theirs > best {
				best, ours, bestName = theirs, mine, name
			}
		}
	}
	b.say("against mlflow models serve at its best (%s): %.0f x (must 30)", bestName, ours/best)
	return nil
}

func (b *bench) against(ctx context.Context, model, workers string) (theirs, ours float64, err error) {
	port, err := freePort()
	if err != nil {
		return 0, 0, err
	}
	python, err := filepath.Abs(b.python)
	if err != nil {
		return 0, 0, err
	}
	// The scoring server is started by name through PATH, so the environment's own bin comes first.
	env := []string{"PATH=" + filepath.Dir(python) + ":" + os.Getenv("PATH")}
	p, err := start(ctx, "mlflow models serve", env, python, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local", "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-w", workers)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = p.stop() }()
	p.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	if err := p.until(ctx, "/ping", 2*time.Minute, answers(p.url+"/ping")); err != nil {
		return 0, 0, err
	}
	if _, err := b.closed(ctx, p); err != nil { // warm
		return 0, 0, err
	}
	var their, our []float64
	for range b.rounds {
		t, err := b.closed(ctx, p)
		if err != nil {
			return 0, 0, err
		}
		o, err := b.closed(ctx, b.sluice)
		if err != nil {
			return 0, 0, err
		}
		their, our = append(their, t.rate), append(our, o.rate)
	}
	return median(their), median(our), nil
}
