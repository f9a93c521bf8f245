package predictions_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"sluice/gateway/predictions"
	"sluice/gateway/predictions/export"
	"sluice/gateway/predictions/predictionstest"
	"sluice/gateway/predlog"
)

// benchRows is how many rows the archive of the benchmarks has: 10 million need about 1 GB and some minutes, so that is asked for by the
// environment.
func benchRows(b *testing.B) int {
	b.Helper()
	text := os.Getenv("SLUICE_BENCH_ROWS")
	if text == "" {
		return 200_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("SLUICE_BENCH_ROWS is %q", text)
	}
	return n
}

// large returns an archive of so many rows of the 4-feature model, a version a day, and some of their ids.
func large(b *testing.B, rows int) (*predictionstest.Archive, [][16]byte) {
	b.Helper()
	const perSegment = 65536
	dir := b.TempDir()
	var spool string
	log, err := predlog.Open(dir, predlog.SinkFunc(func(_ context.Context, s predlog.Segment) error {
		spool = filepath.Join(b.TempDir(), s.ID)
		return os.Link(s.Path, spool)
	}), &predlog.Options{QueueBytes: 256 << 20, SpoolBytes: 1 << 30, SpoolRows: 2 * perSegment, SpoolAge: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close(context.Background())
	a := predictionstest.New(b)
	random := rand.New(rand.NewPCG(1, 2))
	var ids [][16]byte
	every := 10 * 24 * time.Hour / time.Duration(rows)
	for n := 0; n < rows; {
		day := int(time.Duration(n) * every / (24 * time.Hour))
		for range min(perSegment, rows-n) {
			at := predictionstest.Start.Add(time.Duration(n) * every)
			if int(at.Sub(predictionstest.Start)/(24*time.Hour)) != day {
				break
			}
			var id [16]byte
			binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16|0x7000|uint64(random.IntN(4096)))
			binary.BigEndian.PutUint64(id[8:], 1<<63|random.Uint64()>>2)
			if n%(rows/100) == 0 {
				ids = append(ids, id)
			}
			log.Record(&predlog.Record{
				PredictionID: id, RequestID: fmt.Sprintf("%016x", random.Uint64()), Time: at, Endpoint: "wine", Model: "wine", Version: day + 1, Stage: "Production",
				Arm: "stable", Bucket: random.IntN(10000), Status: 200, LatencyNS: 300_000 + random.Int64N(100_000), QueueNS: random.Int64N(50_000), ExecuteNS: 100_000, Rows: 1,
				Request: fmt.Appendf(nil, `{"dataframe_split": {"columns": ["sepal length", "sepal width", "petal length", "petal width"], "data": [[%.1f, %.1f, %.1f, %.1f]]}}`,
					4+random.Float64()*4, 2+random.Float64()*2, 1+random.Float64()*6, random.Float64()*2.5),
				Response: fmt.Appendf(nil, `{"predictions": [%d]}`, random.IntN(3)),
			})
			n++
		}
		if err := log.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		a.Deliver(b, spool)
	}
	if d := log.Stats().Dropped; d.Total() != 0 {
		b.Fatalf("dropped %v", d)
	}
	return a, ids
}

// BenchmarkArchive measures what a large archive costs to look into: ms a lookup by id, rows a second exported of one day of one version,
// bytes a row.
func BenchmarkArchive(b *testing.B) {
	rows := benchRows(b)
	a, ids := large(b, rows)
	_, files, size := sizes(b, a)
	b.Logf("%d rows, %d segments, %.1f bytes a row", rows, files, float64(size)/float64(rows))
	b.Run("lookup", func(b *testing.B) {
		i := 0
		var took []time.Duration
		for b.Loop() {
			start := time.Now()
			r, err := a.Reader.ByID(b.Context(), ids[i%len(ids)])
			if err != nil || r.PredictionID != ids[i%len(ids)] {
				b.Fatal(err)
			}
			took = append(took, time.Since(start))
			i++
		}
		slices.Sort(took)
		for name, share := range map[string]float64{"p50-ms": 0.5, "p99-ms": 0.99} {
			b.ReportMetric(took[int(share*float64(len(took)-1))].Seconds()*1000, name)
		}
	})
	day := predictions.Query{Endpoint: "wine", Model: "wine", Version: 3, From: predictionstest.Start.Add(48 * time.Hour), To: predictionstest.Start.Add(72 * time.Hour)}
	for _, f := range []export.Format{export.Parquet, export.Arrow, export.Lines} {
		b.Run("export/"+string(f), func(b *testing.B) {
			for b.Loop() {
				if err := export.Write(b.Context(), io.Discard, a.Reader, f, export.Request{Query: day}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows/10)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func sizes(b *testing.B, a *predictionstest.Archive) (rows int64, segments int, size int64) {
	b.Helper()
	for s, err := range a.Reader.Segments(b.Context(), predictions.Query{}, 0) {
		if err != nil {
			b.Fatal(err)
		}
		rows, segments, size = rows+s.Rows, segments+1, size+s.Bytes
	}
	return rows, segments, size
}
