package batch

import (
	"context"
	"time"

	"sluice/runtime/tensor"
)

// beginAlone begins the run of a call that came at now and finds nobody, and nobody to wait for: it leads without having queued, and runAlone ends
// it. So a client by itself pays next to nothing for joining.
func (b *Batcher) beginAlone(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leaders > 0 || len(b.queue) > 0 || b.closed.Load() || b.expected(1) > 0 {
		return false
	}
	if ok, err := b.runs.try(); !ok || err != nil {
		return false
	}
	b.leaders++
	b.calls++
	b.pace.came(now)
	b.pace.present(b.calls)
	return true
}

// runAlone runs a call that was begun at start, and sees to it that somebody leads after it.
func (b *Batcher) runAlone(ctx context.Context, in *tensor.Batch, params map[string]any, out *tensor.Batch, t *Timing, start time.Time) error {
	err := protect(b.next, ctx, in, params, out)
	took, rows := time.Since(start), max(in.Rows, 0)
	b.runs.give()
	b.mu.Lock()
	b.note(rows, took, err)
	b.leaders--
	next := b.appoint()
	b.gone()
	b.mu.Unlock()
	next.tell()
	if t != nil {
		t.Execute, t.BatchRows = took, rows
	}
	return err
}
