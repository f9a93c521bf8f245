// Package convert turns model packages of scikit-learn, LightGBM, XGBoost, CatBoost, PyTorch and Keras into ONNX, once, and proves on rows that the
// ONNX form answers as the original does before anybody is served by it.
//
// It owns the program that runs in the model's own Python environment (python/), the conversation with it, the comparison of answers, the record of
// the verdict, and the Backend that answers in pyfunc's shape from the converted graph. It is called by cmd's loader; it must not know HTTP, the
// registry, how an environment is made, or how a model that does not convert is served. Functions are safe for concurrent use, as is Store.
//
// # How a verdict comes about
//
// The program loads the package with mlflow.pyfunc, makes rows (those of the input example; others from the signature, from the thresholds that trees
// have learned, exactly and missed by the smallest step, and from categories and vocabularies), and writes down what the original answers. It asks the
// original which columns may be NaN or infinite, and which texts it refuses. Then it writes candidates, the quickest to serve first: trees and
// scalers in 32-bit floats, the same in doubles. Each is opened by runtime/onnx and asked the rows through the very Backend that would serve them; the
// first that answers all of them alike, labels exactly and floats within the tolerance, and refuses what the original refuses, is kept. A model that
// takes parameters, answers anything but one array or frame with one answer a row, or has no signature, is not converted.
//
// Networks take tensors of any shape, whose signature may leave open the first axis alone, and are written by their libraries' own exporters: PyTorch's
// modules and programs by torch.export, Keras's models by Keras on whatever backend they were logged with. Whole numbers that look something up are made
// within the example's range, or as far up as the original takes them. One row, and all rows together, must answer the same.
//
// What the original refuses (NaN, infinities, whole numbers below zero) and an ONNX graph would answer all the same is refused in front of the graph: see Backend.
//
// # Safety
//
// Loading a model runs its author's code. That happens in a process of its own, in a private directory, with an environment of a few harmless
// variables, bounds on processor time, memory and file sizes, a time limit, and in a process group that is killed as a whole.
package convert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"sluice/runtime/mlmodel"
	"sluice/runtime/onnx"
)

// Verdict is whether a model is served by its converted form.
type Verdict string

// The verdicts.
const (
	Pass Verdict = "pass"
	Fail Verdict = "fail"
)

// Options of Convert; nil and the zero value work.
type Options struct {
	// Converters are folders with Python packages (see Packages) that are looked at after the environment's own.
	Converters []string
	// Rows is how many rows are made besides those of the input example. Default (0): 256.
	Rows int
	// Tolerance is how far floats may be apart. Default (zero): 1e-5 absolute and relative; 1e-4 for neural networks, which add up 32-bit floats
	// in an order that differs from library to library.
	Tolerance Tolerance
	// Timeout ends a conversion. Default (0): 8 min.
	Timeout time.Duration
	// MemoryBytes bounds the memory that the process may ask for. 0: no bound.
	MemoryBytes int64
	// Environ is the environment that PATH, LANG and the like are taken from, as os.Environ gives it. Default: none.
	Environ []string
	// Logger gets what the process prints. nil discards.
	Logger *slog.Logger
}

// Tolerance bounds the difference of two floats a, b: |a − b| ≤ Absolute + Relative·|b|.
type Tolerance struct {
	Absolute float64 `json:"absolute"`
	Relative float64 `json:"relative"`
}

// Result is the record of one conversion.
type Result struct {
	Verdict Verdict `json:"verdict"`
	// Reason says why not; empty on a pass.
	Reason string `json:"reason,omitempty"`
	// Missing names Python packages whose installation may change a Fail. Such a verdict is not kept.
	Missing []string `json:"missing,omitempty"`
	// Exhausted says that the conversion ended at a bound, which a larger one may change.
	Exhausted *Bounds   `json:"exhausted,omitempty"`
	Way       string    `json:"way,omitempty"`  // how it was written: "one matrix of float"
	Rows      int       `json:"rows,omitempty"` // compared
	Tolerance Tolerance `json:"tolerance"`
	// Versions are those of the converter, of the library that the model comes from, and of ONNX Runtime, by package.
	Versions map[string]string `json:"versions,omitempty"`
	Answer   shape             `json:"answer"`
}

// Bounds are those that a conversion ended at; zero where it was none of its own.
type Bounds struct {
	MemoryBytes int64   `json:"memory_bytes,omitempty"`
	Seconds     float64 `json:"seconds,omitempty"`
}

// ErrProcess: the conversion could not be carried out (the interpreter does not start, the process died); it says nothing about the model.
var ErrProcess = errors.New("conversion broke off")

// seed makes the rows of a model the same each time.
const seed = 20240229

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Rows <= 0 {
		out.Rows = 256
	}
	if out.Timeout <= 0 {
		out.Timeout = 8 * time.Minute
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	return out
}

// Convert converts the package in modelDir with an interpreter of its environment and leaves the result in outDir, which must be an empty folder of
// the caller's: ModelFile on a pass, and RecordFile either way. It takes seconds to minutes.
//
// A model that cannot be converted, answers otherwise, or takes more memory or time than the bounds, is a Result with the verdict Fail and no error. Returns ErrProcess, ctx's error, or that of
// a file, wrapped; then outDir holds nothing of use.
func Convert(ctx context.Context, rt *onnx.Runtime, interpreter, modelDir, outDir string, opts *Options) (Result, error) {
	o := opts.withDefaults()
	model, err := mlmodel.Load(modelDir)
	if err != nil {
		return Result{}, err
	}
	if o.Tolerance == (Tolerance{}) {
		o.Tolerance = tolerance(model)
	}
	if reason := Hopeless(model); reason != "" {
		result := Result{Verdict: Fail, Reason: reason, Tolerance: o.Tolerance}
		return result, writeRecord(outDir, result)
	}
	work, err := os.MkdirTemp(outDir, "work-") // mode 0700
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(work)
	t := &trial{rt: rt, model: model, work: work, opts: o}
	result, err := t.within(ctx, interpreter, modelDir)
	if err != nil {
		return Result{}, fmt.Errorf("convert: %w", err)
	}
	if result.Verdict == Pass {
		err = errors.Join(
			os.Rename(filepath.Join(work, t.accepted), filepath.Join(outDir, ModelFile)),
			os.Rename(filepath.Join(work, rowsFile), filepath.Join(outDir, rowsFile)))
	}
	return result, errors.Join(err, writeRecord(outDir, result))
}

func tolerance(m *mlmodel.Model) Tolerance {
	if isNetwork(m) {
		return Tolerance{Absolute: 1e-4, Relative: 1e-4}
	}
	return Tolerance{Absolute: 1e-5, Relative: 1e-5}
}
