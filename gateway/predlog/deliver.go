package predlog

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"
)

// deliver is the goroutine that hands segments to the Sink. A Series whose oldest segment failed waits for its back-off; the others go on.
func (l *Log) deliver(ctx context.Context) {
	for {
		gap, seg, wait, changed := l.next()
		switch {
		case gap != nil:
			l.deliverGap(ctx, *gap)
		case seg != nil:
			l.deliverOne(ctx, *seg)
		case !waitForSegments(ctx, changed, wait):
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// next returns a gap that is due, or else the oldest segment that is due and not behind an older one of its Series; if there is none, how long until
// one is due (0: none is) and the channel that the next change after this look closes.
func (l *Log) next() (gap *Gap, seg *Segment, wait time.Duration, changed <-chan struct{}) {
	l.st.mu.Lock()
	defer l.st.mu.Unlock()
	now := l.opts.Now()
	for _, p := range l.st.gaps {
		if !p.due.After(now) {
			return &p.Gap, nil, 0, nil
		}
		if d := p.due.Sub(now); wait == 0 || d < wait {
			wait = d
		}
	}
	blocked := map[Series]bool{}
	for _, p := range l.st.segments {
		if blocked[p.Series] {
			continue
		}
		if !p.due.After(now) {
			return nil, &p.Segment, 0, nil
		}
		blocked[p.Series] = true
		if d := p.due.Sub(now); wait == 0 || d < wait {
			wait = d
		}
	}
	return nil, nil, wait, l.st.changed
}

// waitForSegments returns when d has passed (0: never) or changed is closed; false means that ctx ended.
func waitForSegments(ctx context.Context, changed <-chan struct{}, d time.Duration) bool {
	var due <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-changed:
	case <-due:
	case <-ctx.Done():
		return false
	}
	return true
}

// deliverOne delivers s and removes its file, or sets the time of the next try.
func (l *Log) deliverOne(ctx context.Context, s Segment) {
	tryCtx, cancel := context.WithTimeout(ctx, l.opts.DeliverTimeout)
	err := l.sink.Deliver(tryCtx, s)
	cancel()
	if err != nil {
		if ctx.Err() == nil {
			l.fail("prediction segment not delivered", fmt.Errorf("deliver %s: %w", s.ID, err),
				slog.String("endpoint", s.Endpoint), slog.String("model", s.Model), slog.Int("version", s.Version))
		}
		l.st.update(func() { l.postpone(s.ID) })
		return
	}
	if err := os.Remove(s.Path); err != nil { // stays on disk until the next Open delivers it again, idempotently
		l.fail("delivered prediction segment not removed", err)
	}
	l.st.update(func() {
		l.st.segments = slices.DeleteFunc(l.st.segments, func(p pending) bool { return p.ID == s.ID })
		l.st.segBytes -= s.Bytes
		l.st.delivered += s.Rows
	})
}

// postpone sets the back-off of the segment; the caller holds the state's lock.
func (l *Log) postpone(id string) {
	if i := slices.IndexFunc(l.st.segments, func(p pending) bool { return p.ID == id }); i >= 0 {
		l.st.segments[i].postpone(&l.opts)
	}
}

// retryNow makes every segment due.
func (l *Log) retryNow() {
	l.st.update(func() {
		for i := range l.st.segments {
			l.st.segments[i].due = time.Time{}
		}
		for i := range l.st.gaps {
			l.st.gaps[i].due = time.Time{}
		}
	})
}
