package convert

import (
	"context"
	"errors"
	"fmt"
	"regexp"
)

// errMemory and errKilled: the process ended for want of memory, by its own bound or by the system's hand. Both come with ErrProcess.
var (
	errMemory = errors.New("out of memory")
	errKilled = errors.New("killed, as the system does when memory runs out")
)

// noMemory matches what Python, C++ and the libraries of networks say when an allocation fails.
var noMemory = regexp.MustCompile(`MemoryError|bad_alloc|(?i:allocate memory|out of memory|ResourceExhausted|can't start new thread)`)

// within is run within the bounds: one that is reached is a verdict, not an error.
func (t *trial) within(ctx context.Context, interpreter, modelDir string) (Result, error) {
	bounded, cancel := context.WithTimeout(ctx, t.opts.Timeout)
	defer cancel()
	result, err := t.run(bounded, interpreter, modelDir)
	switch {
	case ctx.Err() != nil:
		return Result{}, ctx.Err()
	case err != nil && bounded.Err() != nil:
		return t.exhausted(fmt.Sprintf("the conversion takes longer than %s", t.opts.Timeout), Bounds{Seconds: t.opts.Timeout.Seconds()}), nil
	case errors.Is(err, errKilled):
		return t.exhausted("the conversion was "+errKilled.Error(), Bounds{}), nil
	case errors.Is(err, errMemory) || (err == nil && result.Verdict == Fail && noMemory.MatchString(result.Reason)):
		return t.exhausted(t.outOfMemory(), Bounds{MemoryBytes: t.opts.MemoryBytes}), nil
	}
	return result, err
}

func (t *trial) outOfMemory() string {
	if t.opts.MemoryBytes == 0 {
		return "the conversion ran out of memory"
	}
	return fmt.Sprintf("the conversion takes more memory than the %d bytes that it may have", t.opts.MemoryBytes)
}

func (t *trial) exhausted(reason string, at Bounds) Result {
	return Result{Verdict: Fail, Reason: reason, Exhausted: &at, Tolerance: t.opts.Tolerance, Versions: t.versions(nil)}
}

// roomier says whether o allows more than what a conversion ended at.
func (o *Options) roomier(at Bounds) bool {
	memory := at.MemoryBytes > 0 && (o.MemoryBytes == 0 || o.MemoryBytes > at.MemoryBytes)
	return memory || (at.Seconds > 0 && o.Timeout.Seconds() > at.Seconds) || at == Bounds{}
}
