// Command bench measures the built binary over loopback and prints ratios within one run.
//
// It owns the scenarios and the report: the processes that it starts, the windows that alternate between them, and the limits that the
// figures are held against. `make bench` calls it; nobody imports it. The limit of a prediction is defined as the server CPU of one
// request to a Fiber handler that does no work, plus the CPU of one raw, pre-bound ONNX Runtime run, both measured in the same run.
//
// Other servers are installed by name with uv into the user's cache, each in a virtual environment of its own, and stay there for the next
// run. One that cannot be had or does not run here is left out, and the rows that need it say why.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// settings of a run, from the command line.
type settings struct {
	binary, python, lib string
	window              time.Duration
	rounds, connections int
	skipMLflow          bool
	skipPeers           bool
	artifactMB          int
	largeRuns           int
	logRows             int
	noop, answers, only string
}

func main() {
	var s settings
	flag.StringVar(&s.binary, "binary", "bin/sluice", "the binary to measure")
	flag.StringVar(&s.python, "python", ".venv/bin/python", "Python with mlflow, scikit-learn, skl2onnx and uvloop, and uv beside it, for models and peers")
	flag.StringVar(&s.lib, "ort-lib", os.Getenv("ORT_LIB"), "ONNX Runtime library (default: what `sluice setup` fetched)")
	flag.DurationVar(&s.window, "window", 0, "length of one window of load (default: 2s for predictions, 3s for tracking)")
	flag.IntVar(&s.rounds, "rounds", 5, "windows of each kind; the medians are printed")
	flag.IntVar(&s.connections, "connections", 64, "keep-alive connections")
	flag.StringVar(&s.only, "only", "", "comma-separated parts to run, of "+strings.Join(partNames(), ", ")+"; empty: all")
	flag.BoolVar(&s.skipMLflow, "skip-mlflow", false, "leave MLflow out and measure our side alone")
	flag.BoolVar(&s.skipPeers, "skip-peers", false, "install and start no other model server; their rows are not measured")
	flag.IntVar(&s.artifactMB, "artifact-mb", 1024, "size of the artifact that goes through the proxy, MiB; 0: none")
	flag.IntVar(&s.largeRuns, "large-runs", 100_000, "runs of the large database, each with 200 metric keys; 0: none")
	flag.IntVar(&s.logRows, "log-rows", 1_000_000, "logged rows among which one is looked for; 10 million need 1 GB and some minutes")
	flag.StringVar(&s.noop, "noop", "", "internal: be the no-work server on this address")
	flag.StringVar(&s.answers, "noop-answers", "", "internal: folder with the answers of the no-work server, by model")
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
		return serveNoop(ctx, s.noop, s.answers)
	}
	parts, err := choose(s.only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "sluice-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{settings: s, dir: dir, out: os.Stdout}
	defer b.close()
	return b.all(ctx, parts)
}
