// Package onnx executes ONNX models with ONNX Runtime, as a servable.Backend whose answers are those of MLflow's onnx flavor.
//
// It owns the shared library (opened once a process), ONNX sessions, the tensors bound to them, and the reading of .onnx files that
// anybody may have written. It is the only importer of yalue/onnxruntime_go. It is called by cmd (Open, Load) and servable (Backend);
// it must not know HTTP, routes, or how rows are joined. Runtime and Backend are safe for concurrent use.
//
// # What a prediction is (source: mlflow/onnx/__init__.py, _OnnxModelWrapper.predict, MLflow 3.17)
//
//   - A Table goes into a model of one input as the matrix of its values, into a model of several as one tensor a column, by name.
//     The answer is a Table: one record per row, keyed by output name.
//   - Named tensors are the feed, one Bare tensor is the feed of a model with one input. The answer is Named tensors.
//   - float64 becomes float32 where the model wants that; any other difference of type is ErrBadInput.
//   - An input or output without dimensions is a scalar; an output of a Table's answer is one record then. Text and 16-bit floats cannot be.
//
// Where MLflow fails we answer, and these are all the differences: outputs of different widths (label [n], probabilities [n, 3]) and a
// single output wider than 1 give one record per row with the row's slice as a list (MLflow fails on the former and makes n × width
// records of the latter); the values of a frame, or of one of its columns, are given the input's own inner dimensions if those hold as
// many elements a row (a column [n] to an input [n, 1], a frame of one column to an input [n], a list column [n, k] to an input [n, k]);
// one element of any shape is a scalar;
// a frame without rows is answered without running the model; a model for a fixed number of rows takes any number, filled up or in pieces,
// if it was found to treat each row for itself. A ZipMap output is a column with Keys. A sequence of tensors of one shape is one tensor, the
// sequence as its first axis. Execution providers: see Runtime.Load.
//
// # Threads and memory
//
// A run has one thread unless the model's own session options say otherwise (single rows get slower with two, and the second spins);
// parallelism comes from requests, which batch.Tokens lets in: as many runs as processors, divided evenly among the models that have work. ONNX Runtime's arena is off: it
// never gives back what its largest run needed. Where libc's own allocations would show, in runs of few rows of a small model, a second session
// has one (see maxTwice).
//
// # Two ways to run
//
// A model whose inputs are fixed but for the rows runs on runners: tensors bound to the session once for each row count up to 64, so
// that a prediction is a copy in, a run and a copy out, without allocation. Models with outputs whose shape depends on the values, free
// inner dimensions, or map outputs, take the general way, in which ONNX Runtime allocates the outputs. Both can be interrupted when
// they are expected to run long: see Backend.Predict.
package onnx
