package predlog

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
)

// row is one row of a segment; DESIGN.md explains the columns. The first ones have the names and meanings of a Databricks inference table,
// so that notebooks written for those work; bodies that are not UTF-8 text stand in the *_binary columns instead.
type row struct {
	PredictionID     []byte  `parquet:"databricks_request_id,string,delta"`
	ClientRequestID  []byte  `parquet:"client_request_id,string,optional"`
	Date             int32   `parquet:"date,date,dict"`
	TimestampMS      int64   `parquet:"timestamp_ms,delta"`
	Status           int32   `parquet:"status_code,dict"`
	SamplingFraction float64 `parquet:"sampling_fraction,dict"`
	ExecutionTimeMS  int64   `parquet:"execution_time_ms,delta"`
	Request          []byte  `parquet:"request,string,optional"`
	Response         []byte  `parquet:"response,string,optional"`

	RequestBinary       []byte `parquet:"request_binary,optional"`
	ResponseBinary      []byte `parquet:"response_binary,optional"`
	ContentType         []byte `parquet:"content_type,string,dict"`
	ResponseContentType []byte `parquet:"response_content_type,string,dict"`
	Truncated           bool   `parquet:"truncated"`

	TimeUS    int64  `parquet:"time,timestamp(microsecond),delta"`
	Endpoint  []byte `parquet:"endpoint,string,dict"`
	Model     []byte `parquet:"model_name,string,dict"`
	Version   int32  `parquet:"model_version,dict"`
	Stage     []byte `parquet:"stage,string,optional,dict"`
	Arm       []byte `parquet:"arm,string,optional,dict"`
	Rule      []byte `parquet:"rule,string,optional,dict"`
	Bucket    int32  `parquet:"bucket,delta"`
	Shadow    bool   `parquet:"shadow"`
	Cached    bool   `parquet:"cached"`
	Redaction []byte `parquet:"redaction,string,optional,dict"`
	ErrorCode []byte `parquet:"error_code,string,optional,dict"`
	TraceID   []byte `parquet:"trace_id,string,optional"`
	Rows      int32  `parquet:"rows,delta"`
	LatencyNS int64  `parquet:"latency_ns,delta"`
	QueueNS   int64  `parquet:"queue_ns,delta"`
	ExecuteNS int64  `parquet:"execute_ns,delta"`
}

// The keys of a segment's footer metadata.
const (
	metaFormat     = "sluice.format" // "predlog/1"
	metaSegment    = "sluice.segment_id"
	metaEndpoint   = "sluice.endpoint"
	metaModel      = "sluice.model_name"
	metaVersion    = "sluice.model_version"
	metaRows       = "sluice.rows"
	metaFirst      = "sluice.first_time" // RFC 3339 with ns, UTC
	metaLast       = "sluice.last_time"
	metaDropped    = "sluice.dropped."    // + reason: drops of the whole log since it was opened, when the segment was written
	metaSampledOut = "sluice.sampled_out" // likewise, requests that sampling left out
	metaGap        = "sluice.gap."        // id, from, to, at_most: the Gap that the log was opened with, if there is one
	formatName     = "predlog/1"
)

const (
	rowBatch      = 256     // rows handed to the Parquet writer at once
	rowGroupBytes = 4 << 20 // bodies and texts in one row group, which the Parquet writer holds in memory
)

// jsonType is the content type of a body that names none; never written to.
var jsonType = []byte("application/json")

// segmentWriter turns entries of one Series into a Parquet file.
type segmentWriter struct {
	pw    *parquet.GenericWriter[row]
	codec *pageCodec
	batch []row
	arena []byte // backs the texts that a row does not take from its entry; reset with the batch
	group int    // bytes in the open row group

	rows        int64
	first, last int64 // ns
}

func newSegmentWriter() (*segmentWriter, error) {
	codec, err := newPageCodec()
	if err != nil {
		return nil, err
	}
	pw := parquet.NewGenericWriter[row](io.Discard,
		parquet.Compression(codec),
		parquet.CreatedBy("sluice", "1", ""),
		parquet.SkipPageBounds("request"), parquet.SkipPageBounds("response"),
		parquet.SkipPageBounds("request_binary"), parquet.SkipPageBounds("response_binary"),
		parquet.SkipPageBounds("client_request_id"), parquet.SkipPageBounds("trace_id"), // random: any page may hold any
	)
	return &segmentWriter{pw: pw, codec: codec, batch: make([]row, 0, rowBatch), arena: make([]byte, 0, rowBatch*(36+32))}, nil
}

// close frees what the writer holds; a file that is not finished stays so.
func (w *segmentWriter) close() { w.codec.close() }

// reset begins a new file on out.
func (w *segmentWriter) reset(out io.Writer) {
	w.pw.Reset(out)
	w.rows, w.first, w.last = 0, 0, 0
	w.clearBatch()
	w.group = 0
}

func (w *segmentWriter) clearBatch() {
	clear(w.batch)
	w.batch, w.arena = w.batch[:0], w.arena[:0]
}

// add appends an entry, whose bytes must stay until the next flushBatch, finish or reset.
func (w *segmentWriter) add(e *entry) error {
	if w.rows == 0 || e.timeNS < w.first {
		w.first = e.timeNS
	}
	if w.rows == 0 || e.timeNS > w.last {
		w.last = e.timeNS
	}
	w.rows++
	w.batch = append(w.batch, w.row(e))
	w.group += len(e.request) + len(e.response) + 256
	if len(w.batch) == rowBatch {
		return w.flushBatch()
	}
	return nil
}

func (w *segmentWriter) row(e *entry) row {
	r := row{
		PredictionID:     w.text(36, func(b []byte) { encodeUUID(b, e.predictionID) }),
		ClientRequestID:  validText(e.texts[textRequestID]),
		Date:             int32(floorDiv(e.timeNS, int64(24*time.Hour))),
		TimestampMS:      floorDiv(e.timeNS, int64(time.Millisecond)),
		Status:           e.status,
		SamplingFraction: e.fraction(),
		ExecutionTimeMS:  e.latencyNS / int64(time.Millisecond),

		ContentType:         orJSON(e.texts[textContentType]),
		ResponseContentType: orJSON(e.texts[textResponseContentType]),
		Truncated:           e.flags&(flagRequestCut|flagResponseCut|flagTextCut) != 0,

		TimeUS:    floorDiv(e.timeNS, int64(time.Microsecond)),
		Endpoint:  validText(e.texts[textEndpoint]),
		Model:     validText(e.texts[textModel]),
		Version:   e.version,
		Stage:     validText(e.texts[textStage]),
		Arm:       validText(e.texts[textArm]),
		Rule:      validText(e.texts[textRule]),
		Bucket:    max(e.bucket, -1),
		Shadow:    e.flags&flagShadow != 0,
		Cached:    e.flags&flagCached != 0,
		Redaction: []byte(e.redaction().String()),
		ErrorCode: validText(e.texts[textErrorCode]),
		Rows:      e.rows,
		LatencyNS: e.latencyNS,
		QueueNS:   e.queueNS,
		ExecuteNS: e.executeNS,
	}
	if e.traceID != [16]byte{} {
		r.TraceID = w.text(32, func(b []byte) { hex.Encode(b, e.traceID[:]) })
	}
	r.Request, r.RequestBinary = splitBody(e.request, e.flags&flagRequestCut != 0)
	r.Response, r.ResponseBinary = splitBody(e.response, e.flags&flagResponseCut != 0)
	return r
}

// text returns n bytes of the arena, filled by fill.
func (w *segmentWriter) text(n int, fill func([]byte)) []byte {
	at := len(w.arena)
	w.arena = w.arena[:at+n]
	b := w.arena[at : at+n : at+n]
	fill(b)
	return b
}

// flushBatch hands the rows collected to the Parquet writer, which copies them.
func (w *segmentWriter) flushBatch() error {
	if len(w.batch) > 0 {
		if _, err := w.pw.Write(w.batch); err != nil {
			return err
		}
		w.clearBatch()
	}
	if w.group < rowGroupBytes {
		return nil
	}
	w.group = 0
	return w.pw.Flush()
}

// finish writes the footer of s, which gets its Rows, First and Last from the rows added.
func (w *segmentWriter) finish(s *Segment, not missing, gap *Gap) error {
	if err := w.flushBatch(); err != nil {
		return err
	}
	s.Rows, s.First, s.Last = w.rows, time.Unix(0, w.first).UTC(), time.Unix(0, w.last).UTC()
	for _, kv := range [][2]string{
		{metaFormat, formatName},
		{metaSegment, s.ID},
		{metaEndpoint, s.Endpoint},
		{metaModel, s.Model},
		{metaVersion, strconv.Itoa(s.Version)},
		{metaRows, strconv.FormatInt(s.Rows, 10)},
		{metaFirst, s.First.Format(time.RFC3339Nano)},
		{metaLast, s.Last.Format(time.RFC3339Nano)},
	} {
		w.pw.SetKeyValueMetadata(kv[0], kv[1])
	}
	for _, reason := range Reasons() {
		w.pw.SetKeyValueMetadata(metaDropped+reason.String(), strconv.FormatInt(not.drops[reason], 10))
	}
	w.pw.SetKeyValueMetadata(metaSampledOut, strconv.FormatInt(not.sampledOut, 10))
	if gap != nil {
		w.pw.SetKeyValueMetadata(metaGap+"id", gap.ID)
		w.pw.SetKeyValueMetadata(metaGap+"from", gap.From.Format(time.RFC3339Nano))
		w.pw.SetKeyValueMetadata(metaGap+"to", gap.To.Format(time.RFC3339Nano))
		w.pw.SetKeyValueMetadata(metaGap+"at_most", strconv.FormatInt(gap.AtMost, 10))
	}
	return w.pw.Close()
}

// segmentOf reads the footer of a finished segment file.
func segmentOf(f io.ReaderAt, path string, size int64) (Segment, error) {
	pf, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return Segment{}, fmt.Errorf("open %s: %w", path, err)
	}
	s, err := footer(pf)
	if err != nil {
		return Segment{}, fmt.Errorf("open %s: %w", path, err)
	}
	s.Path, s.Bytes = path, size
	return s, nil
}

// footer reads what a segment says of itself; Path and Bytes stay empty.
func footer(pf *parquet.File) (s Segment, err error) {
	meta := func(key string) string { v, _ := pf.Lookup(key); return v }
	if got := meta(metaFormat); got != formatName {
		return s, fmt.Errorf("%s is %q, want %q", metaFormat, got, formatName)
	}
	s = Segment{ID: meta(metaSegment), Rows: pf.NumRows()}
	s.Endpoint, s.Model = meta(metaEndpoint), meta(metaModel)
	if s.Version, err = strconv.Atoi(meta(metaVersion)); err != nil {
		return s, fmt.Errorf("%s: %w", metaVersion, err)
	}
	if s.First, err = time.Parse(time.RFC3339Nano, meta(metaFirst)); err != nil {
		return s, fmt.Errorf("%s: %w", metaFirst, err)
	}
	if s.Last, err = time.Parse(time.RFC3339Nano, meta(metaLast)); err != nil {
		return s, fmt.Errorf("%s: %w", metaLast, err)
	}
	return s, nil
}

// splitBody returns the body as text if it is UTF-8, else as binary. A cut body loses the piece of a character that the cut left.
func splitBody(b []byte, cut bool) (text, binary []byte) {
	if len(b) == 0 {
		return nil, nil
	}
	if utf8.Valid(b) {
		return b, nil
	}
	if cut {
		for n := 1; n < utf8.UTFMax && n < len(b); n++ {
			if utf8.RuneStart(b[len(b)-n]) {
				if whole := b[:len(b)-n]; utf8.Valid(whole) {
					return whole, nil
				}
				break
			}
		}
	}
	return nil, b
}

// validText returns b as UTF-8, nil if it is empty; bytes that are none become U+FFFD.
func validText(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if utf8.Valid(b) {
		return b
	}
	return bytes.ToValidUTF8(b, []byte("\uFFFD"))
}

func orJSON(b []byte) []byte {
	if len(b) == 0 {
		return jsonType
	}
	return validText(b)
}

func encodeUUID(dst []byte, id [16]byte) {
	text, _ := uuid.UUID(id).MarshalText()
	copy(dst, text)
}

// floorDiv divides rounding down, also before 1970.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
