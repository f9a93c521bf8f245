package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/loadtest"
)

// loadFlags are what the three load commands share.
type loadFlags struct {
	connections int
	duration    time.Duration
	body        string
	contentType string
	headers     []string
	fromLog     string
	payloads    int
	seed        uint64
}

func (f *loadFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.connections, "connections", 64, "keep-alive connections")
	flags.DurationVar(&f.duration, "duration", 10*time.Second, "length of a run, or of one window")
	flags.StringVar(&f.body, "body", "", "file with the request body (default: the model's serving example, else rows made from its signature)")
	flags.StringVar(&f.contentType, "content-type", "application/json", "content type of --body")
	flags.StringSliceVar(&f.headers, "header", nil, "request header as Name: value; may repeat")
	flags.StringVar(&f.fromLog, "from-log", "", "Parquet segment of a prediction log to take the requests from")
	flags.IntVar(&f.payloads, "payloads", 100, "number of different requests to make or take")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of made requests and of Poisson arrivals")
}

// requests makes what is sent to the URL.
func (f *loadFlags) requests(ctx context.Context, url string) ([]loadtest.Request, error) {
	header := map[string]string{}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("--header %q is not Name: value", h)
		}
		header[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	bodies, types, err := f.bodies(ctx, url)
	if err != nil {
		return nil, err
	}
	out := make([]loadtest.Request, len(bodies))
	for i, body := range bodies {
		own := map[string]string{"Content-Type": f.contentType}
		if types != nil && types[i] != "" {
			own["Content-Type"] = types[i]
		}
		for name, value := range header {
			own[name] = value
		}
		out[i] = loadtest.Request{URL: url, Header: own, Body: body}
	}
	return out, nil
}

func (f *loadFlags) bodies(ctx context.Context, url string) (bodies [][]byte, types []string, err error) {
	switch {
	case f.body != "" && f.fromLog != "":
		return nil, nil, errors.New("--body and --from-log exclude each other")
	case f.fromLog != "":
		return loadtest.FromLog(f.fromLog, f.payloads)
	case f.body != "":
		body, err := os.ReadFile(f.body)
		return [][]byte{body}, nil, err
	}
	base, err := loadtest.Base(url)
	if err != nil {
		return nil, nil, err
	}
	if model := loadtest.InferenceModel(url); model != "" {
		bodies, err = loadtest.FromInferenceProtocol(ctx, base, model, f.payloads, f.seed)
		return bodies, nil, err
	}
	endpoint := endpointOf(url)
	if endpoint == "" {
		return nil, nil, errors.New("the URL names no endpoint to make requests for: use …/endpoints/NAME/invocations, or give --body or --from-log")
	}
	bodies, err = loadtest.FromSignature(ctx, base, endpoint, f.payloads, f.seed)
	return bodies, nil, err
}

// endpointOf returns NAME of …/endpoints/NAME/invocations or …/serving-endpoints/NAME/invocations, "" for other URLs.
func endpointOf(url string) string {
	rest, ok := strings.CutSuffix(url, "/invocations")
	if !ok || !strings.HasSuffix(path.Dir(rest), "endpoints") {
		return ""
	}
	return path.Base(rest)
}

func (f *loadFlags) options() loadtest.Options {
	return loadtest.Options{Connections: f.connections, Duration: f.duration}
}

// shape is the arrival process of an open loop.
type shape struct {
	rate, to, amplitude float64
	arrivals            string
	period              time.Duration
}

func (s *shape) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Float64Var(&s.rate, "rate", 0, "requests per second of an open loop; 0: closed loop, each connection asks again when it was answered")
	flags.StringVar(&s.arrivals, "arrivals", "constant", "how an open loop arrives: constant, poisson, ramp (to --to over the run), sine (--amplitude, --period)")
	flags.Float64Var(&s.to, "to", 0, "rate at the end of a ramp")
	flags.Float64Var(&s.amplitude, "amplitude", 0, "swing of a sine around --rate, at most --rate")
	flags.DurationVar(&s.period, "period", 10*time.Second, "period of a sine")
}

func (s *shape) pacer(duration time.Duration, seed uint64) (loadtest.Pacer, error) {
	if err := oneOf("arrivals", s.arrivals, "constant", "poisson", "ramp", "sine"); err != nil {
		return nil, err
	}
	switch {
	case s.rate < 0 || s.to < 0:
		return nil, errors.New("--rate and --to must not be negative")
	case s.arrivals == "ramp":
		if s.rate == 0 && s.to == 0 {
			return nil, errors.New("a ramp needs --rate or --to above 0")
		}
		return loadtest.Ramp(s.rate, s.to, duration), nil
	case s.rate == 0:
		if s.arrivals != "constant" {
			return nil, fmt.Errorf("--arrivals %s needs --rate", s.arrivals)
		}
		return nil, nil
	case s.arrivals == "poisson":
		return loadtest.Poisson(s.rate, seed), nil
	case s.arrivals == "sine":
		if s.amplitude < 0 || s.amplitude > s.rate || s.period <= 0 {
			return nil, errors.New("a sine needs 0 <= --amplitude <= --rate and --period above 0")
		}
		return loadtest.Sine(s.rate, s.amplitude, s.period), nil
	}
	return loadtest.Constant(s.rate), nil
}

func newLoadtestCommand() *cobra.Command {
	var f loadFlags
	var s shape
	var jsonFile, htmlFile string
	cmd := &cobra.Command{
		Use:   "loadtest URL",
		Short: "Drive a server with a known load and report what came back",
		Long: "Sends requests to URL (http, on this machine) and reports rate and latencies, from the moment each request was due.\n" +
			"Any server that speaks MLflow's scoring protocol or the Open Inference Protocol will do.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			requests, err := f.requests(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			o := f.options()
			if o.Pacer, err = s.pacer(f.duration, f.seed); err != nil {
				return err
			}
			o.Progress = func(p loadtest.Progress) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%4.0f s  %d sent, %d answered, %d failed\n", p.Elapsed.Seconds(), p.Sent, p.Answered, p.Failed)
			}
			res, err := loadtest.RunMany(cmd.Context(), requests, o)
			if err != nil {
				return err
			}
			report := res.Report("Load test", args[0])
			return errors.Join(report.WriteText(cmd.OutOrStdout()), toFile(jsonFile, report.WriteJSON), toFile(htmlFile, report.WriteHTML))
		},
	}
	f.bind(cmd)
	s.bind(cmd)
	cmd.Flags().StringVar(&jsonFile, "json", "", "also write the report as JSON to this file")
	cmd.Flags().StringVar(&htmlFile, "html", "", "also write the report as an HTML page with plots to this file")
	cmd.AddCommand(newLoadtestCompareCommand(), newLoadtestCapacityCommand())
	return cmd
}

// toFile writes with write to the file; no name writes nothing.
func toFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

func newLoadtestCompareCommand() *cobra.Command {
	var f loadFlags
	var s shape
	var rounds int
	cmd := &cobra.Command{
		Use:   "compare URL_A URL_B",
		Short: "Drive two servers in turn within one run and say how B differs from A",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if rounds < 1 {
				return errors.New("--rounds must be at least 1")
			}
			a, err := f.requests(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			b, err := f.requests(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			if _, err := s.pacer(f.duration, f.seed); err != nil {
				return err
			}
			round := f.seed
			c, err := loadtest.Compare(cmd.Context(), a, b, rounds, func() loadtest.Options {
				o := f.options()
				round++
				o.Pacer, _ = s.pacer(f.duration, round) // checked above
				return o
			})
			if err != nil {
				return err
			}
			return c.WriteText(cmd.OutOrStdout(), "A", "B")
		},
	}
	f.bind(cmd)
	s.bind(cmd)
	cmd.Flags().IntVar(&rounds, "rounds", 10, "windows of each server")
	return cmd
}

func newLoadtestCapacityCommand() *cobra.Command {
	var f loadFlags
	var limit loadtest.Limit
	var start float64
	cmd := &cobra.Command{
		Use:   "capacity URL",
		Short: "Search the highest rate that keeps the 99th percentile below a limit",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			requests, err := f.requests(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			rate, _, err := loadtest.Capacity(cmd.Context(), requests, limit, start, f.options(), func(p loadtest.Probe) {
				verdict := "kept"
				if !p.Kept {
					verdict = "broken"
				}
				fmt.Fprintf(out, "%8.0f requests/s  p99 %8.2f ms  %d failed  %s\n", p.Rate, float64(p.Result.Quantile(0.99))/float64(time.Millisecond), p.Result.Failed, verdict)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "capacity: %.0f requests/s with p99 at most %v\n", rate, limit.P99)
			return nil
		},
	}
	f.bind(cmd)
	cmd.Flags().DurationVar(&limit.P99, "p99", 10*time.Millisecond, "highest 99th percentile, from the due time")
	cmd.Flags().Float64Var(&limit.Failures, "failures", 0, "highest share of requests that may fail, 0 to 1")
	cmd.Flags().Float64Var(&start, "start", 100, "rate of the first window; it doubles until the limit breaks")
	return cmd
}
