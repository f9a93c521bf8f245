// Command bench measures the built binary over loopback and prints ratios within one run.
//
// It owns the scenarios and the report: the processes that it starts, the windows that alternate between them, and the limits that the
// figures are held against. `make bench` calls it; nobody imports it. The limit of a prediction is defined as the server CPU of one
// request to a Fiber handler that does no work, plus the CPU of one raw, pre-bound ONNX Runtime run, both measured in the same run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// settings of a run, from the command line.
type settings struct {
	binary, python, lib string
	window              time.Duration
	rounds, connections int
	skipMLflow          bool
	artifactMB          int
	largeRuns           int
	noop, only          string
}

func main() {
	var s settings
	flag.StringVar(&s.binary, "binary", "bin/sluice", "the binary to measure")
	flag.StringVar(&s.python, "python", ".venv/bin/python", "Python with mlflow, scikit-learn, skl2onnx and uvloop, for the peer")
	flag.StringVar(&s.lib, "ort-lib", os.Getenv("ORT_LIB"), "ONNX Runtime library (default: what `sluice setup` fetched)")
	flag.DurationVar(&s.window, "window", 3*time.Second, "length of one window of load")
	flag.IntVar(&s.rounds, "rounds", 5, "windows of each kind; the medians are printed")
	flag.IntVar(&s.connections, "connections", 64, "keep-alive connections")
	flag.StringVar(&s.only, "only", "", "serving or tracking; empty: both")
	flag.BoolVar(&s.skipMLflow, "skip-mlflow", false, "leave MLflow out and measure our side alone")
	flag.IntVar(&s.artifactMB, "artifact-mb", 1024, "size of the artifact that goes through the proxy, MiB; 0: none")
	flag.IntVar(&s.largeRuns, "large-runs", 100_000, "runs of the large database, each with 200 metric keys; 0: none")
	flag.StringVar(&s.noop, "noop", "", "internal: be the no-work server on this address")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	if s.noop != "" {
		return serveNoop(ctx, s.noop)
	}
	dir, err := os.MkdirTemp("", "sluice-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{settings: s, dir: dir, out: os.Stdout}
	return b.all(ctx)
}
