package main

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"
)

// settleAfter is how long a server has run when it gives back what only its start needed: the first plan is routed by then.
const settleAfter = time.Second

// settle gives memory back to the system, once: the garbage of the start, and the pages of the program that the start read. It takes some
// 10 ms of one core.
func (a *App) settle() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	a.onClose("settling", func(context.Context) error { stop(); <-done; return nil })
	go func() {
		defer close(done)
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleAfter):
		}
		debug.FreeOSMemory()
		if err := releaseProgram(); err != nil {
			a.log.Debug("the program's pages stay resident", slog.Any("error", err))
		}
	}()
}
