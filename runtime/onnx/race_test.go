//go:build race

package onnx_test

// raceEnabled says that the race detector runs.
const raceEnabled = true
