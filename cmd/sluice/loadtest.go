package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/loadtest"
)

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

// check refuses flags that no load could honour, so that none is ignored in silence.
func (s *shape) check(flags *pflag.FlagSet) error {
	for name, v := range map[string]float64{"rate": s.rate, "to": s.to, "amplitude": s.amplitude} {
		if !(v >= 0 && v <= maxRate) {
			return fmt.Errorf("--%s must be between 0 and %g requests per second, got %g", name, maxRate, v)
		}
	}
	for name, arrivals := range map[string]string{"to": "ramp", "amplitude": "sine", "period": "sine"} {
		if flags.Changed(name) && s.arrivals != arrivals {
			return fmt.Errorf("--%s needs --arrivals %s", name, arrivals)
		}
	}
	if s.arrivals == "ramp" && !flags.Changed("to") {
		return errors.New("--arrivals ramp needs --to, the rate at its end (0: it ends in silence)")
	}
	return nil
}

// maxRate is above what one process can send.
const maxRate = 1e7

// text says the load in words.
func (s *shape) text(duration time.Duration) string {
	switch {
	case s.arrivals == "ramp":
		return fmt.Sprintf("open loop, ramp from %g/s to %g/s in %v", s.rate, s.to, duration)
	case s.rate == 0:
		return "closed loop"
	case s.arrivals == "sine":
		return fmt.Sprintf("open loop, sine around %g/s by %g/s every %v", s.rate, s.amplitude, s.period)
	}
	return fmt.Sprintf("open loop, %s, %g/s", s.arrivals, s.rate)
}

func (s *shape) pacer(duration time.Duration, seed uint64) (loadtest.Pacer, error) {
	if err := oneOf("arrivals", s.arrivals, "constant", "poisson", "ramp", "sine"); err != nil {
		return nil, err
	}
	switch {
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
		if s.amplitude > s.rate || s.period <= 0 {
			return nil, errors.New("a sine needs 0 <= --amplitude <= --rate and --period above 0")
		}
		return loadtest.Sine(s.rate, s.amplitude, s.period), nil
	}
	return loadtest.Constant(s.rate), nil
}

func newLoadtestCommand() *cobra.Command {
	var f loadFlags
	var s shape
	var title, jsonFile, htmlFile string
	cmd := &cobra.Command{
		Use:   "loadtest URL",
		Short: "Drive a server with a known load and report what came back",
		Long: "Sends requests to URL and reports rate and latencies, from the moment each request was due. Any server that speaks MLflow's scoring\n" +
			"protocol or the Open Inference Protocol will do: …/endpoints/NAME/invocations of this server and …/v2/models/NAME/infer of any are asked\n" +
			"what the model takes, also over gRPC as grpc://HOST:8001/v2/models/NAME/infer (grpcs:// with TLS); for `mlflow models serve` give --signature, --body or --from-log.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(s.check(cmd.Flags()), canBeWritten(jsonFile, htmlFile)); err != nil {
				return err
			}
			requests, err := f.requests(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			o := f.options()
			if o.Pacer, err = s.pacer(f.duration, f.make.Seed); err != nil {
				return err
			}
			load := s.text(f.duration)
			if f.pace != 0 {
				if requests, o.Pacer, o.Duration, err = f.paced(args[0], &s, cmd.Flags().Changed("duration")); err != nil {
					return err
				}
				load = "open loop, at the recorded times, " + f.pace.String()
			}
			o.Progress = func(p loadtest.Progress) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%4.0f s  %8.0f answers/s  %d sent, %d answered, %d failed\n", p.Elapsed.Seconds(), p.Rate, p.Sent, p.Answered, p.Failed)
			}
			began := time.Now()
			res, err := loadtest.RunMany(cmd.Context(), requests, o)
			if err != nil {
				return err
			}
			report := res.Report(loadtest.About{Title: title, URL: args[0], Load: load, Connections: f.connections, Started: began})
			return errors.Join(report.WriteText(cmd.OutOrStdout()), toFile(jsonFile, report.WriteJSON), toFile(htmlFile, report.WriteHTML))
		},
	}
	f.bind(cmd)
	s.bind(cmd)
	cmd.Flags().Var(&f.pace, "pace", "with --from-log: ask at the recorded times, or xN times as fast; runs as long as the log did unless --duration says less")
	cmd.Flags().StringVar(&title, "title", "Load test", "title of the report")
	cmd.Flags().StringVar(&jsonFile, "json", "", "also write the report as JSON to this file")
	cmd.Flags().StringVar(&htmlFile, "html", "", "also write the report as an HTML page with plots to this file")
	cmd.AddCommand(newLoadtestCompareCommand(), newLoadtestCapacityCommand())
	return cmd
}

// canBeWritten says which of the files cannot be written, before the run whose report they shall hold; no name is no file.
func canBeWritten(names ...string) error {
	for _, name := range names {
		if name == "" {
			continue
		}
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o666)
		if err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
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
