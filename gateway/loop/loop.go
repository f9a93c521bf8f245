// Package loop is the life of a background loop: it runs once, until its context or its owner ends it, and the owner waits.
//
// It owns that life, and the pauses of work in the background, and nothing of what a loop does. It is called by plan, rollout, truth and drift,
// whose Run and Close it is, and by predictions and baseline for their pauses; it must not know them.
package loop

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrOnce: a loop was begun twice, or after its end.
var ErrOnce = errors.New("it runs once")

// Loop is one such life. The zero value is ready; it is safe for concurrent use.
type Loop struct {
	mu      sync.Mutex
	quit    context.CancelFunc // nil until Run; guarded by mu
	closed  bool               // guarded by mu
	running sync.WaitGroup
}

// Run calls body and returns nil when it returned; its context ends with ctx or when Close is called. Returns ErrOnce, without calling it, if Run
// was called before or Close was.
func (l *Loop) Run(ctx context.Context, body func(ctx context.Context)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !l.begin(cancel) {
		return ErrOnce
	}
	defer l.running.Done()
	body(ctx)
	return nil
}

func (l *Loop) begin(cancel context.CancelFunc) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.quit != nil {
		return false
	}
	l.quit = cancel
	l.running.Add(1)
	return true
}

// Close ends Run, waits for it, and says whether there was one.
func (l *Loop) Close() (ran bool) {
	l.mu.Lock()
	l.closed = true
	if ran = l.quit != nil; ran {
		l.quit()
	}
	l.mu.Unlock()
	l.running.Wait()
	return ran
}

// Pause waits for d. Returns ctx's error if that ends first.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
