package payload

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"sluice/runtime/tensor"
)

// quickColumn reports whether the quick way can read a column of type d.
func quickColumn(d tensor.DType) bool {
	return d == tensor.Float32 || d == tensor.Float64 || d == tensor.Int32 || d == tensor.Int64 || d == tensor.Bool
}

// quickTensor reports whether the quick way can read a tensor of type d.
func quickTensor(d tensor.DType) bool { return d.Numeric() }

// decodeQuick reads a body of a single key by the quick way. It reports false, having changed nothing but scratch memory and the
// batch, whenever the body is not of the plain kind; then the thorough way decides.
func (p *Plan) decodeQuick(body []byte, in *Input) bool {
	c := cursor{b: body}
	if !c.take('{') || !c.take('"') {
		return false
	}
	rest := body[c.i:]
	var ok bool
	switch {
	case p.columns != nil && c.takeKey(rest, keySplit):
		ok = p.quickSplit(&c, in)
	case p.columns != nil && c.takeKey(rest, keyRecords):
		ok = p.quickRecords(&c, in)
	case c.takeKey(rest, keyInputs), c.takeKey(rest, keyInstances):
		ok = p.quickArrays(&c, in)
	}
	return ok && c.take('}') && c.atEnd()
}

// hasKey reports whether b begins with the rest of a JSON string that is key.
func hasKey(b []byte, key string) bool {
	return len(b) > len(key) && b[len(key)] == '"' && string(b[:len(key)]) == key
}

// takeKey reads the rest of a key, with its colon, if it is the given one.
func (c *cursor) takeKey(rest []byte, key string) bool {
	if !hasKey(rest, key) {
		return false
	}
	c.i += len(key) + 1
	return c.take(':')
}

// cursor reads a text from left to right.
type cursor struct {
	b []byte
	i int
}

// take skips white space and then the byte x; false if something else stands there.
func (c *cursor) take(x byte) bool {
	if c.i < len(c.b) && c.b[c.i] == x {
		c.i++
		return true
	}
	return c.takeSpaced(x)
}

func (c *cursor) skipSpace() {
	for c.i < len(c.b) && isSpace(c.b[c.i]) {
		c.i++
	}
}

func (c *cursor) takeSpaced(x byte) bool {
	c.skipSpace()
	if c.i < len(c.b) && c.b[c.i] == x {
		c.i++
		return true
	}
	return false
}

func (c *cursor) atEnd() bool {
	c.skipSpace()
	return c.i == len(c.b)
}

// separator reads ',' (true) or closing (false); ok is false for anything else.
func (c *cursor) separator(closing byte) (more, ok bool) {
	if c.take(',') {
		return true, true
	}
	return false, c.take(closing)
}

// float reads a number for a float column: the usual forms here, all others through slowWord. It is the innermost loop of decoding.
func (c *cursor) float() (uint64, bool) {
	b, i := c.b, c.i
	if i < len(b) && b[i] == ' ' {
		i++
	}
	neg := i < len(b) && b[i] == '-'
	if neg {
		i++
	}
	first := i
	var m uint64
	for i < len(b) && b[i]-'0' <= 9 {
		m = m*10 + uint64(b[i]-'0')
		i++
	}
	whole := i - first
	if whole == 0 || (whole > 1 && b[first] == '0') || i >= len(b) || b[i] != '.' {
		return c.slowWord(tensor.Float64)
	}
	i++
	point := i
	for len(b)-i >= 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if !eightDigits(w) {
			break
		}
		m = m*100_000_000 + parseEight(w)
		i += 8
	}
	for i < len(b) && b[i]-'0' <= 9 {
		m = m*10 + uint64(b[i]-'0')
		i++
	}
	if i == point || whole+i-point > 19 || i >= len(b) || b[i]|0x20 == 'e' {
		return c.slowWord(tensor.Float64)
	}
	f := float64(m)
	if places := i - point; m < 1<<53 && places < len(pow10) {
		f /= pow10[places]
	} else {
		var ok bool
		if f, ok = scaled(m, -places); !ok {
			return c.slowWord(tensor.Float64)
		}
	}
	c.i = i
	w := math.Float64bits(f)
	if neg {
		w |= 1 << 63
	}
	return w, true
}

// word reads a value for an element of type d that needs no conversion worth a thought; see Input.words.
func (c *cursor) word(d tensor.DType) (uint64, bool) {
	if d.Float() {
		return c.float()
	}
	return c.slowWord(d)
}

func (c *cursor) slowWord(d tensor.DType) (uint64, bool) {
	c.skipSpace()
	if c.i >= len(c.b) {
		return 0, false
	}
	if c.b[c.i] >= 'N' {
		return c.letters(d)
	}
	f, n, class, end := parseNumber(c.b, c.i)
	if end < 0 || d == tensor.Bool {
		return 0, false
	}
	c.i = end
	if d.Float() {
		// Whether an integer over 2^53 rounds once or twice depends on the rest of its column.
		return math.Float64bits(f), class == classFloat || (n <= 1<<53 && n >= -1<<53 && class == classInt)
	}
	lo, hi := integerRange(d)
	return uint64(n), class == classInt && n >= lo && n <= hi
}

// letters reads null and NaN for floats, true and false for booleans.
func (c *cursor) letters(d tensor.DType) (uint64, bool) {
	rest := c.b[c.i:]
	switch {
	case d.Float() && bytes.HasPrefix(rest, []byte("null")):
		c.i += len("null")
		return math.Float64bits(math.NaN()), true
	case d.Float() && bytes.HasPrefix(rest, []byte("NaN")):
		c.i += len("NaN")
		return math.Float64bits(math.NaN()), true
	case d == tensor.Bool && bytes.HasPrefix(rest, []byte("true")):
		c.i += len("true")
		return 1, true
	case d == tensor.Bool && bytes.HasPrefix(rest, []byte("false")):
		c.i += len("false")
		return 0, true
	}
	return 0, false
}

// scalar reads a number, null, NaN or boolean that nobody wants.
func (c *cursor) scalar() bool {
	c.skipSpace()
	if c.i < len(c.b) && c.b[c.i] >= 'N' {
		_, ok := c.letters(tensor.Float64)
		if !ok {
			_, ok = c.letters(tensor.Bool)
		}
		return ok
	}
	end := numberEnd(c.b, c.i)
	if end >= 0 {
		c.i = end
	}
	return end >= 0
}

// key reads an object's key, with its colon, that is the name of a column or tensor. next is the guess: clients send names in the
// schema's order.
func (p *Plan) key(c *cursor, next int) (int, bool) {
	if !c.take('"') {
		return 0, false
	}
	i, ok := p.name(c, next)
	return i, ok && i >= 0 && c.take(':')
}

// name reads the rest of a string; −1 if it is no name of a column or tensor. Strings that need decoding are not plain: false.
func (p *Plan) name(c *cursor, next int) (int, bool) {
	rest := c.b[c.i:]
	if next < len(p.byName) {
		if n := p.nameOf(next); hasKey(rest, n) {
			c.i += len(n) + 1
			return next, true
		}
	}
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return 0, false
	}
	c.i += end + 1
	if i, ok := p.byName[string(rest[:end])]; ok {
		return i, true
	}
	return -1, plainText(rest[:end])
}

// plainText reports whether a string's text in JSON is the string itself.
func plainText[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x80 || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return true
}

func (p *Plan) nameOf(i int) string {
	if p.columns != nil {
		return p.columns[i].name
	}
	return p.tensors[i].name
}

// finishTable makes the batch of what stands in words: row r of column i of the schema at seen[i] + r × stride.
// A table without columns is left to the thorough way.
func (p *Plan) finishTable(in *Input, rows, stride int) bool {
	in.Batch.Reset(tensor.Table)
	in.Batch.Rows = rows
	for i := range p.columns {
		at := int(in.seen[i])
		if at < 0 {
			continue
		}
		c := &p.columns[i]
		if rows == 1 {
			storeOne(in.Batch.AddColumn(c.name), c.dtype, in.words[at])
			continue
		}
		in.shape = append(in.shape[:0], int64(rows))
		store(in.Batch.AddColumn(c.name), c.dtype, in.shape, in.words, at, stride)
	}
	return len(in.Batch.Columns) > 0
}

// forget marks every column as not seen.
func (p *Plan) forget(in *Input) {
	in.seen = slices.Grow(in.seen[:0], len(p.columns))[:len(p.columns)]
	for i := range in.seen {
		in.seen[i] = -1
	}
	in.order = in.order[:0]
}

// complete reports whether every required column was seen.
func (p *Plan) complete(in *Input) bool {
	for i := range p.columns {
		if in.seen[i] < 0 && p.columns[i].required {
			return false
		}
	}
	return true
}

// storeOne is store for a column of one row. Usually the slot held the same column of an earlier row.
func storeOne(t *tensor.Tensor, d tensor.DType, w uint64) {
	if t.Type != d || len(t.Shape) != 1 || t.Shape[0] != 1 {
		t.ResetDirty(d, 1)
	}
	switch d {
	case tensor.Float32:
		tensor.Of[float32](t)[0] = float32(math.Float64frombits(w))
	case tensor.Float64, tensor.Int64:
		tensor.Of[uint64](t)[0] = w
	case tensor.Int32:
		tensor.Of[int32](t)[0] = int32(w)
	case tensor.Bool:
		tensor.Of[bool](t)[0] = w != 0
	}
}
