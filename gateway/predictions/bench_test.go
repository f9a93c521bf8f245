package predictions_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

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

// The archive of the benchmarks is ten days long. Two versions at a time answer at once, half of the requests each, for two days from noon to noon, so that
// a day of one of them is cut out of segments at both ends, and lies among as many rows of the other.
const (
	archiveDays = 10
	perSegment  = 65536
)

// versionsAt is the first of the two versions that answer at a part of the ten days, 0–1.
func versionsAt(part float64) int { return 1 + 2*int((part*archiveDays+0.5)/2) }

// large returns an archive of so many rows of the 4-feature model, and some of their ids.
func large(b *testing.B, rows int) (*predictionstest.Archive, [][16]byte) {
	b.Helper()
	var spools []string
	dir := b.TempDir()
	log, err := predlog.Open(dir, predlog.SinkFunc(func(_ context.Context, s predlog.Segment) error {
		spools = append(spools, filepath.Join(b.TempDir(), s.ID))
		return os.Link(s.Path, spools[len(spools)-1])
	}), &predlog.Options{QueueBytes: 256 << 20, SpoolBytes: 1 << 30, SpoolRows: 4 * perSegment, SpoolAge: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close(context.Background())
	a := predictionstest.New(b)
	random := rand.New(rand.NewPCG(1, 2))
	var ids [][16]byte
	every := archiveDays * 24 * time.Hour / time.Duration(rows)
	for n := 0; n < rows; { // in parts of which a day is no multiple
		for range min(2*perSegment, max(rows/47, 1), rows-n) {
			at := predictionstest.Start.Add(time.Duration(n) * every)
			var id [16]byte
			binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16|0x7000|uint64(random.IntN(4096)))
			binary.BigEndian.PutUint64(id[8:], 1<<63|random.Uint64()>>2)
			if n%max(rows/100, 1) == 0 {
				ids = append(ids, id)
			}
			log.Record(&predlog.Record{
				PredictionID: id, RequestID: fmt.Sprintf("%016x", random.Uint64()), Time: at, Endpoint: "wine", Model: "wine", Version: versionsAt(float64(n)/float64(rows)) + n%2,
				Stage: "Production", Arm: "stable", Bucket: random.IntN(10000), Status: 200, LatencyNS: 300_000 + random.Int64N(100_000), QueueNS: random.Int64N(50_000), ExecuteNS: 100_000, Rows: 1,
				Request: fmt.Appendf(nil, `{"dataframe_split": {"columns": ["sepal length", "sepal width", "petal length", "petal width"], "data": [[%.1f, %.1f, %.1f, %.1f]]}}`,
					4+random.Float64()*4, 2+random.Float64()*2, 1+random.Float64()*6, random.Float64()*2.5),
				Response: fmt.Appendf(nil, `{"predictions": [%d]}`, random.IntN(3)),
			})
			n++
		}
		if err := log.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		for _, spool := range spools {
			a.Deliver(b, spool)
			if err := os.Remove(spool); err != nil {
				b.Fatal(err)
			}
		}
		spools = spools[:0]
	}
	if d := log.Stats().Dropped; d.Total() != 0 {
		b.Fatalf("dropped %v", d)
	}
	return a, ids
}

// BenchmarkArchive measures what a large archive costs to look into: ms a lookup by id, rows a second exported of one day of one version, which are
// counted in the answer, and bytes a row.
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
	slow := day
	slow.MinLatency = 350 * time.Microsecond // half of them: every row is looked at
	for _, c := range []struct {
		name   string
		format export.Format
		query  predictions.Query
		share  float64 // of the archive's rows that are answered
	}{
		{"parquet", export.Parquet, day, 1. / (2 * archiveDays)}, {"arrow", export.Arrow, day, 1. / (2 * archiveDays)}, {"jsonl", export.Lines, day, 1. / (2 * archiveDays)},
		{"parquet-filtered", export.Parquet, slow, 1. / (4 * archiveDays)},
	} {
		b.Run("export/"+c.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "answer")
			for b.Loop() {
				exported(b, a, path, c.format, c.query)
			}
			b.StopTimer()
			n := counted(b, path, c.format, c.query)
			if want := c.share * float64(rows); math.Abs(float64(n)-want) > want/20+2 {
				b.Fatalf("%d rows are answered, want about %v", n, want)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// exported writes the answer to a query into a file.
func exported(b *testing.B, a *predictionstest.Archive, path string, f export.Format, q predictions.Query) {
	b.Helper()
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	out := bufio.NewWriterSize(file, 256<<10)
	if err := errors.Join(export.Write(b.Context(), out, a.Reader, f, export.Request{Query: q}), out.Flush(), file.Close()); err != nil {
		b.Fatal(err)
	}
}

// counted reads an answer and counts its rows. Those of Parquet and of JSON lines are held against the query, one by one.
func counted(b *testing.B, path string, f export.Format, q predictions.Query) (rows int) {
	b.Helper()
	type row struct {
		Version int32 `parquet:"model_version" json:"model_version"`
		MS      int64 `parquet:"timestamp_ms" json:"timestamp_ms"`
		Latency int64 `parquet:"latency_ns" json:"latency_ns"`
	}
	check := func(r row) {
		if at := time.UnixMilli(r.MS); int(r.Version) != q.Version || at.Before(q.From) || !at.Before(q.To) || r.Latency < int64(q.MinLatency) {
			b.Fatalf("%+v is not meant", r)
		}
		rows++
	}
	switch f {
	case export.Parquet:
		all, err := parquet.ReadFile[row](path)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range all {
			check(r)
		}
	case export.Lines:
		text, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			var r row
			if err := json.Unmarshal(line, &r); err != nil {
				b.Fatal(err)
			}
			check(r)
		}
	case export.Arrow:
		stream, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		return arrowRows(stream)
	}
	return rows
}

// arrowRows adds up the lengths of the record batches of an Arrow stream.
// Source: Arrow columnar format, "Encapsulated message format"; Message.fbs: Message has header_type (1), header (2) and bodyLength (3), RecordBatch has
// length (0).
func arrowRows(stream []byte) (rows int) {
	word := binary.LittleEndian.Uint32
	for len(stream) >= 8 && word(stream[4:]) > 0 {
		size := int(word(stream[4:]))
		meta := stream[8 : 8+size]
		field := func(table, id int) int { // where a table's field stands; the table itself if it has none
			vtable := table - int(int32(word(meta[table:])))
			if 4+2*id >= int(binary.LittleEndian.Uint16(meta[vtable:])) {
				return table
			}
			return table + int(binary.LittleEndian.Uint16(meta[vtable+4+2*id:]))
		}
		message, body := int(word(meta)), 0
		if at := field(message, 3); at != message {
			body = int(binary.LittleEndian.Uint64(meta[at:]))
		}
		const recordBatch = 3
		if meta[field(message, 1)] == recordBatch {
			header := field(message, 2)
			rows += int(binary.LittleEndian.Uint64(meta[field(header+int(word(meta[header:])), 0):]))
		}
		stream = stream[8+size+body:]
	}
	return rows
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
