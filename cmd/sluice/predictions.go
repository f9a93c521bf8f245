package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const predictionsPath = "/api/2.0/sluice/predictions"

func newPredictionsCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{Use: "predictions", Short: "Read the prediction log of a running server"}
	cmd.AddCommand(newPredictionsTailCommand(environ), newPredictionsExportCommand(environ), newPredictionsGetCommand(environ), newPredictionsGapsCommand(environ), newPredictionsReindexCommand(environ))
	return cmd
}

// predictionFilter are the flags that say which records are meant.
type predictionFilter struct{ values url.Values }

func (f *predictionFilter) bind(flags *pflag.FlagSet) {
	f.values = url.Values{}
	for _, p := range []struct{ flag, parameter, usage string }{
		{"endpoint", "endpoint", "of this endpoint"},
		{"model", "model_name", "answered by this registered model"},
		{"model-version", "model_version", "answered by this version"},
		{"arm", "arm", "of this arm: stable, canary, shadow, …"},
		{"status", "status_code", "with this HTTP status, 503, 5xx or 400-499"},
		{"shadow", "shadow", "true: of shadows, false: of answers that were given (default both)"},
		{"from", "from", "that arrived at this time or later, ms since 1970 or as 2026-11-23T21:00:00Z"},
		{"to", "to", "that arrived before this time"},
		{"min-latency-ms", "min_latency_ms", "that took so many ms or more"},
		{"max-latency-ms", "max_latency_ms", "that took so many ms at most"},
		{"key", "key", "with this business key in the column that ground_truth.key of --endpoint names"},
		{"client-request-id", "client_request_id", "with this id of the client (X-Request-Id)"},
	} {
		flags.Func(p.flag, p.usage, func(v string) error { f.values.Set(p.parameter, v); return nil })
	}
}

// with returns the query string of the filter and more parameters, name after value.
func (f *predictionFilter) with(more ...string) string {
	all := url.Values{}
	for name, v := range f.values {
		all[name] = v
	}
	for pair := range slices.Chunk(more, 2) {
		all.Set(pair[0], pair[1])
	}
	return predictionsPath + "?" + all.Encode()
}

// predictionPage is an answer in JSON.
type predictionPage struct {
	Predictions []json.RawMessage `json:"predictions"`
	Next        string            `json:"next_page_token"`
	Follow      string            `json:"follow_token"`
}

func newPredictionsTailCommand(environ []string) *cobra.Command {
	server, filter := &remote{}, &predictionFilter{}
	var lines int
	var follow bool
	var every time.Duration
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the newest records, one JSON object a line; with --follow those to come",
		Long: "Print the newest records that were delivered, oldest first, one JSON object a line. Records are delivered some seconds after their\n" +
			"request (--serving-metrics-interval of the server, 10s by default).",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if lines < 1 || lines > 1000 || every < 100*time.Millisecond {
				return errors.New("--lines must be 1 to 1000, --every 100ms or more")
			}
			if err := server.complete(environ); err != nil {
				return err
			}
			return tailPredictions(cmd.Context(), server, filter, lines, follow, every, cmd.OutOrStdout())
		},
	}
	server.bind(cmd)
	filter.bind(cmd.Flags())
	cmd.Flags().IntVarP(&lines, "lines", "n", 10, "how many records")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "how often to ask with --follow")
	return cmd
}

func tailPredictions(ctx context.Context, server *remote, filter *predictionFilter, lines int, follow bool, every time.Duration, out io.Writer) error {
	var page predictionPage
	if err := server.call(ctx, http.MethodGet, filter.with("order", "newest", "limit", strconv.Itoa(lines)), nil, &page); err != nil {
		return err
	}
	slices.Reverse(page.Predictions)
	token := ""
	for {
		for _, p := range page.Predictions {
			if _, err := fmt.Fprintf(out, "%s\n", p); err != nil {
				return err
			}
		}
		if page.Follow != "" {
			token = page.Follow
		}
		if !follow {
			return nil
		}
		if page.Next == "" || page.Follow == "" { // nothing more yet
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(every):
			}
		}
		at := []string{"limit", "1000"}
		if token != "" {
			at = append(at, "page_token", token)
		}
		page = predictionPage{}
		if err := server.call(ctx, http.MethodGet, filter.with(at...), nil, &page); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

func newPredictionsGetCommand(environ []string) *cobra.Command {
	server := &remote{}
	cmd := &cobra.Command{
		Use:   "get PREDICTION-ID",
		Short: "Print one record by its id (X-Sluice-Prediction-Id of the answer)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := server.complete(environ); err != nil {
				return err
			}
			var answer struct {
				Prediction json.RawMessage `json:"prediction"`
			}
			if err := server.call(cmd.Context(), http.MethodGet, predictionsPath+"/"+url.PathEscape(args[0]), nil, &answer); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", answer.Prediction)
			return err
		},
	}
	server.bind(cmd)
	return cmd
}

func newPredictionsGapsCommand(environ []string) *cobra.Command {
	server, filter := &remote{}, url.Values{}
	cmd := &cobra.Command{
		Use:   "gaps",
		Short: "Print from when to when records may be missing because a server was cut off, the newest first, one JSON object a line",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := server.complete(environ); err != nil {
				return err
			}
			var answer struct {
				Gaps []json.RawMessage `json:"gaps"`
			}
			if err := server.call(cmd.Context(), http.MethodGet, predictionsPath+"/gaps?"+filter.Encode(), nil, &answer); err != nil {
				return err
			}
			for _, g := range answer.Gaps {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", g); err != nil {
					return err
				}
			}
			return nil
		},
	}
	server.bind(cmd)
	for flag, usage := range map[string]string{"from": "that end at this time or later, ms since 1970 or as 2026-11-23T21:00:00Z", "to": "that begin before this time", "limit": "how many (default 100)"} {
		cmd.Flags().Func(flag, usage, func(v string) error { filter.Set(flag, v); return nil })
	}
	return cmd
}

func newPredictionsExportCommand(environ []string) *cobra.Command {
	server, filter := &remote{}, &predictionFilter{}
	var format string
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Write records into a file: Parquet, Arrow stream, CSV or JSON lines, by its name",
		Long: "Write records into a file, by the end of its name: .parquet, .arrow, .csv or .jsonl; - is the standard output. The file appears when it is\n" +
			"whole. An export of whole days of one version as Parquet copies segments without decoding them.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format == "" {
				format = strings.TrimPrefix(filepath.Ext(args[0]), ".")
			}
			if !slices.Contains([]string{"parquet", "arrow", "csv", "jsonl"}, format) {
				return fmt.Errorf("%q: say with --format parquet, arrow, csv or jsonl what to write", args[0])
			}
			if err := server.complete(environ); err != nil {
				return err
			}
			if args[0] == "-" {
				return server.download(cmd.Context(), filter.with("format", format), cmd.OutOrStdout())
			}
			return writeWhole(args[0], func(w io.Writer) error { return server.download(cmd.Context(), filter.with("format", format), w) })
		},
	}
	server.bind(cmd)
	filter.bind(cmd.Flags())
	cmd.Flags().StringVar(&format, "format", "", "parquet, arrow, csv or jsonl (default: by the file's name)")
	return cmd
}

// download copies the body of an answer, which may be long; one that breaks off is an error.
func (r *remote) download(ctx context.Context, path string, w io.Writer) error {
	answer, err := r.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		if err != nil {
			return err
		}
		return refusal(http.MethodGet, path, answer.Status, text)
	}
	_, err = io.Copy(w, answer.Body)
	return err
}

// writeWhole makes the file appear with all that write gave it, or not at all.
func writeWhole(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.part")
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	err = write(out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
