package payload

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice/runtime/tensor"
)

// table is a CSV text cut into fields: field (r, c) is fields[r*width+c]. Short lines are filled with absent fields.
type table struct {
	names  []string
	width  int
	rows   int
	fields []field
}

// field is one value of a CSV text, still in the body unless it held doubled quotes.
type field struct {
	text []byte
	na   bool // one of pandas' words for a missing value, or not there
}

// naWords are the texts that pandas reads as missing (source: pandas/_libs/parsers.pyx, STR_NA_VALUES).
var naWords = map[string]bool{
	"": true, "#N/A": true, "#N/A N/A": true, "#NA": true, "-1.#IND": true, "-1.#QNAN": true, "-NaN": true, "-nan": true, "1.#IND": true,
	"1.#QNAN": true, "<NA>": true, "N/A": true, "NA": true, "NULL": true, "NaN": true, "None": true, "n/a": true, "nan": true, "null": true,
}

// decodeCSV reads a header line and rows, with pandas.read_csv's rules: commas, double quotes, blank lines skipped, missing values by
// word. Columns take the signature's types, or those that pandas would infer.
func (p *Plan) decodeCSV(body []byte, in *Input) error {
	if len(p.tensors) > 0 {
		return badf("Text of CSV cannot become tensors; this model's signature needs JSON.")
	}
	if !utf8.Valid(body) {
		return badf("Ensure that input is a valid UTF-8 encoded string.")
	}
	t, err := readTable(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), p.maxCells)
	if err != nil {
		return err
	}
	in.Batch.Reset(tensor.Table)
	in.Batch.Rows = t.rows
	if !p.typed {
		return t.infer(in)
	}
	at, err := p.matchColumns(t.names, true)
	if err != nil {
		return err
	}
	for i := range p.columns {
		if at[i] < 0 {
			continue
		}
		c, name := &p.columns[i], t.names[at[i]]
		if c.dtype == tensor.Invalid {
			return nestedError(name, c.want())
		}
		if err := t.convert(in.Batch.AddColumn(name), at[i], c.dtype, c.want(), in); err != nil {
			return err
		}
	}
	return nil
}

func csvError(format string, args ...any) error {
	return badf("Failed to parse input as a Pandas DataFrame. Ensure that the input is a valid CSV-formatted table with a header line. "+
		"Error: %s", fmt.Sprintf(format, args...))
}

func readTable(body []byte, maxCells int) (*table, error) {
	r := &csvReader{b: body}
	if !r.line() {
		return nil, csvError("no columns to parse from the body")
	}
	t := &table{}
	for _, f := range r.fields {
		t.names = append(t.names, string(f.text))
	}
	t.width = len(t.names)
	t.mangle()
	for r.line() {
		if n := len(r.fields); n > t.width {
			return nil, csvError("row %d has %d values where there are %d columns", t.rows, n, t.width)
		}
		t.rows++
		if t.rows > maxCells/t.width {
			return nil, tooManyCells(maxCells)
		}
		t.fields = append(t.fields, r.fields...)
		for range t.width - len(r.fields) {
			t.fields = append(t.fields, field{na: true})
		}
	}
	if r.open {
		return nil, csvError("the body ends inside a quoted value that began in row %d", t.rows)
	}
	return t, nil
}

// mangle names columns as pandas does: "Unnamed: 2" for an empty name, "x.1" for the second x.
func (t *table) mangle() {
	seen := map[string]bool{}
	for i, name := range t.names {
		if name == "" {
			name = fmt.Sprintf("Unnamed: %d", i)
		}
		for n, base := 1, name; seen[name]; n++ {
			name = fmt.Sprintf("%s.%d", base, n)
		}
		seen[name] = true
		t.names[i] = name
	}
}

// csvReader cuts a text into lines of fields.
type csvReader struct {
	b      []byte
	i      int
	fields []field
	open   bool // the text ended inside quotes
}

// line reads the next line that is not blank into fields; false at the end or inside open quotes.
func (r *csvReader) line() bool {
	r.fields = r.fields[:0]
	for r.i < len(r.b) {
		end := r.i
		for end < len(r.b) && (r.b[end] == ' ' || r.b[end] == '\t') {
			end++
		}
		if end < len(r.b) && !isLineEnd(r.b[end]) {
			break
		}
		r.i = min(end+1, len(r.b))
	}
	if r.i >= len(r.b) {
		return false
	}
	for r.field() {
	}
	return !r.open
}

func isLineEnd(c byte) bool { return c == '\n' || c == '\r' }

// field reads one field and what ends it; false at the end of the line.
func (r *csvReader) field() bool {
	start := r.i
	var text []byte
	if r.i < len(r.b) && r.b[r.i] == '"' {
		text = r.quoted()
		start = r.i
	}
	for r.i < len(r.b) && r.b[r.i] != ',' && !isLineEnd(r.b[r.i]) {
		r.i++
	}
	if text == nil {
		text = r.b[start:r.i]
	} else if r.i > start {
		text = append(slices.Clone(text), r.b[start:r.i]...)
	}
	r.fields = append(r.fields, field{text, naWords[string(text)]})
	if r.i >= len(r.b) {
		return false
	}
	end := r.b[r.i]
	r.i++
	if end == '\r' && r.i < len(r.b) && r.b[r.i] == '\n' {
		r.i++
	}
	return end == ','
}

// quoted reads a quoted text and returns it without its quotes, doubled ones made single; never nil.
func (r *csvReader) quoted() []byte {
	r.i++
	start := r.i
	var out []byte
	for {
		n := bytes.IndexByte(r.b[r.i:], '"')
		if n < 0 {
			r.open = true
			r.i = len(r.b)
			return []byte{}
		}
		r.i += n + 1
		if r.i >= len(r.b) || r.b[r.i] != '"' {
			break
		}
		out = append(out, r.b[start:r.i]...)
		r.i++
		start = r.i
	}
	if out == nil {
		return r.b[start : r.i-1 : r.i-1]
	}
	return append(out, r.b[start:r.i-1]...)
}

// convert fills a tensor of type d with column c.
func (t *table) convert(out *tensor.Tensor, c int, d tensor.DType, want string, in *Input) error {
	name := t.names[c]
	if d.Text() {
		return t.convertText(out, c, d, want, in)
	}
	words := slices.Grow(in.words[:0], t.rows)
	for r := range t.rows {
		f := &t.fields[r*t.width+c]
		w, bad := missing(d)
		if !f.na {
			w, bad = csvWord(string(f.text), d)
		}
		if bad != "" {
			return convertError(name, r, want, bad)
		}
		words = append(words, w)
	}
	in.words = words
	in.shape = append(in.shape[:0], int64(t.rows))
	store(out, d, in.shape, words, 0, 1)
	return nil
}

func (t *table) convertText(out *tensor.Tensor, c int, d tensor.DType, want string, in *Input) error {
	out.Reset(d, int64(t.rows))
	to := out.Strings()
	absent := func(row int) bool { return t.fields[row*t.width+c].na }
	some := false
	for r := range to {
		f := &t.fields[r*t.width+c]
		switch {
		case f.na && d == tensor.String:
			some = true
			continue
		case f.na:
			return convertError(t.names[c], r, want, noValue)
		}
		to[r] = string(f.text)
		if d == tensor.Binary {
			var ok bool
			if to[r], ok = decodeBase64(to[r]); !ok {
				return convertError(t.names[c], r, want, "a string that is not Base64")
			}
		}
	}
	if some {
		in.withMissing(absent)
	}
	return nil
}

// csvWord converts a field as pandas' CSV parser does.
func csvWord(s string, d tensor.DType) (w uint64, bad string) {
	switch {
	case d == tensor.Datetime:
		ns, bad := isoNanoseconds(s, false)
		return uint64(ns), bad
	case d == tensor.Bool:
		return csvBool(s)
	case strings.Contains(s, "_"):
		return 0, noNumber
	case d.Float():
		return stringWord(s, d)
	}
	if w, bad = stringWord(s, d); bad != noNumber {
		return w, bad
	}
	f, ok := floatText(s)
	if !ok || math.Trunc(f) != f {
		return 0, noNumber
	}
	return truncate(f, d)
}

func csvBool(s string) (uint64, string) {
	switch s {
	case "True", "TRUE", "true", "1", "1.0":
		return 1, ""
	case "False", "FALSE", "false", "0", "0.0":
		return 0, ""
	}
	return 0, "a string that is no boolean"
}

// infer gives every column the type that pandas would infer.
func (t *table) infer(in *Input) error {
	for c, name := range t.names {
		d := t.dtype(c)
		if err := t.convert(in.Batch.AddColumn(name), c, d, d.String(), in); err != nil {
			return err
		}
	}
	return nil
}

// dtype tries integers, floats, booleans and text in this order.
func (t *table) dtype(c int) tensor.DType {
	ints, floats, bools, nulls, values := true, true, true, false, false
	for r := range t.rows {
		f := &t.fields[r*t.width+c]
		if f.na {
			nulls = true
			continue
		}
		values = true
		s := string(f.text)
		if ints {
			_, bad := csvWordInt(s)
			ints = !bad
		}
		if floats && !ints {
			_, bad := csvWord(s, tensor.Float64)
			floats = bad == ""
		}
		if bools {
			_, bad := csvBool(s)
			bools = bad == "" && s[0] > '9'
		}
	}
	switch {
	case !values, ints && nulls, floats && !ints:
		return tensor.Float64
	case ints:
		return tensor.Int64
	case bools:
		return tensor.Bool
	}
	return tensor.String
}

func csvWordInt(s string) (n int64, bad bool) {
	n, huge, ok := intText(s)
	return n, huge || !ok || strings.Contains(s, "_")
}
