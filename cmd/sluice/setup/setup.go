// Package setup fetches what Sluice needs but does not carry: the ONNX Runtime shared library and MLflow's built web UI.
//
// It owns the versions, their SHA-256 sums, the order in which package clients are tried, and the layout of the cache directory. It is
// called by cmd/sluice alone; it must not know servers or stores. It names no host: the user's package clients know their registries,
// proxies and mirrors. Every function may be called again and by several processes: files appear by rename.
package setup

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Options says where things go and how package clients are run.
type Options struct {
	// CacheDir holds what was fetched; required.
	CacheDir string
	// Lib is the user's own ONNX Runtime library (ORT_LIB); empty: fetch.
	Lib string
	// Tarball is the user's own ONNX Runtime release .tgz (ORT_TARBALL); empty: fetch.
	Tarball string
	// Out gets one line for each step; nil discards them.
	Out io.Writer
	// Run runs a package client in dir and returns its combined output; nil runs the real one.
	Run func(ctx context.Context, dir, name string, args ...string) ([]byte, error)
	// OS and Arch are GOOS and GOARCH of the machine to fetch for; required.
	OS, Arch string
}

func (o *Options) say(format string, args ...any) {
	if o.Out != nil {
		fmt.Fprintf(o.Out, format+"\n", args...)
	}
}

func (o *Options) run(ctx context.Context, dir, name string, args ...string) error {
	run := o.Run
	if run == nil {
		run = runCommand
	}
	out, err := run(ctx, dir, name, args...)
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastLine(out))
	}
	return nil
}

func runCommand(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	if _, err := exec.LookPath(name); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}

func lastLine(out []byte) string {
	text := strings.TrimSpace(string(out))
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	const most = 300
	if len(text) > most {
		text = text[:most]
	}
	return text
}

// client is one way to get an archive with an ordinary package client.
type client struct {
	name string
	// fetch leaves one archive in dir and returns its path.
	fetch func(ctx context.Context, o *Options, dir string) (string, error)
}

// firstThatWorks tries the clients in order in a temporary directory and hands the archive to take; the errors of all are joined.
func (o *Options) firstThatWorks(ctx context.Context, what string, clients []client, take func(archive, client string) error) error {
	var tried []string
	for _, c := range clients {
		err := func() error {
			if err := os.MkdirAll(o.CacheDir, 0o755); err != nil {
				return err
			}
			dir, err := os.MkdirTemp(o.CacheDir, ".fetch-*")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			o.say("fetching %s with %s", what, c.name)
			archive, err := c.fetch(ctx, o, dir)
			if err != nil {
				return err
			}
			return take(archive, c.name)
		}()
		if err == nil {
			return nil
		}
		tried = append(tried, c.name+": "+err.Error())
	}
	return fmt.Errorf("%s could not be fetched; tried %s", what, strings.Join(tried, "; "))
}

// pipClients returns the ways to download one wheel; platform is empty for a pure Python wheel.
func pipClients(requirement, platform string) []client {
	args := []string{"download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", "."}
	if platform != "" {
		args = append(args, "--platform", platform, "--python-version", "3.11")
	}
	args = append(args, requirement)
	download := func(name string, before ...string) client {
		return client{name: strings.TrimSpace(name + " " + strings.Join(before, " ")), fetch: func(ctx context.Context, o *Options, dir string) (string, error) {
			if err := o.run(ctx, dir, name, append(before, args...)...); err != nil {
				return "", err
			}
			return onlyMatch(dir, "*.whl")
		}}
	}
	return []client{download("pip"), download("pip3"), download("python3", "-m", "pip"), download("uvx", "pip")}
}

func onlyMatch(dir, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("expected one %s, found %d", pattern, len(found))
	}
	return found[0], nil
}
