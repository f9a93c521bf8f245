package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// part is what can be run alone with -only: by its own name, or with the others of its half.
type part struct {
	name, half string
	window     time.Duration // unless -window says otherwise
	run        func(*bench, context.Context) error
}

// The halves of the benchmark.
const (
	serving  = "serving"
	tracking = "tracking"
)

func allParts() []part {
	const window = 2 * time.Second
	return []part{
		{"start", serving, window, (*bench).start},
		{"limit", serving, window, (*bench).limit},
		{"peers", serving, window * 3 / 4, (*bench).peers},
		{"batching", serving, window, (*bench).batching},
		{"latency", serving, window / 2, (*bench).latency},
		{"wide", serving, window, (*bench).wide},
		{"cost", serving, window, (*bench).cost},
		{"log", serving, window, (*bench).records},
		{"convert", serving, window, (*bench).convert},
		{"overload", serving, window, (*bench).overload},
		{"swap", serving, swapWindow, (*bench).swap},
		{"shadow", serving, shadowWindow, (*bench).shadow},
		{"compare", serving, window, (*bench).compareByTool},
		{"python", serving, window, (*bench).pythonModels},
		{"tracking", tracking, 3 * time.Second, (*bench).tracking},
	}
}

func partNames() []string {
	var names []string
	for _, p := range allParts() {
		if !slices.Contains(names, p.half) {
			names = append(names, p.half)
		}
		if p.name != p.half {
			names = append(names, p.name)
		}
	}
	return names
}

// choose finds the parts that a comma-separated list of halves and parts names; an empty list names all.
func choose(only string) ([]part, error) {
	if only == "" {
		return allParts(), nil
	}
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.Contains(partNames(), name) {
			return nil, fmt.Errorf("-only %s: there are %s", name, strings.Join(partNames(), ", "))
		}
	}
	return slices.DeleteFunc(allParts(), func(p part) bool {
		return !slices.Contains(wanted, p.name) && !slices.Contains(wanted, p.half)
	}), nil
}

// all runs the parts one after the other and prints at the end what was claimed; a part that fails does not keep the others from running.
func (b *bench) all(ctx context.Context, parts []part) error {
	chosen, first := b.window, time.Now()
	var failed []error
	b.say("machine: %d CPUs, %s/%s, %s; load average %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), loadAverage())
	for _, p := range parts {
		if b.window = chosen; chosen == 0 {
			b.window = p.window
		}
		began := time.Now()
		b.say("\n%s: %d windows of %v", p.name, b.rounds, b.window)
		if err := p.run(b, ctx); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", p.name, err))
			b.say("  FAILED: %v", err)
		}
		if ctx.Err() != nil {
			break
		}
		b.say("(%s took %.0f s; load average %s)", p.name, time.Since(began).Seconds(), loadAverage())
	}
	b.say("\nall took %.0f s", time.Since(first).Seconds())
	b.printClaims()
	return errors.Join(failed...)
}
