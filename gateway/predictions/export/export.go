// Package export writes prediction records in the formats that people load: JSON, JSON lines, CSV, Arrow streams and Parquet.
//
// It owns the formats and their columns, which are those of a segment (gateway/predlog/DESIGN.md). It is called by predictions/rest; it
// must not know HTTP, where segments lie, or who asks. An export reads one segment at a time and holds a few MiB at most.
package export

import (
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
)

// Format is how records are written.
type Format string

// The formats.
const (
	JSON    Format = "json"  // {"predictions": […], "next_page_token": …, "follow_token": …}
	Lines   Format = "jsonl" // an object a line
	CSV     Format = "csv"   // with a header line
	Arrow   Format = "arrow" // an Arrow IPC stream
	Parquet Format = "parquet"
)

// mediaTypes of the formats; the first of each is the one that is answered.
var mediaTypes = map[Format][]string{
	JSON:    {"application/json"},
	Lines:   {"application/x-ndjson", "application/jsonl", "application/jsonlines"},
	CSV:     {"text/csv"},
	Arrow:   {"application/vnd.apache.arrow.stream"},
	Parquet: {"application/vnd.apache.parquet", "application/x-parquet"},
}

// Formats lists the formats.
func Formats() []Format { return []Format{JSON, Lines, CSV, Arrow, Parquet} }

// MediaType returns the content type of a format.
func (f Format) MediaType() string { return mediaTypes[f][0] }

// OfMediaType returns the format with this content type, without parameters and in lower case.
func OfMediaType(media string) (Format, bool) {
	for _, f := range Formats() {
		for _, m := range mediaTypes[f] {
			if m == media {
				return f, true
			}
		}
	}
	return "", false
}

// Request says what is written.
type Request struct {
	Query predictions.Query
	After predictions.Position
	// Limit is how many records at most; 0 means all.
	Limit int
	// First are records that come before those of the query, counted by Limit too.
	First []predlog.Row
	// Only says that there are no others.
	Only bool
	// Token and Follow, of JSON, make tokens of places: of the next page, and of what is delivered after the newest record answered.
	Token, Follow func(predictions.Position) string
}

// rowWriter writes records one by one, each with its place, which is zero for those that came first. end is called once, with the place where there is more, nil if there is none.
type rowWriter interface {
	row(r *predlog.Row, at predictions.Position) error
	end(more *predictions.Position) error
}

// Write writes the records in the format. An error may leave a part written, which is then not a whole document of the format, but for
// lines and CSV.
func Write(ctx context.Context, w io.Writer, reader *predictions.Reader, format Format, q Request) error {
	switch format {
	case JSON:
		return writeRows(ctx, reader, &jsonWriter{w: w, q: q, newest: q.After}, q)
	case Lines:
		return writeRows(ctx, reader, &linesWriter{w: w}, q)
	case CSV:
		return writeRows(ctx, reader, &csvWriter{w: csv.NewWriter(w)}, q)
	case Arrow:
		return writeRows(ctx, reader, newArrowWriter(w), q)
	case Parquet:
		return writeParquet(ctx, w, reader, q)
	}
	return fmt.Errorf("export: unknown format %q", format)
}

// writeRows hands the records to out, one more than the limit being read to know whether there is more.
func writeRows(ctx context.Context, reader *predictions.Reader, out rowWriter, q Request) error {
	written := 0
	first := make(map[[16]byte]bool, len(q.First)) // some may have been delivered meanwhile
	for i := range q.First {
		if q.Limit > 0 && written == q.Limit {
			return out.end(&predictions.Position{})
		}
		if err := out.row(&q.First[i], predictions.Position{}); err != nil {
			return err
		}
		first[q.First[i].PredictionID] = true
		written++
	}
	if q.Only {
		return out.end(nil)
	}
	last := q.After
	for found, err := range reader.Rows(ctx, q.Query, q.After) {
		if err != nil {
			return err
		}
		if first[found.PredictionID] {
			last = found.Position
			continue
		}
		if q.Limit > 0 && written == q.Limit {
			return out.end(&last)
		}
		if err := out.row(&found.Row, found.Position); err != nil {
			return err
		}
		last = found.Position
		written++
	}
	return out.end(nil)
}

// smallSegment is the number of rows below which a segment is written anew together with its neighbours: files of very many small row
// groups are slow to read.
const smallSegment = 4096

// writeParquet copies segments that match as a whole, and picks the rows of the others.
func writeParquet(ctx context.Context, w io.Writer, reader *predictions.Reader, q Request) error {
	j, err := predlog.NewJoiner(w)
	if err != nil {
		return err
	}
	pick := &joinedRows{j}
	if q.Limit > 0 || q.After != (predictions.Position{}) || q.Only || len(q.First) > 0 || q.Query.Newest {
		return errors.Join(writeRows(ctx, reader, pick, q), j.Close())
	}
	for s, err := range reader.Segments(ctx, q.Query, 0) {
		if err == nil {
			err = writeSegment(ctx, reader, j, &q.Query, s)
		}
		if err != nil {
			return errors.Join(err, j.Close())
		}
	}
	return j.Close()
}

func writeSegment(ctx context.Context, reader *predictions.Reader, j *predlog.Joiner, q *predictions.Query, s predictions.Segment) error {
	whole := q.Covers(s) && s.Rows >= smallSegment
	return reader.Open(ctx, s, func(at io.ReaderAt, f *predlog.SegmentFile) error {
		if whole {
			if err := j.Segment(at, f); !errors.Is(err, predlog.ErrColumns) {
				return err
			}
		}
		for r, err := range f.Rows(0) {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil && q.Matches(&r) {
				err = j.Row(&r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

type joinedRows struct{ j *predlog.Joiner }

func (w *joinedRows) row(r *predlog.Row, _ predictions.Position) error { return w.j.Row(r) }
func (w *joinedRows) end(more *predictions.Position) error             { return nil }

type jsonWriter struct {
	w      io.Writer
	q      Request
	buf    []byte
	rows   int
	newest predictions.Position // of the records so far
}

func (w *jsonWriter) row(r *predlog.Row, at predictions.Position) error {
	w.buf = append(w.buf[:0], ", "...)
	if w.rows == 0 {
		w.buf = append(w.buf[:0], `{"predictions": [`...)
	}
	w.rows++
	if at != (predictions.Position{}) && (!w.q.Query.Newest || w.newest == predictions.Position{}) {
		w.newest = at
	}
	w.buf = appendObject(w.buf, r)
	_, err := w.w.Write(w.buf)
	return err
}

func (w *jsonWriter) end(more *predictions.Position) error {
	end := []byte("]")
	if w.rows == 0 {
		end = []byte(`{"predictions": []`)
	}
	if more != nil && w.q.Token != nil {
		end = fmt.Appendf(end, `, "next_page_token": "%s"`, w.q.Token(*more))
	}
	if w.newest != (predictions.Position{}) && w.q.Follow != nil {
		end = fmt.Appendf(end, `, "follow_token": "%s"`, w.q.Follow(w.newest))
	}
	_, err := w.w.Write(append(end, '}'))
	return err
}

// Object returns one record as JSON.
func Object(r *predlog.Row) json.RawMessage { return appendObject(nil, r) }

// appendObject appends the record as a JSON object; what is null is left out.
func appendObject(dst []byte, r *predlog.Row) []byte {
	dst = append(dst, '{')
	for i := range columns {
		v := columns[i].value(r)
		if v == nil {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ", "...)
		}
		dst = append(append(append(dst, '"'), columns[i].name...), `": `...)
		dst = columns[i].appendJSON(dst, v)
	}
	return append(dst, '}')
}

type linesWriter struct {
	w   io.Writer
	buf []byte
}

func (w *linesWriter) row(r *predlog.Row, _ predictions.Position) error {
	w.buf = append(appendObject(w.buf[:0], r), '\n')
	_, err := w.w.Write(w.buf)
	return err
}

func (w *linesWriter) end(*predictions.Position) error { return nil }

type csvWriter struct {
	w      *csv.Writer
	fields []string
}

func (w *csvWriter) header() error {
	if w.fields != nil {
		return nil
	}
	w.fields = make([]string, len(columns))
	for i := range columns {
		w.fields[i] = columns[i].name
	}
	return w.w.Write(w.fields)
}

func (w *csvWriter) row(r *predlog.Row, _ predictions.Position) error {
	if err := w.header(); err != nil {
		return err
	}
	for i := range columns {
		w.fields[i] = columns[i].text(columns[i].value(r))
	}
	return w.w.Write(w.fields)
}

func (w *csvWriter) end(*predictions.Position) error {
	err := w.header()
	w.w.Flush()
	return errors.Join(err, w.w.Error())
}

// text writes a value for CSV; null is empty.
func (c *column) text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case int64:
		switch c.kind {
		case kindDate:
			return time.Unix(v*86400, 0).UTC().Format(time.DateOnly)
		case kindTime:
			return time.UnixMicro(v).UTC().Format(time.RFC3339Nano)
		}
		return strconv.FormatInt(v, 10)
	}
	return fmt.Sprint(v)
}

func (c *column) appendJSON(dst []byte, v any) []byte {
	quoted := c.kind == kindText || c.kind == kindBinary || c.kind == kindDate || c.kind == kindTime
	text := c.text(v)
	if !quoted {
		return append(dst, text...)
	}
	b, err := json.Marshal(text)
	if err != nil { // no text fails
		return append(dst, `""`...)
	}
	return append(dst, b...)
}
