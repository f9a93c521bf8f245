package predlog

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// features is a request of one row with n columns of measurements, as a client of a tabular model sends it.
func features(rng *rand.Rand, n int) []byte {
	b := []byte(`{"dataframe_split":{"columns":[`)
	for i := range n {
		b = fmt.Appendf(b, `"feature_%d",`, i)
	}
	b = append(b[:len(b)-1], `],"data":[[`...)
	for range n {
		b = fmt.Appendf(b, `%.2f,`, 10+3*rng.NormFloat64())
	}
	return append(b[:len(b)-1], `]]}}`...)
}

func served(t testing.TB, rng *rand.Rand, i, columns int) *Record {
	r := sample(t, i)
	r.Version, r.RequestID = 1, ""
	r.Time = time.Unix(1_790_000_000, int64(i)*50_000+rng.Int64N(50_000)).UTC()
	r.Bucket = rng.IntN(10000)
	r.LatencyNS, r.QueueNS, r.ExecuteNS = 300_000+rng.Int64N(300_000), 5_000+rng.Int64N(5_000), 20_000+rng.Int64N(10_000)
	r.Request = features(rng, columns)
	r.Response = fmt.Appendf(nil, `{"predictions": [{"label": %d, "probabilities": [%.6f, %.6f]}]}`, i%3, rng.Float64(), rng.Float64())
	return r
}

// BenchmarkRecord measures the request path's part, every record accepted: budget 300 ns and no allocation for a record of about 400 bytes.
func BenchmarkRecord(b *testing.B) {
	o, err := (*Options)(nil).withDefaults()
	if err != nil {
		b.Fatal(err)
	}
	q := &queue{chunkBytes: o.chunkBytes(), maxChunks: 8, full: make([][]byte, 0, 8), bySeries: map[Series]*missing{}}
	r := served(b, rand.New(rand.NewPCG(1, 2)), 1, 13)
	scratch := make([][]byte, 0, 8)
	b.SetBytes(int64(frameSize(r, o.MaxBodyBytes)))
	b.ReportAllocs()
	for b.Loop() {
		if q.offer(r, r.Time.UnixNano(), o.MaxBodyBytes) == wakeFull { // the writer's part, without the disk
			for _, c := range q.drain(scratch[:0], false) {
				q.release(c, 0)
			}
		}
	}
	if q.drops.Total() > 0 {
		b.Fatal("records were dropped")
	}
}

// BenchmarkRecordParallel is Record from every core with the writer and the disk behind it; what the disk does not take is dropped.
func BenchmarkRecordParallel(b *testing.B) {
	l := open(b, b.TempDir(), SinkFunc(func(context.Context, Segment) error { return nil }), nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := served(b, rand.New(rand.NewPCG(1, 2)), 1, 13)
		for pb.Next() {
			l.Record(r)
		}
	})
	b.ReportMetric(float64(l.Stats().Dropped.Total())/float64(b.N), "drops/op")
}

// BenchmarkSeal turns one spool into a segment.
func BenchmarkSeal(b *testing.B) {
	for _, columns := range []int{4, 13, 30} {
		b.Run(fmt.Sprintf("features=%d", columns), func(b *testing.B) {
			const rows = 20_000
			l := open(b, b.TempDir(), SinkFunc(func(context.Context, Segment) error { return nil }), nil)
			path, _ := writeSpool(b, rows, columns)
			s := newSealer(l)
			s.pace.hurry = func() bool { return true }
			var size int64
			b.ReportAllocs()
			for b.Loop() {
				idx, err := indexSpool(path, s.pace.frame)
				if err != nil {
					b.Fatal(err)
				}
				seg, err := s.segment(spool{id: "bench", path: path}, idx, 0)
				if err != nil {
					b.Fatal(err)
				}
				size = seg.Bytes
			}
			b.ReportMetric(float64(size)/rows, "B/row")
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// writeSpool writes a spool of so many records of one Series.
func writeSpool(t testing.TB, rows, columns int) (path string, size int64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	buf := []byte(spoolMagic)
	for i := range rows {
		at := len(buf)
		r := served(t, rng, i, columns)
		buf, _ = appendFrame(buf, r, r.Time.UnixNano(), 1<<20)
		sealFrames(buf[at:])
	}
	path = filepath.Join(t.TempDir(), "x"+spoolSuffix)
	if err := os.WriteFile(path, buf, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, int64(len(buf))
}

func TestRecordAllocatesNothing(t *testing.T) {
	q := &queue{chunkBytes: 8 << 20, maxChunks: 2, bySeries: map[Series]*missing{}}
	r := sample(t, 1)
	q.offer(r, 1, 1<<20)
	if got := testing.AllocsPerRun(1000, func() { q.offer(r, 1, 1<<20) }); got != 0 {
		t.Errorf("an accepted record allocates %v times", got)
	}
	q.close()
	q.offer(r, 1, 1<<20)
	if got := testing.AllocsPerRun(1000, func() { q.offer(r, 1, 1<<20) }); got != 0 {
		t.Errorf("a dropped record allocates %v times", got)
	}
}

func TestSegmentStaysSmall(t *testing.T) {
	t.Parallel()
	path, _ := writeSpool(t, 5000, 4)
	l := open(t, t.TempDir(), newMemorySink(t), nil)
	s := newSealer(l)
	idx, err := indexSpool(path, s.pace.frame)
	if err != nil {
		t.Fatal(err)
	}
	seg, err := s.segment(spool{id: "small", path: path}, idx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if perRow := float64(seg.Bytes) / 5000; perRow > 120 {
		t.Errorf("%.1f bytes a row, want at most 120", perRow)
	}
}

// FuzzDecodeFrame: whatever the bytes, decoding neither panics nor reads outside; what it accepts is what appendFrame wrote.
func FuzzDecodeFrame(f *testing.F) {
	for i := range 3 {
		r := sample(f, i)
		frame, _ := appendFrame(nil, r, r.Time.UnixNano(), 64)
		sealFrames(frame)
		f.Add(frame)
		f.Add(frame[:len(frame)-1])
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		var e entry
		n, err := decodeFrame(b, &e)
		if err != nil {
			return
		}
		var again []byte
		row := (&segmentWriter{arena: make([]byte, 0, 128)}).row(&e)
		if len(row.PredictionID) != 36 {
			t.Fatalf("prediction id %q", row.PredictionID)
		}
		r := e.toRecord()
		again, _ = appendFrame(nil, r, e.timeNS, 1<<20)
		again[frameHeader+1] = e.flags
		sealFrames(again)
		fits := true
		for _, text := range e.texts {
			fits = fits && len(text) <= maxText
		}
		if fits && !bytes.Equal(again, b[:n]) {
			t.Fatalf("frame does not survive a round trip:\n%x\n%x", b[:n], again)
		}
	})
}

// FuzzScanFrames: a spool with any bytes behind its beginning gives its intact frames and ends without a panic.
func FuzzScanFrames(f *testing.F) {
	r := sample(f, 1)
	frame, _ := appendFrame(nil, r, r.Time.UnixNano(), 64)
	sealFrames(frame)
	f.Add(append(bytes.Clone(frame), frame...))
	f.Add([]byte{0xff, 0xff, 0xff, 0x07})
	f.Fuzz(func(t *testing.T, tail []byte) {
		if len(tail) > 1<<16 {
			return
		}
		spool := append(append([]byte(spoolMagic), frame...), tail...)
		n := 0
		err := scanFrames(bytes.NewReader(spool), func(at place, e *entry) error {
			if at.offset+at.size > int64(len(spool)) {
				t.Fatalf("frame at %v outside of %d bytes", at, len(spool))
			}
			n++
			return nil
		})
		if err != nil || n < 1 {
			t.Fatalf("%d frames, %v", n, err)
		}
	})
}

func (e *entry) toRecord() *Record {
	return &Record{
		PredictionID: e.predictionID, TraceID: e.traceID, Status: int(e.status), Version: int(e.version), Rows: int(e.rows), Bucket: int(e.bucket),
		LatencyNS: e.latencyNS, QueueNS: e.queueNS, ExecuteNS: e.executeNS, SamplingFraction: e.sampling, Shadow: e.flags&flagShadow != 0, Cached: e.flags&flagCached != 0, Redaction: e.redaction(),
		RequestID: string(e.texts[textRequestID]), Endpoint: string(e.texts[textEndpoint]), Model: string(e.texts[textModel]),
		Stage: string(e.texts[textStage]), Arm: string(e.texts[textArm]), Rule: string(e.texts[textRule]),
		ErrorCode: string(e.texts[textErrorCode]), ContentType: string(e.texts[textContentType]),
		ResponseContentType: string(e.texts[textResponseContentType]), Request: e.request, Response: e.response,
	}
}

// newNoise returns a source of JSON strings that do not compress.
func newNoise() func(n int) []byte {
	rng := rand.New(rand.NewPCG(5, 6))
	return func(n int) []byte {
		b := []byte{'"'}
		for range n {
			b = append(b, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[rng.IntN(64)])
		}
		return append(b, '"')
	}
}
