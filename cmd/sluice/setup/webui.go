package setup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// WebUIVersion is the MLflow release whose built web UI is served at /.
const WebUIVersion = "3.17.2"

// webUIWheelSum is the SHA-256 of that release's wheel, which is the same file on every platform.
const webUIWheelSum = "4e44c03791beb518d8b0a40b0982d958c2634d902f46d67d7907c82107f21fac"

func (o *Options) webUIPath() string { return filepath.Join(o.CacheDir, "mlflow-ui", WebUIVersion) }

// FindWebUI returns the directory that holds index.html and static files; the error says what to run when it is absent.
func FindWebUI(o Options) (string, error) {
	dir := o.webUIPath()
	if _, err := os.Stat(filepath.Join(dir, "index.html")); err != nil {
		return "", fmt.Errorf("MLflow's web UI not found at %s: run `sluice setup` (or `make setup`)", dir)
	}
	return dir, nil
}

// WebUI makes sure that MLflow's built web UI is in the cache and returns its directory; only mlflow/server/js/build of the wheel is kept.
func WebUI(ctx context.Context, o Options) (string, error) {
	if dir, err := FindWebUI(o); err == nil {
		return dir, nil
	}
	target := o.webUIPath()
	err := o.firstThatWorks(ctx, "MLflow's web UI "+WebUIVersion, pipClients("mlflow=="+WebUIVersion, ""), func(archive, _ string) error {
		got, err := fileSHA256(archive)
		if err != nil {
			return err
		}
		if got != webUIWheelSum {
			return fmt.Errorf("SHA-256 of the wheel is %s, expected %s", got, webUIWheelSum)
		}
		return extractZipTree(archive, "mlflow/server/js/build/", target)
	})
	return target, err
}
