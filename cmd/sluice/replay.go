package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/gateway/invoke"
	"sluice/loadtest"
	"sluice/loadtest/replay"
)

// replayFlags are what `sluice replay` is told.
type replayFlags struct {
	endpoint, model string
	candidate       int
	fromLog         string
	last            int
	connections     int
	tolerance       float64
	limits          replay.Limits
	pace            pace
	jsonFile        string
	htmlFile        string
}

func (f *replayFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.endpoint, "endpoint", "", "endpoint whose recorded requests are asked again; required")
	flags.IntVar(&f.candidate, "candidate", 0, "number of the version that is asked; required")
	flags.StringVar(&f.model, "model", "", "registered model of the version (default: the one that answered the recorded requests)")
	flags.StringVar(&f.fromLog, "from-log", "", "Parquet segment, or folder of them, to take the requests from (default: the server's prediction log)")
	flags.IntVar(&f.last, "last", 1000, "how many of the newest requests")
	flags.IntVar(&f.connections, "connections", 4, "requests asked at once")
	flags.Float64Var(&f.tolerance, "tolerance", 1e-5, "how far numbers may be apart: relative above 1, absolute below")
	flags.Float64Var(&f.limits.Different, "max-different", 0, "share of answers that may differ, 0-1; negative: any")
	flags.Float64Var(&f.limits.Failed, "max-failed", 0, "share of requests that may fail, 0-1; negative: any")
	flags.Float64Var(&f.limits.LatencyRatio, "max-latency-ratio", -1, "p95 latency over the recorded one that may be; negative: any")
	flags.Var(&f.pace, "pace", "when the requests leave: recorded, or xN times as fast (default: as the connections are free)")
	flags.StringVar(&f.jsonFile, "json", "", "also write the report as JSON to this file")
	flags.StringVar(&f.htmlFile, "html", "", "also write the report as an HTML page to this file")
}

func (f *replayFlags) check() error {
	if f.endpoint == "" || f.candidate < 1 {
		return errors.New("--endpoint and --candidate say whose requests are asked of which version")
	}
	return errors.Join(
		inRange("last", float64(f.last), 1, maxPayloads),
		inRange("connections", float64(f.connections), 1, 1000),
		inRange("tolerance", f.tolerance, 0, 1),
	)
}

func newReplayCommand(environ []string) *cobra.Command {
	server, f := &remote{}, &replayFlags{}
	cmd := &cobra.Command{
		Use:   "replay --endpoint NAME --candidate VERSION",
		Short: "Ask recorded requests of a version before it gets traffic, and compare its answers",
		Long: "Asks the newest recorded requests of an endpoint once more, of a version of its model that needs no route, and reports how the answers\n" +
			"differ from those that were given. Answers beyond the limits end with an error. The requests are neither logged nor counted as live traffic; the key\n" +
			"must be one that may manage.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(f.check(), server.complete(environ)); err != nil {
				return err
			}
			report, err := f.run(cmd.Context(), server)
			if err != nil {
				return err
			}
			err = errors.Join(report.WriteText(cmd.OutOrStdout()), toFile(f.jsonFile, report.WriteJSON), toFile(f.htmlFile, report.WriteHTML))
			if failed := report.Check(f.limits); failed != nil {
				err = errors.Join(err, fmt.Errorf("version %d does not pass: %w", f.candidate, failed))
			}
			return err
		},
	}
	server.bind(cmd)
	f.bind(cmd)
	return cmd
}

func (f *replayFlags) run(ctx context.Context, server *remote) (*replay.Report, error) {
	records, err := f.records(ctx, server)
	if err != nil {
		return nil, err
	}
	model, err := f.modelOf(records)
	if err != nil {
		return nil, err
	}
	o := replay.Options{
		URL:    fmt.Sprintf("%s/models/%s/versions/%d", strings.TrimRight(server.url, "/"), url.PathEscape(model), f.candidate),
		Client: &http.Client{Timeout: 5 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: f.connections}},
		Header: server.header(invoke.HeaderReplay, "1", invoke.HeaderPriority, "batch"), Connections: f.connections, Tolerance: f.tolerance,
	}
	if f.pace != 0 {
		due := f.pace.due(records)
		o.Due = func(i int) time.Duration { return due[i] }
	}
	return replay.Run(ctx, records, o)
}

// modelOf is the registered model whose version is asked.
func (f *replayFlags) modelOf(records []loadtest.Recorded) (string, error) {
	if f.model != "" {
		return f.model, nil
	}
	name := records[0].Model
	for i := range records {
		if records[i].Model != name {
			return "", fmt.Errorf("endpoint %s was answered by versions of %s and %s: say with --model which one's is asked", f.endpoint, name, records[i].Model)
		}
	}
	if name == "" {
		return "", errors.New("the records do not tell the registered model: name it with --model")
	}
	return name, nil
}

// records reads the requests from files, or from the server through a file.
func (f *replayFlags) records(ctx context.Context, server *remote) ([]loadtest.Recorded, error) {
	wanted := loadtest.Wanted{Endpoint: f.endpoint, Answered: true, Last: f.last}
	if f.fromLog != "" {
		return loadtest.ReadLog(f.fromLog, wanted)
	}
	dir, err := os.MkdirTemp("", "sluice-replay-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	query := url.Values{
		"endpoint": {f.endpoint}, "shadow": {"false"}, "status_code": {"200"}, "order": {"newest"}, "limit": {strconv.Itoa(f.last)}, "format": {"parquet"},
	}
	path := filepath.Join(dir, "log.parquet")
	if err := toFile(path, func(w io.Writer) error { return server.download(ctx, predictionsPath+"?"+query.Encode(), w) }); err != nil {
		return nil, err
	}
	return loadtest.ReadLog(path, wanted)
}

// header are the headers of a call, name after value, with the key.
func (r *remote) header(more ...string) map[string]string {
	h := map[string]string{}
	if r.key != "" {
		h["Authorization"] = "Bearer " + r.key
	}
	for i := 0; i+1 < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}
