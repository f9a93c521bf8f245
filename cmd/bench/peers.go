package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// peerStart bounds how long a peer takes to start; on a machine at rest that is some seconds.
const peerStart = 4 * time.Minute

// keepBytecode lets Python keep what it compiled, so that it is not compiled again at every start.
const keepBytecode = "PYTHONDONTWRITEBYTECODE="

// contender is a running server of others, in the configuration that answered most.
type contender struct {
	side
	name string // of the configuration
	path func(m *model) string
	rate float64 // answers per second when it was tried
}

// asked is the same server asked in another way.
func (c *contender) asked(m *model, p protocol, rows int) side {
	return side{p: c.p, requests: m.requests(c.p.url+c.path(m), p, rows), lenient: true}
}

// configuration is one way to run a peer for a model.
type configuration struct {
	name  string
	start func(ctx context.Context) (*process, error)
	path  func(m *model) string
}

// best starts the configurations of a peer, drives each for a window, and keeps the quickest running; the caller stops it. A later call for the
// same work starts that one alone. The error says why the peer is not measured: there may be configurations that do not run, but one has to.
func (b *bench) best(ctx context.Context, peer string, m *model, p protocol, rows int, all []configuration) (*contender, error) {
	if b.skipPeers {
		return nil, errPeersSkipped
	}
	work := fmt.Sprintf("%s, %s, %d row(s)", peer, m.name, rows)
	if name, ok := b.quickest[work]; ok {
		all = slices.DeleteFunc(all, func(c configuration) bool { return c.name != name })
	}
	contenders, failed := b.startAll(ctx, all)
	var best *contender
	for _, c := range contenders {
		if err := b.try(ctx, c, m, p, rows); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", c.name, err))
			continue
		}
		b.say("  %s: %.0f requests/s (%s)", work, c.rate, c.name)
		if best == nil || c.rate > best.rate {
			best = c
		}
	}
	for _, c := range contenders {
		if best == nil || c.p != best.p {
			_ = c.p.stop()
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, err := range failed {
		b.say("  %s does not run: %s", work, firstLines(err))
	}
	if best == nil {
		return nil, fmt.Errorf("no configuration of %s runs: %s", peer, firstLines(errors.Join(failed...)))
	}
	if b.quickest == nil {
		b.quickest = map[string]string{}
	}
	b.quickest[work] = best.name
	return best, nil
}

// startAll starts configurations side by side, because most of them are slow to start. It returns those that run, in their order.
func (b *bench) startAll(ctx context.Context, all []configuration) (running []*contender, failed []error) {
	started, errs := make([]*contender, len(all)), make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			server, err := c.start(ctx)
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", c.name, err)
				return
			}
			started[i] = &contender{name: c.name, path: c.path, side: side{p: server}}
		})
	}
	wg.Wait()
	for i := range all {
		if errs[i] != nil {
			failed = append(failed, errs[i])
		} else {
			running = append(running, started[i])
		}
	}
	return running, failed
}

// try measures the rate of a running configuration after a warm-up.
func (b *bench) try(ctx context.Context, c *contender, m *model, p protocol, rows int) error {
	c.side = c.asked(m, p, rows)
	if rows > 1 {
		c.connections = wideConnections
	}
	for _, length := range []time.Duration{b.window / 4, b.window / 2} {
		s := c.side
		s.window = length
		w, err := b.closed(ctx, s)
		if err != nil {
			return err
		}
		c.rate = w.rate
	}
	return nil
}

// firstLines is the beginning of an error that may quote a log.
func firstLines(err error) string {
	lines := strings.SplitN(err.Error(), "\n", 4)
	return strings.Join(lines[:min(len(lines), 3)], " | ")
}

// environment returns a virtual environment of the user's cache with the packages, which uv installs by name if they are not there yet.
func (b *bench) environment(ctx context.Context, name string, packages ...string) (string, error) {
	b.installing.Lock()
	defer b.installing.Unlock()
	cache, err := cacheDir("peers")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, name)
	wanted := []byte(strings.Join(packages, "\n") + "\n")
	if there, err := os.ReadFile(filepath.Join(dir, "installed.txt")); err == nil && string(there) == string(wanted) {
		return dir, nil
	}
	uv := filepath.Join(filepath.Dir(b.python), "uv")
	b.say("  installing %s into %s", strings.Join(packages, " "), dir)
	for _, args := range [][]string{
		{"venv", "-q", "--clear", "--python", b.python, dir},
		append([]string{"pip", "install", "-q", "--python", filepath.Join(dir, "bin", "python")}, packages...),
	} {
		if out, err := exec.CommandContext(ctx, uv, args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("uv %s: %w: %s", args[0], err, out)
		}
	}
	return dir, os.WriteFile(filepath.Join(dir, "installed.txt"), wanted, 0o644)
}
