package onnx

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

// RawLoop measures ONNX Runtime itself: it opens the model package in dir, binds its inputs for the given number of rows, runs the session n
// times on the calling goroutine with nothing else, and returns the process's CPU time per run. It is the yardstick of load tests: run
// it in a process that does nothing else. values are rows of the model's one float32 input, row-major, which the runs take in turn, because a
// model may answer the same row over and over faster than different ones; nil runs on zeros. Models that cannot be bound are refused.
func (r *Runtime) RawLoop(dir string, rows, n int, values []float32) (cpuPerRun time.Duration, err error) {
	m, err := mlmodel.Load(dir)
	if err != nil {
		return 0, err
	}
	b, err := r.Load(context.Background(), dir, m)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	run, err := b.Raw(rows)
	if err != nil {
		return 0, err
	}
	defer run.Close()
	feed, err := run.feeder(values)
	if err != nil {
		return 0, err
	}
	repeat := func(n int) error {
		for range n {
			feed()
			if err := run.Once(); err != nil {
				return err
			}
		}
		return nil
	}
	if err := repeat(n/10 + 1); err != nil {
		return 0, err
	}
	start := cpuTime()
	err = repeat(n)
	return (cpuTime() - start) / time.Duration(max(n, 1)), err
}

// feeder returns a function that copies the next rows of values into the bound input.
func (r *RawRun) feeder(values []float32) (func(), error) {
	if len(values) == 0 {
		return func() {}, nil
	}
	ins := r.bound.ins
	if len(ins) != 1 || ins[0].Type != tensor.Float32 {
		return nil, fmt.Errorf("raw runs on values need a model with one float32 input")
	}
	bound := tensor.Of[float32](&ins[0])
	if len(bound) == 0 || len(values)%len(bound) != 0 {
		return nil, fmt.Errorf("%d values are no whole number of runs of %d", len(values), len(bound))
	}
	at := 0
	return func() {
		copy(bound, values[at:at+len(bound)])
		if at += len(bound); at == len(values) {
			at = 0
		}
	}, nil
}

// cpuTime is the user and system time of the process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// RawRun is one bound run of a model on zeros; for benchmarks. It is single-user and must be closed before its Backend.
type RawRun struct {
	bound *binding
}

// Raw binds zeros of the given number of rows.
func (b *Backend) Raw(rows int) (*RawRun, error) {
	if b.bindable && b.shapes.Load() == nil {
		var in, out tensor.Batch
		if _, err := b.Sample(&in, 2); err != nil {
			return nil, err
		}
		if err := b.Predict(context.Background(), &in, nil, &out); err != nil {
			return nil, err
		}
	}
	if !b.bindable || b.shapes.Load() == nil {
		return nil, fmt.Errorf("the model's inputs or outputs cannot be bound")
	}
	bound, err := b.bind(rows)
	if err != nil {
		return nil, err
	}
	return &RawRun{bound}, nil
}

// Once runs the session once.
func (r *RawRun) Once() error { return r.bound.session.RunWithBinding(r.bound.io) }

// Close frees the binding.
func (r *RawRun) Close() { r.bound.destroy() }
