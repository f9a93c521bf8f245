package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// contender is a running server of others, in the configuration that answered most.
type contender struct {
	side
	name string // of the configuration
	path func(m *model) string
	rate float64 // answers per second when it was tried
}

// asked is the same server asked in another way.
func (c *contender) asked(m *model, p protocol, rows int) side {
	return side{p: c.p, requests: m.requests(c.p.url+c.path(m), p, rows)}
}

// configuration is one way to run a peer for a model.
type configuration struct {
	name  string
	start func(ctx context.Context) (*process, error)
	path  func(m *model) string
}

// best starts each configuration of a peer, drives it for a window, and keeps the quickest running; the caller stops it. The error says why the
// peer is not measured: there may be configurations that do not run, but one has to.
func (b *bench) best(ctx context.Context, peer string, m *model, p protocol, rows int, all []configuration) (*contender, error) {
	if b.skipPeers {
		return nil, errPeersSkipped
	}
	var best *contender
	var failed error
	for _, c := range all {
		tried, err := b.try(ctx, c, m, p, rows)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			b.say("  %s (%s) does not run: %s", peer, c.name, firstLines(err))
			failed = errors.Join(failed, err)
			continue
		}
		b.say("  %s (%s), %s, %d row(s): %.0f requests/s", peer, c.name, m.name, rows, tried.rate)
		worse := tried
		if best == nil || tried.rate > best.rate {
			best, worse = tried, best
		}
		if worse != nil && worse.p != best.p {
			_ = worse.p.stop()
		}
	}
	if best == nil {
		return nil, fmt.Errorf("no configuration of %s runs: %s", peer, firstLines(failed))
	}
	return best, nil
}

// try starts a configuration and measures its rate after a warm-up.
func (b *bench) try(ctx context.Context, c configuration, m *model, p protocol, rows int) (*contender, error) {
	server, err := c.start(ctx)
	if err != nil {
		return nil, err
	}
	out := &contender{name: c.name, path: c.path, side: side{p: server, requests: m.requests(server.url+c.path(m), p, rows)}}
	if rows > 1 {
		out.connections = wideConnections
	}
	s := out.side
	s.window = b.window / 2
	for range 2 {
		w, err := b.closed(ctx, s)
		if err != nil {
			return nil, errors.Join(err, server.stop())
		}
		out.rate = w.rate
	}
	return out, nil
}

// firstLines is the beginning of an error that may quote a log.
func firstLines(err error) string {
	lines := strings.SplitN(err.Error(), "\n", 4)
	return strings.Join(lines[:min(len(lines), 3)], " | ")
}

// environment returns a virtual environment of the user's cache with the packages, which uv installs by name if they are not there yet.
func (b *bench) environment(ctx context.Context, name string, packages ...string) (string, error) {
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
