package convert_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/runtime/convert"
	"sluice/runtime/onnx/onnxtest"
)

// fake is an "interpreter" that is a shell script.
func fake(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nread request\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// emptyModel is a package that nothing is read of but its MLmodel file.
func emptyModel(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\nsignature:\n  inputs: '[{\"type\": \"double\", \"name\": \"a\", \"required\": true}]'\n  outputs: null\n  params: null\n"
	if err := os.WriteFile(filepath.Join(dir, "MLmodel"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBrokenConversations(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	for _, c := range []struct{ name, script, want string }{
		{"dies", "echo 'segmentation fault' >&2; exit 3", "segmentation fault"},
		{"babbles", "echo 'hello there'", "hello there"},
		{"another language", `echo '{"event": "surprise"}'`, "surprise"},
		{"candidate too early", `echo '{"event": "candidate", "file": "a.onnx"}'`, "before the rows"},
		{"rows that are not there", `echo '{"event": "rows", "rows": 3, "form": "bare", "ranks": [1]}'`, "rows"},
		{"too much", `head -c 20000000 /dev/zero | tr '\0' x`, "too much"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out := t.TempDir()
			_, err := convert.Convert(t.Context(), rt, fake(t, c.script), emptyModel(t), out, nil)
			if !errors.Is(err, convert.ErrProcess) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, want ErrProcess with %q", err, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(out, "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestNoInterpreter(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	if _, err := convert.Convert(t.Context(), rt, "/no/such/python", emptyModel(t), t.TempDir(), nil); !errors.Is(err, convert.ErrProcess) {
		t.Errorf("got %v", err)
	}
}

// What ends at a bound of time or memory is a verdict that says so, and under which bounds.
func TestBoundsAreVerdicts(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	const memory = 1 << 40
	for _, c := range []struct {
		name, script, want string
		at                 convert.Bounds
	}{
		{"killed", "kill -9 $$", "killed", convert.Bounds{}},
		{"aborted", "echo \"terminate called: what(): std::bad_alloc\" >&2; kill -ABRT $$", "more memory than the 1099511627776 bytes", convert.Bounds{MemoryBytes: memory}},
		{"an error of Python's", `echo '{"event": "none", "reason": "MemoryError: "}'`, "more memory", convert.Bounds{MemoryBytes: memory}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out := t.TempDir()
			got, err := convert.Convert(t.Context(), rt, fake(t, c.script), emptyModel(t), out, &convert.Options{MemoryBytes: memory})
			if err != nil || got.Verdict != convert.Fail || !strings.Contains(got.Reason, c.want) || got.Exhausted == nil || *got.Exhausted != c.at {
				t.Fatalf("got %+v, %v", got, err)
			}
			if kept, err := convert.ReadRecord(out); err != nil || kept.Exhausted == nil || *kept.Exhausted != c.at {
				t.Errorf("the record says %+v, %v", kept, err)
			}
		})
	}
}

// A program that hangs, with a child that would outlive it, is ended as a whole.
func TestTimeout(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	child := filepath.Join(t.TempDir(), "child")
	script := fmt.Sprintf("sleep 600 & echo $! > %s; wait", child)
	got, err := convert.Convert(t.Context(), rt, fake(t, script), emptyModel(t), t.TempDir(), &convert.Options{Timeout: time.Second})
	if err != nil || got.Verdict != convert.Fail || got.Exhausted == nil || got.Exhausted.Seconds != 1 || !strings.Contains(got.Reason, "longer than 1s") {
		t.Fatalf("got %+v, %v", got, err)
	}
	pid, err := os.ReadFile(child)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		state, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "stat"))
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the child lives: %s", state)
		}
	}
}

func TestMissingConvertersAreNamed(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	script := `echo '{"event": "none", "reason": "skl2onnx is neither here nor there", "missing": ["skl2onnx"]}'`
	got, err := convert.Convert(t.Context(), rt, fake(t, script), emptyModel(t), t.TempDir(), nil)
	if err != nil || got.Verdict != convert.Fail || len(got.Missing) != 1 || !strings.Contains(got.Reason, "skl2onnx") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// The program sees no credentials and nothing of MLflow's settings.
func TestEnvironmentIsBare(t *testing.T) {
	rt := onnxtest.Open(t, os.Getenv("ORT_LIB"))
	script := `printf '{"event": "none", "reason": "%s"}\n' "$(env | cut -d= -f1 | sort | tr '\n' ' ')"`
	got, err := convert.Convert(t.Context(), rt, fake(t, script), emptyModel(t), t.TempDir(),
		&convert.Options{Environ: []string{"PATH=" + os.Getenv("PATH"), "AWS_SECRET_ACCESS_KEY=x", "MLFLOW_TRACKING_TOKEN=x", "SLUICE_X=1", "LANG=C"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"AWS", "TOKEN", "SLUICE"} {
		if strings.Contains(got.Reason, bad) {
			t.Errorf("the program sees %s in %s", bad, got.Reason)
		}
	}
	if !strings.Contains(got.Reason, "HOME") || !strings.Contains(got.Reason, "LANG") {
		t.Errorf("got %s", got.Reason)
	}
}
