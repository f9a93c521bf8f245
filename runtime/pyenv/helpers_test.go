package pyenv

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// uvAt is the uv that the project's virtual environment has.
func uvAt(t testing.TB) string {
	t.Helper()
	at, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for ; at != "/"; at = filepath.Dir(at) {
		if uv := filepath.Join(at, ".venv", "bin", "uv"); executableFile(uv) {
			return uv
		}
	}
	uv, err := exec.LookPath("uv")
	if err != nil {
		t.Fatal("no uv: `make venv` installs it")
	}
	return uv
}

func executableFile(at string) bool {
	info, err := os.Stat(at)
	return err == nil && info.Mode()&0o111 != 0
}

// pool opens a pool with the real uv on a folder of its own, without an index.
func pool(t *testing.T, dir string, opts Options) *Pool {
	t.Helper()
	if opts.UV == "" {
		opts.UV = uvAt(t)
	}
	if opts.Environ == nil {
		opts.Environ = []string{"PATH=" + os.Getenv("PATH")}
	}
	p, err := New(dir, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// wheel writes a wheel of one module into folder and returns its name.
func wheel(t *testing.T, folder, name, version, code string, requires ...string) string {
	t.Helper()
	info := name + "-" + version + ".dist-info/"
	meta := fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)
	for _, r := range requires {
		meta += "Requires-Dist: " + r + "\n"
	}
	files := [][2]string{
		{name + ".py", code}, {info + "METADATA", meta},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
	}
	record := ""
	for _, f := range files {
		sum := sha256.Sum256([]byte(f[1]))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", f[0], base64.RawURLEncoding.EncodeToString(sum[:]), len(f[1]))
	}
	files = append(files, [2]string{info + "RECORD", record + info + "RECORD,,\n"})
	file := fmt.Sprintf("%s-%s-py3-none-any.whl", name, version)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(folder, file))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	z := zip.NewWriter(out)
	for _, f := range files {
		w, err := z.Create(f[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

// pack writes a model package's files and returns its folder.
func pack(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// script writes an executable shell script and returns its path.
func script(t *testing.T, name, text string) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(at, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return at
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func ensure(t *testing.T, p *Pool, spec Spec) *Env {
	t.Helper()
	env, err := p.Ensure(patient(t), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(env.Release)
	return env
}

// python runs code in the environment.
func python(t *testing.T, env *Env, code string) string {
	t.Helper()
	out, err := exec.CommandContext(patient(t), env.Python, "-I", "-c", code).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: did not happen", what)
		}
	}
}
