package payload

import "bytes"

// quickSplit reads dataframe_split with "columns" before "data". Columns that the schema lacks are read as numbers and dropped.
func (p *Plan) quickSplit(c *cursor, in *Input) bool {
	if !c.take('{') {
		return false
	}
	index, rows, named := -1, -1, false
	for more := true; more; {
		if !c.take('"') {
			return false
		}
		rest, ok := c.b[c.i:], false
		switch {
		case !named && c.takeKey(rest, "columns"):
			named = p.quickColumns(c, in)
			ok = named
		case named && rows < 0 && c.takeKey(rest, "data"):
			rows = p.quickRows(c, in)
			ok = rows >= 0
		case index < 0 && c.takeKey(rest, "index"):
			index = c.countNumbers()
			ok = index >= 0
		}
		if !ok {
			return false
		}
		if more, ok = c.separator('}'); !ok {
			return false
		}
	}
	if rows < 0 || (index >= 0 && index != rows) {
		return false
	}
	return p.finishTable(in, rows, len(in.order))
}

// countNumbers reads a list of numbers and returns how many there are; −1 if it is something else.
func (c *cursor) countNumbers() int {
	if !c.take('[') {
		return -1
	}
	if c.take(']') {
		return 0
	}
	for n := 1; ; n++ {
		if !c.scalar() {
			return -1
		}
		more, ok := c.separator(']')
		if !ok {
			return -1
		}
		if !more {
			return n
		}
	}
}

// quickColumns reads the list of column names into order and seen. The same text as the last time, for the same plan, needs no reading.
func (p *Plan) quickColumns(c *cursor, in *Input) bool {
	c.skipSpace()
	if in.plan == p && len(in.head) > 0 && bytes.HasPrefix(c.b[c.i:], in.head) {
		c.i += len(in.head)
		return true
	}
	in.plan, in.head = p, in.head[:0]
	from := c.i
	if !c.take('[') {
		return false
	}
	p.forget(in)
	for more := true; more; {
		if !c.take('"') {
			return false
		}
		i, ok := p.name(c, len(in.order))
		if !ok || (i >= 0 && in.seen[i] >= 0) {
			return false
		}
		if i >= 0 {
			in.seen[i] = int32(len(in.order))
		}
		in.order = append(in.order, int32(i))
		if more, ok = c.separator(']'); !ok {
			return false
		}
	}
	if !p.complete(in) {
		return false
	}
	in.head = append(in.head, c.b[from:c.i]...)
	return true
}

// quickRows reads the list of rows into words, row by row; −1 if a row is not one plain value for each of order.
func (p *Plan) quickRows(c *cursor, in *Input) int {
	in.words = in.words[:0]
	if !c.take('[') {
		return -1
	}
	for rows := 1; ; rows++ {
		if !c.take('[') || !p.quickRow(c, in) {
			return -1
		}
		more, ok := c.separator(']')
		if !ok {
			return -1
		}
		if !more {
			return rows
		}
	}
}

func (p *Plan) quickRow(c *cursor, in *Input) bool {
	words := in.words
	for k, i := range in.order {
		if k > 0 {
			if c.i < len(c.b) && c.b[c.i] == ',' {
				c.i++
			} else if !c.takeSpaced(',') {
				return false
			}
		}
		var w uint64
		var ok bool
		if i < 0 {
			ok = c.scalar()
		} else if d := p.columns[i].dtype; d.Float() {
			w, ok = c.float()
		} else {
			w, ok = c.slowWord(d)
		}
		if !ok {
			return false
		}
		words = append(words, w)
	}
	in.words = words
	return c.take(']')
}

// quickRecords reads a list of objects that all have the names of the first one, in its order, and no others than the schema's.
func (p *Plan) quickRecords(c *cursor, in *Input) bool {
	if !c.take('[') {
		return false
	}
	in.words, in.head = in.words[:0], in.head[:0]
	p.forget(in)
	rows := 0
	for more := true; more; rows++ {
		if !c.take('{') {
			return false
		}
		ok := false
		if rows == 0 {
			ok = p.firstRecord(c, in)
		} else {
			ok = p.nextRecord(c, in)
		}
		if !ok {
			return false
		}
		if more, ok = c.separator(']'); !ok {
			return false
		}
	}
	return p.complete(in) && p.finishTable(in, rows, len(in.order))
}

// firstRecord reads one object and learns the order of its names.
func (p *Plan) firstRecord(c *cursor, in *Input) bool {
	for more := true; more; {
		i, ok := p.key(c, len(in.order))
		if !ok || in.seen[i] >= 0 {
			return false
		}
		in.seen[i] = int32(len(in.order))
		in.order = append(in.order, int32(i))
		w, ok := c.word(p.columns[i].dtype)
		if !ok {
			return false
		}
		in.words = append(in.words, w)
		if more, ok = c.separator('}'); !ok {
			return false
		}
	}
	return true
}

func (p *Plan) nextRecord(c *cursor, in *Input) bool {
	last := len(in.order) - 1
	for k, i := range in.order {
		if got, ok := p.key(c, int(i)); !ok || got != int(i) {
			return false
		}
		w, ok := c.word(p.columns[i].dtype)
		if !ok || (k < last && !c.take(',')) {
			return false
		}
		in.words = append(in.words, w)
	}
	return c.take('}')
}
