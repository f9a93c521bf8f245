package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/loadtest"
)

// loadFlags are what the three load commands share: the connections and what is sent over them.
type loadFlags struct {
	connections int
	duration    time.Duration
	insecure    bool
	headers     []string

	body, contentType string
	fromLog           string
	pace              pace
	signature         string
	make              loadtest.Make
}

func (f *loadFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.connections, "connections", 64, "keep-alive connections")
	flags.DurationVar(&f.duration, "duration", 10*time.Second, "length of a run, or of one window")
	flags.BoolVar(&f.insecure, "insecure", false, "accept any certificate of an https:// URL")
	flags.StringSliceVar(&f.headers, "header", nil, "request header as Name: value; may repeat")
	flags.StringVar(&f.body, "body", "", "file with the request body (default: the model's serving example, else rows made from its signature)")
	flags.StringVar(&f.contentType, "content-type", "application/json", "content type of --body")
	flags.StringVar(&f.fromLog, "from-log", "", "Parquet segment of a prediction log, or folder of them, to take the newest requests from")
	flags.StringVar(&f.signature, "signature", "", "MLmodel file with the signature to make requests from, for servers that do not tell it")
	flags.IntVar(&f.make.Requests, "payloads", 100, "number of different requests to make or take")
	flags.IntVar(&f.make.Rows, "rows", 0, "rows of a made request (default: those of the model's serving example, else 1)")
	flags.BoolVar(&f.make.Binary, "binary", false, "send tensors as bytes, at …/v2/models/NAME/infer")
	flags.Uint64Var(&f.make.Seed, "seed", 1, "seed of made requests and of Poisson arrivals")
}

// maxPayloads and maxMadeRows bound what --payloads and --rows may ask for.
const (
	maxPayloads = 100_000
	maxMadeRows = 1_000_000
)

func (f *loadFlags) check() error {
	given := 0
	for _, flag := range []string{f.body, f.fromLog, f.signature} {
		if flag != "" {
			given++
		}
	}
	if given > 1 {
		return errors.New("--body, --from-log and --signature exclude each other")
	}
	if (f.body != "" || f.fromLog != "") && (f.make.Rows != 0 || f.make.Binary) {
		return errors.New("--rows and --binary say how requests are made, but --body or --from-log has them made already")
	}
	if f.pace != 0 && f.fromLog == "" {
		return errors.New("--pace needs --from-log: only recorded requests have times")
	}
	return errors.Join(
		inRange("connections", float64(f.connections), 1, 100_000),
		inRange("payloads", float64(f.make.Requests), 1, maxPayloads),
		inRange("rows", float64(f.make.Rows), 0, maxMadeRows),
		atLeast("duration", f.duration, time.Millisecond),
	)
}

func (f *loadFlags) options() loadtest.Options {
	return loadtest.Options{Connections: f.connections, Duration: f.duration, TLS: f.tls()}
}

func (f *loadFlags) tls() *tls.Config {
	if !f.insecure {
		return nil
	}
	return &tls.Config{InsecureSkipVerify: true} //nolint:gosec // that is what --insecure asks for
}

// requests makes what is sent to the URL.
func (f *loadFlags) requests(ctx context.Context, url string) ([]loadtest.Request, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	header, err := f.header()
	if err != nil {
		return nil, err
	}
	payloads, err := f.payloads(ctx, url, header)
	if err != nil {
		return nil, err
	}
	return loadtest.Requests(url, payloads, header), nil
}

// pair makes what is sent to two URLs. A server that does not tell what its model takes gets what the other one gets, if both speak the same
// protocol.
func (f *loadFlags) pair(ctx context.Context, a, b string) (toA, toB []loadtest.Request, err error) {
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	header, err := f.header()
	if err != nil {
		return nil, nil, err
	}
	forA, errA := f.payloads(ctx, a, header)
	forB, errB := f.payloads(ctx, b, header)
	same := loadtest.ProtocolOf(a) == loadtest.ProtocolOf(b)
	switch {
	case errA != nil && (errB != nil || !same):
		return nil, nil, fmt.Errorf("%s: %w", a, errA)
	case errB != nil && !same:
		return nil, nil, fmt.Errorf("%s: %w", b, errB)
	case errA != nil:
		forA = forB
	case errB != nil:
		forB = forA
	}
	return loadtest.Requests(a, forA, header), loadtest.Requests(b, forB, header), nil
}

func (f *loadFlags) header() (map[string]string, error) {
	header := map[string]string{}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("--header %q is not Name: value", h)
		}
		header[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return header, nil
}

func (f *loadFlags) payloads(ctx context.Context, url string, header map[string]string) ([]loadtest.Payload, error) {
	switch {
	case f.fromLog != "":
		records, err := loadtest.FromLog(f.fromLog, url, f.make.Requests)
		return loadtest.Payloads(records), err
	case f.body != "":
		body, err := os.ReadFile(f.body)
		return []loadtest.Payload{{Body: body, ContentType: f.contentType}}, err
	case f.signature != "":
		file, err := os.ReadFile(f.signature)
		if err != nil {
			return nil, err
		}
		return loadtest.FromMLmodel(file, f.make)
	}
	base, err := loadtest.Base(url)
	if err != nil {
		return nil, err
	}
	source := loadtest.Source{Header: header, Client: &http.Client{Transport: &http.Transport{TLSClientConfig: f.tls()}}}
	model, version := loadtest.InferenceModel(url)
	switch {
	case model != "" && strings.HasPrefix(url, "grpc"):
		return source.FromInferenceRPC(ctx, base, model, version, f.make, f.options())
	case strings.HasPrefix(url, "grpc"):
		return nil, errors.New("a grpc:// URL ends in /v2/models/NAME/infer or /v2/models/NAME/versions/V/infer")
	case model != "":
		return source.FromInferenceProtocol(ctx, base, model, version, f.make)
	}
	endpoint := endpointOf(url)
	if endpoint == "" {
		return nil, errors.New("the URL names no endpoint to make requests for: use …/endpoints/NAME/invocations, or give --signature, --body or --from-log")
	}
	return source.FromEndpoint(ctx, base, endpoint, f.make)
}

// endpointOf returns NAME of …/endpoints/NAME/invocations or …/serving-endpoints/NAME/invocations, "" for other URLs.
func endpointOf(url string) string {
	rest, ok := strings.CutSuffix(url, "/invocations")
	if !ok || !strings.HasSuffix(path.Dir(rest), "endpoints") {
		return ""
	}
	return path.Base(rest)
}
