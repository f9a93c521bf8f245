package predlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// errStop ends a scan whose visitor has seen enough.
var errStop = errors.New("stop")

// Pending calls visit with every record that is on its way to the Sink, those still in memory included, until visit returns false. A
// record whose segment is delivered meanwhile may be left out, and one that is sealed meanwhile may come twice: who looks for a record
// asks here first and then where the Sink put it. The Row is valid during the call only. With a full backlog this reads all of
// Options.MaxDiskBytes; ctx bounds that.
func (l *Log) Pending(ctx context.Context, visit func(Row) bool) error {
	if err := l.flushWriter(ctx, false); err != nil {
		return fmt.Errorf("predlog: pending: %w", err)
	}
	visited := func(r Row) error {
		if !visit(r) {
			return errStop
		}
		return ctx.Err()
	}
	err := l.pendingSpools(ctx, visited)
	if err == nil {
		err = l.pendingSegments(visited)
	}
	if err == nil || errors.Is(err, errStop) {
		return nil
	}
	return fmt.Errorf("predlog: pending: %w", err)
}

// pendingSpools reads the spools. One that is sealed while they are read is awaited: its segments are read next.
func (l *Log) pendingSpools(ctx context.Context, visit func(Row) error) error {
	l.st.mu.Lock()
	paths := make([]string, 0, len(l.st.spools)+1)
	for _, p := range l.st.spools {
		paths = append(paths, p.path)
	}
	if l.st.openPath != "" {
		paths = append(paths, l.st.openPath)
	}
	l.st.mu.Unlock()
	for _, path := range paths {
		err := scanSpool(path, visit)
		if errors.Is(err, fs.ErrNotExist) {
			err = l.st.wait(ctx, func() bool { return !l.st.holdsSpool(path) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// holdsSpool says that the spool is not yet segments; the caller holds the lock.
func (s *state) holdsSpool(path string) bool {
	for _, p := range s.spools {
		if p.path == path {
			return true
		}
	}
	return s.openPath == path
}

func scanSpool(path string, visit func(Row) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return scanFrames(f, func(_ place, e *entry) error { return visit(e.row()) })
}

// pendingSegments reads the segments that wait for delivery.
func (l *Log) pendingSegments(visit func(Row) error) error {
	l.st.mu.Lock()
	paths := make([]string, len(l.st.segments))
	for i, p := range l.st.segments {
		paths[i] = p.Path
	}
	l.st.mu.Unlock()
	for _, path := range paths {
		for r, err := range Scan(path) {
			if errors.Is(err, fs.ErrNotExist) {
				break // delivered
			}
			if err == nil {
				err = visit(r)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// row returns the entry as a Row, as a segment would give it back. Its bodies alias the frame.
func (e *entry) row() Row {
	text := func(i int) string { return string(validText(e.texts[i])) }
	return Row{
		Truncated: e.flags&(flagRequestCut|flagResponseCut|flagTextCut) != 0,
		Record: Record{
			PredictionID: e.predictionID, RequestID: text(textRequestID), TraceID: e.traceID, Time: time.UnixMicro(floorDiv(e.timeNS, 1000)).UTC(),
			Endpoint: text(textEndpoint), Model: text(textModel), Version: int(e.version), Stage: text(textStage), Arm: text(textArm),
			Rule: text(textRule), Bucket: int(max(e.bucket, -1)), Shadow: e.flags&flagShadow != 0, Cached: e.flags&flagCached != 0, Redaction: e.redaction(),
			SamplingFraction: e.fraction(),
			Status:           int(e.status), ErrorCode: text(textErrorCode),
			LatencyNS: e.latencyNS, QueueNS: e.queueNS, ExecuteNS: e.executeNS, Rows: int(e.rows),
			ContentType: string(orJSON(e.texts[textContentType])), ResponseContentType: string(orJSON(e.texts[textResponseContentType])),
			Request: e.body(e.request, flagRequestCut), Response: e.body(e.response, flagResponseCut),
		},
	}
}

// fraction is the share of requests that are logged.
func (e *entry) fraction() float64 {
	if e.sampling == 0 {
		return 1
	}
	return e.sampling
}

// body is a body as a segment keeps it; nil if it is empty.
func (e *entry) body(b []byte, cut byte) []byte {
	text, binary := splitBody(b, e.flags&cut != 0)
	if text != nil {
		return text
	}
	return binary
}
