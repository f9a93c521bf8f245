package rest

import (
	"strconv"

	"sluice/tracking/wire"
)

// metricList is the metrics of a batch. A training loop sends thousands at a time, for which reflection costs as much as storing them.
type metricList []metricRequest

var _ wire.Shortcut = (*metricList)(nil)

// ReadJSON implements wire.Shortcut for what clients send: objects of the fields below, each at most once, with plain texts and numbers.
// Everything else, mistakes above all, is left to the tags.
func (l *metricList) ReadJSON(data []byte) (n, values int, ok bool) {
	c := cursor{data: data}
	out := make(metricList, 0, min(1000, len(data)/minMetricBytes+1))
	if !c.take('[') {
		return 0, 0, false
	}
	for more := !c.take(']'); more; more = !c.take(']') {
		if len(out) > 0 && !c.take(',') {
			return 0, 0, false
		}
		if len(out) == maxQuickMetrics {
			return 0, 0, false
		}
		var m metricRequest
		if len(out) > 0 {
			m.Key = out[len(out)-1].Key // neighbours mostly share it
		}
		fields, ok := m.read(&c)
		if !ok {
			return 0, 0, false
		}
		out, values = append(out, m), values+1+2*fields
	}
	*l = out
	return c.pos, values + 1, true
}

const (
	minMetricBytes  = 40     // of a metric in a document
	maxQuickMetrics = 50_000 // far beyond what a batch may have
)

// Fields of a metric, as bits.
const (
	hasKey = 1 << iota
	hasValue
	hasTimestamp
	hasStep
	hasModel
	hasDataset
	hasDigest
	required = hasKey | hasValue | hasTimestamp
)

// read reads one object. m.Key may hold what the key probably is.
func (m *metricRequest) read(c *cursor) (fields int, ok bool) {
	if !c.take('{') {
		return 0, false
	}
	probably, seen := m.Key, 0
	for more := true; more; more = c.take(',') {
		name, ok := c.text()
		if !ok || !c.take(':') {
			return 0, false
		}
		bit := 0
		switch string(name) {
		case "key":
			bit, ok = hasKey, c.str(&m.Key, probably)
		case "value":
			bit, ok = hasValue, c.float(&m.Value)
		case "timestamp":
			bit, ok = hasTimestamp, c.int(&m.TimestampMS)
		case "step":
			bit, ok = hasStep, c.int(&m.Step)
		case "model_id":
			bit, ok = hasModel, c.str(&m.ModelID, "")
		case "dataset_name":
			bit, ok = hasDataset, c.str(&m.DatasetName, "")
		case "dataset_digest":
			bit, ok = hasDigest, c.str(&m.DatasetDigest, "")
		}
		if !ok || bit == 0 || seen&bit != 0 {
			return 0, false
		}
		seen |= bit
		fields++
	}
	return fields, seen&required == required && c.take('}')
}

// cursor reads the plainest JSON. Its methods report whether that is what comes next.
type cursor struct {
	data []byte
	pos  int
}

func (c *cursor) blanks() {
	for c.pos < len(c.data) {
		switch c.data[c.pos] {
		case ' ', '\n', '\r', '\t':
			c.pos++
		default:
			return
		}
	}
}

// take consumes b if it is the next token.
func (c *cursor) take(b byte) bool {
	c.blanks()
	if c.pos < len(c.data) && c.data[c.pos] == b {
		c.pos++
		return true
	}
	return false
}

// text consumes a text of printable ASCII without escapes.
func (c *cursor) text() ([]byte, bool) {
	if !c.take('"') {
		return nil, false
	}
	start := c.pos
	for ; c.pos < len(c.data); c.pos++ {
		switch b := c.data[c.pos]; {
		case b == '"':
			c.pos++
			return c.data[start : c.pos-1], true
		case b < ' ' || b > '~' || b == '\\':
			return nil, false
		}
	}
	return nil, false
}

// str consumes a text that is not empty. One equal to probably is not copied.
func (c *cursor) str(into *string, probably string) bool {
	b, ok := c.text()
	if string(b) == probably {
		*into = probably
	} else {
		*into = string(b)
	}
	return ok && len(b) > 0
}

// number consumes a number of RFC 8259's grammar; whole says that it has neither fraction nor exponent.
func (c *cursor) number() (text []byte, whole, ok bool) {
	c.blanks()
	start, n := c.pos, 0
	if c.pos < len(c.data) && c.data[c.pos] == '-' {
		c.pos++
	}
	first := c.pos
	if n = c.digits(); n == 0 || n > 1 && c.data[first] == '0' {
		return nil, false, false
	}
	whole = true
	if c.pos < len(c.data) && c.data[c.pos] == '.' {
		c.pos++
		if whole = false; c.digits() == 0 {
			return nil, false, false
		}
	}
	if c.pos < len(c.data) && (c.data[c.pos] == 'e' || c.data[c.pos] == 'E') {
		if c.pos++; c.pos < len(c.data) && (c.data[c.pos] == '+' || c.data[c.pos] == '-') {
			c.pos++
		}
		if whole = false; c.digits() == 0 {
			return nil, false, false
		}
	}
	return c.data[start:c.pos], whole, true
}

func (c *cursor) digits() (n int) {
	for c.pos < len(c.data) && c.data[c.pos] >= '0' && c.data[c.pos] <= '9' {
		c.pos++
		n++
	}
	return n
}

func (c *cursor) float(into *float64) bool {
	text, _, ok := c.number()
	if !ok {
		return false
	}
	v, err := strconv.ParseFloat(string(text), 64)
	*into = v
	return err == nil
}

// int consumes a number without fraction or exponent.
func (c *cursor) int(into *int64) bool {
	text, whole, ok := c.number()
	if !ok || !whole {
		return false
	}
	v, err := strconv.ParseInt(string(text), 10, 64)
	*into = v
	return err == nil
}
