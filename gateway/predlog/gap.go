package predlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Gap says that records may be missing, because the process that had the log open before ended without Close: kill -9, a crash, a power
// failure.
type Gap struct {
	// ID is a UUID, of the life that ended so.
	ID string `json:"id"`
	// From and To bound when the missing records were offered, which is when their answers were ready: what was offered before From is on disk
	// or was counted as dropped, and at To the log was open again.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// AtMost is the most records that may be missing.
	AtMost int64 `json:"at_most"`
}

// GapSink is an optional power of a Sink.
type GapSink interface {
	// DeliverGap keeps the gap before it returns nil. It is called at least once for each, before the segments recovered after it, and so is
	// idempotent by ID. An error keeps the gap for a later try.
	DeliverGap(ctx context.Context, g Gap) error
}

const (
	gapSuffix = ".json"
	// smallestFrame is the size of a record without any text or body.
	smallestFrame = frameHeader + fixedBytes + 2*numTexts + 8
)

// gapBound is how many records the process may take with it when it is killed: those in memory, and with the machine those not yet synced.
func (o *Options) gapBound() int64 {
	bytes := int64(o.QueueBytes)
	if o.Sync != SyncNone {
		bytes += o.unsyncedBytes() + int64(o.chunkBytes())
	}
	return bytes / smallestFrame
}

// pendingGap is a Gap that waits for delivery.
type pendingGap struct {
	Gap
	retry
}

// recoverGaps reads the gaps that wait for delivery, and makes one if the life before ended without Close.
func (l *Log) recoverGaps() error {
	if err := l.leftGap(); err != nil {
		return fmt.Errorf("predlog: %w", err)
	}
	files, err := os.ReadDir(l.gapDir)
	if err != nil {
		return fmt.Errorf("predlog: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(l.gapDir, f.Name())
		if !strings.HasSuffix(f.Name(), gapSuffix) {
			continue
		}
		var g Gap
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &g)
		}
		if err == nil && g.ID+gapSuffix != f.Name() {
			err = errors.New("not the gap of its name")
		}
		if err != nil {
			l.fail("prediction log cannot read a gap", err, slog.String("path", path))
			continue
		}
		l.st.gaps = append(l.st.gaps, pendingGap{Gap: g})
	}
	return nil
}

// leftGap makes a gap of the mark that a life without Close left, and keeps it on disk before the next life's mark takes its place.
func (l *Log) leftGap() error {
	left, err := readMark(l.markPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	g := Gap{ID: left.life.String(), From: left.saved.UTC(), To: l.opts.Now().UTC(), AtMost: left.atMost}
	if g.AtMost == 0 { // a torn mark
		g.AtMost = l.opts.gapBound()
	}
	if g.From.After(g.To) { // the clock was set back
		g.From = g.To
	}
	data, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if err := writeDurably(filepath.Join(l.gapDir, g.ID+gapSuffix), data); err != nil {
		return err
	}
	l.gap = &g
	l.opts.Logger.Warn("prediction records may be missing: the process before this one ended without closing the log",
		slog.Time("from", g.From), slog.Time("to", g.To), slog.Int64("at_most", g.AtMost))
	return nil
}

// Gap returns what may be missing from before Open; nil if the log was closed before, or is new.
func (l *Log) Gap() *Gap { return l.gap }

// deliverGap delivers g and removes its file, or sets the time of the next try.
func (l *Log) deliverGap(ctx context.Context, g Gap) {
	var err error
	if sink, ok := l.sink.(GapSink); ok {
		tryCtx, cancel := context.WithTimeout(ctx, l.opts.DeliverTimeout)
		err = sink.DeliverGap(tryCtx, g)
		cancel()
	}
	if err != nil {
		if ctx.Err() == nil {
			l.fail("prediction gap not delivered", fmt.Errorf("deliver gap %s: %w", g.ID, err))
		}
		l.st.update(func() {
			if i := slices.IndexFunc(l.st.gaps, func(p pendingGap) bool { return p.ID == g.ID }); i >= 0 {
				l.st.gaps[i].postpone(&l.opts)
			}
		})
		return
	}
	if err := os.Remove(filepath.Join(l.gapDir, g.ID+gapSuffix)); err != nil { // the next Open delivers it again, idempotently
		l.fail("delivered prediction gap not removed", err)
	}
	l.st.update(func() {
		l.st.gaps = slices.DeleteFunc(l.st.gaps, func(p pendingGap) bool { return p.ID == g.ID })
	})
}
