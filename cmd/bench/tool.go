package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// compareByTool runs `sluice loadtest compare` against `mlflow models serve` and Triton, as a user would.
func (b *bench) compareByTool(ctx context.Context) error {
	p, err := b.server(ctx, allOn)
	if err != nil {
		return err
	}
	m := b.made["small"]
	for _, r := range b.rivals(m.name)[:2] {
		best, err := b.best(ctx, r.name, m, r.speaks, 1, r.configurations(m))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.say("  not compared with %s: %v", r.name, err)
			continue
		}
		args := []string{"loadtest", "compare", p.url + api{}.endpoint(m), best.p.url + best.path(m), "--name-a", "sluice", "--name-b", r.name,
			"--duration", (b.window / 2).String(), "--rounds", strconv.Itoa(max(b.rounds, 6)), "--connections", strconv.Itoa(b.connections)}
		out, err := exec.CommandContext(ctx, b.binary, args...).Output()
		_ = best.p.stop()
		if err != nil {
			return fmt.Errorf("sluice %s: %w: %s", strings.Join(args, " "), err, progressOf(err))
		}
		b.say("  sluice %s\n%s", quoted(args), out)
	}
	return nil
}

// quoted is a command line as a shell takes it.
func quoted(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; strings.Contains(a, " ") {
			out[i] = "'" + a + "'"
		}
	}
	return strings.Join(out, " ")
}

// progressOf is what a command that failed wrote beside its output.
func progressOf(err error) []byte {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.Stderr
	}
	return nil
}
