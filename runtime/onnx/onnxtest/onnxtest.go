// Package onnxtest gives tests the real ONNX Runtime and the small models of runtime/onnx/testdata.
//
// It owns the way to find both. It is called by tests only, in any room; it must not know what they test, and nothing that is not a
// test may import it. The environment is read by the tests themselves: Open(t, os.Getenv("ORT_LIB")).
package onnxtest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"sluice/runtime/onnx"
)

// Library is the shared library: path if that is not empty, else the one of the Python environment that `make setup` puts at the
// repository's root. A missing library fails the test.
func Library(t testing.TB, path string) string {
	t.Helper()
	if path != "" {
		return path
	}
	for dir := here(); ; dir = filepath.Dir(dir) {
		found, _ := filepath.Glob(filepath.Join(dir, ".venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.*")) // the pattern is valid
		if len(found) > 0 {
			return found[0]
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("ONNX Runtime not found: run `make setup`, or set ORT_LIB to libonnxruntime.so")
		}
	}
}

// Open opens the library (see Library for path) with default options.
func Open(t testing.TB, path string) *onnx.Runtime {
	t.Helper()
	rt, err := onnx.Open(Library(t, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// Model is the folder of a model package in runtime/onnx/testdata: "wine", "zipmap", "text", "lookup" and the others that
// make_models.py there writes.
func Model(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(here(), "..", "testdata", name)
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// here is the folder of this file.
func here() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(file)
}
