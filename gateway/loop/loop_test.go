package loop_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"sluice/gateway/loop"
)

func TestCloseEndsTheBodyAndWaits(t *testing.T) {
	t.Parallel()
	var l loop.Loop
	began, done := make(chan struct{}), make(chan error, 1)
	var over atomic.Bool
	go func() {
		done <- l.Run(t.Context(), func(ctx context.Context) {
			close(began)
			<-ctx.Done()
			over.Store(true)
		})
	}()
	<-began
	if err := l.Run(t.Context(), func(context.Context) { t.Error("runs twice") }); !errors.Is(err, loop.ErrOnce) {
		t.Errorf("a second time: %v", err)
	}
	if !l.Close() || !over.Load() {
		t.Error("Close did not wait")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !l.Close() {
		t.Error("the second Close forgot the loop")
	}
}

func TestNothingRunsAfterClose(t *testing.T) {
	t.Parallel()
	var l loop.Loop
	if l.Close() {
		t.Error("there was no loop")
	}
	if err := l.Run(t.Context(), func(context.Context) { t.Error("runs") }); !errors.Is(err, loop.ErrOnce) {
		t.Error(err)
	}
}

func TestContextEndsTheBody(t *testing.T) {
	t.Parallel()
	var l loop.Loop
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx, func(ctx context.Context) { <-ctx.Done() }); err != nil {
		t.Error(err)
	}
}
