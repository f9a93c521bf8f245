package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sluice/loadtest"
)

// bench is one run.
type bench struct {
	settings
	dir string
	out io.Writer

	claims  []claim
	made    map[string]*model
	noops   *process
	sink    *traceSink
	running map[string]*process // servers that several parts ask, by name

	installing sync.Mutex        // one environment at a time
	quickest   map[string]string // configurations of peers, by what they were tried for
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

// close stops what the parts left running.
func (b *bench) close() {
	for _, p := range b.running {
		_ = p.stop()
	}
	if b.noops != nil {
		_ = b.noops.stop()
	}
	if b.sink != nil {
		b.sink.close()
	}
}

// variant is a way to start our server.
type variant struct {
	name      string
	args      []string
	untraced  bool // else 1 % of the requests are traced, and the spans pushed
	unscraped bool // nobody reads /metrics
}

// allOn is routing, breaker, metrics, traces and prediction log, as they come.
var allOn = variant{name: "sluice"}

// serve starts our server on a data directory of this run, nothing but its address changed.
func (b *bench) serve(ctx context.Context, data string, args ...string) (*process, error) {
	return b.serveAs(ctx, "sluice", data, nil, args...)
}

func (b *bench) serveAs(ctx context.Context, name, data string, env []string, args ...string) (*process, error) {
	p, err := start(ctx, name, env, b.binary, append([]string{"serve", "--data-dir", filepath.Join(b.dir, data), "--port", "0", "--log-level", "warn"}, args...)...)
	if err != nil {
		return nil, err
	}
	if err := p.until(ctx, "address", time.Minute, func() bool { p.url = p.printed("listening on "); return p.url != "" }); err != nil {
		return nil, err
	}
	return p, p.until(ctx, "/health", time.Minute, answers(p.url+"/health"))
}

// server returns the running server of a variant with the table's models in Production; the first call starts it.
func (b *bench) server(ctx context.Context, v variant) (*process, error) {
	if p := b.running[v.name]; p != nil {
		return p, nil
	}
	models, err := b.models(ctx)
	if err != nil {
		return nil, err
	}
	var env []string
	if !v.untraced {
		if env, err = b.tracing(); err != nil {
			return nil, err
		}
	}
	p, err := b.serveAs(ctx, v.name, v.name, env, v.args...)
	if err != nil {
		return nil, err
	}
	if b.running == nil {
		b.running = map[string]*process{}
	}
	b.running[v.name] = p
	for _, m := range models {
		if err := (api{p.url}).register(ctx, m); err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return p, nil
}

// release stops the server of a variant that no other part needs.
func (b *bench) release(v variant) {
	if p := b.running[v.name]; p != nil {
		_ = p.stop()
		delete(b.running, v.name)
	}
}

// ours asks our server for one model's predictions.
func (b *bench) ours(p *process, m *model, by protocol, rows int) side {
	path := api{}.endpoint(m)
	if by != mlflowJSON {
		path = "/v2/models/" + m.name + "/infer"
	}
	return side{p: p, requests: m.requests(p.url+path, by, rows)}
}

// noop returns the no-work server, asked with a model's requests. It answers with what our server answered to the first row.
func (b *bench) noop(ctx context.Context, m *model, rows int) (side, error) {
	if b.noops == nil {
		if err := b.startNoop(ctx); err != nil {
			return side{}, err
		}
	}
	return side{p: b.noops, requests: m.requests(b.noops.url+"/"+m.name, mlflowJSON, rows)}, nil
}

func (b *bench) startNoop(ctx context.Context) error {
	p, err := b.server(ctx, allOn)
	if err != nil {
		return err
	}
	folder := filepath.Join(b.dir, "answers")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, m := range b.made {
		answer, err := api{p.url}.predict(ctx, m)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, m.name+".json"), answer, 0o644); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if b.noops, err = start(ctx, "no-work handler", nil, self, "-noop", address, "-noop-answers", folder); err != nil {
		return err
	}
	b.noops.url = "http://" + address
	ready := loadtest.Request{URL: b.noops.url + "/small", Body: []byte("{}")}
	return b.noops.until(ctx, "answer", 10*time.Second, func() bool {
		res, err := loadtest.Run(ctx, ready, loadtest.Options{Connections: 1, Duration: 10 * time.Millisecond})
		return err == nil && res.Failed == 0
	})
}

// errPeersSkipped is why rows that need other servers are not measured with -skip-peers.
var errPeersSkipped = errors.New("-skip-peers")
