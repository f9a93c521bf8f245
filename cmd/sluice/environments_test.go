package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/runtime/mlmodel"
	"sluice/runtime/pyenv"
	"sluice/runtime/servable"
)

// TestAnotherPythonNeedsConsent: the tag on a version, or the setting for all.
func TestAnotherPythonNeedsConsent(t *testing.T) {
	uv, err := filepath.Abs(filepath.Join(root, ".venv", "bin", "uv"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := "flavors:\n  python_function:\n    loader_module: nowhere\n    python_version: 3.99.1\n"
	if err := os.WriteFile(filepath.Join(dir, mlmodel.FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	model, err := mlmodel.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	e := newEnvironments("", &EnvironmentConfig{Dir: t.TempDir(), UV: uv, Timeout: 5 * time.Minute}, os.Environ(), slog.New(slog.DiscardHandler))
	defer func() {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	}()
	id := servable.ID{Model: "wine", Version: 1, Backend: formPython}
	p := &pack{id: id, model: model, dir: dir}
	if _, _, err := e.interpreter(t.Context(), p); !errors.Is(err, pyenv.ErrPython) || !strings.Contains(err.Error(), "3.99.1") {
		t.Errorf("without consent: %v", err)
	}
	if _, ok := e.buildLog("wine", 1); ok {
		t.Error("there is a log of a build that was not begun")
	}
	p.anyPython = true
	at, release, err := e.interpreter(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if info, err := os.Stat(at); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("%s is no interpreter: %v", at, err)
	}
	if log, ok := e.buildLog("wine", 1); !ok || !strings.Contains(log, "venv") {
		t.Errorf("the log says %q", log)
	}
	fixed := newEnvironments("/usr/bin/python3", nil, nil, nil)
	if at, _, err := fixed.interpreter(t.Context(), p); at != "/usr/bin/python3" || err != nil {
		t.Errorf("--python: got %s, %v", at, err)
	}
}
