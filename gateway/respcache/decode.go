package respcache

import (
	"errors"

	"sluice/runtime/tensor"
)

// errValue: bytes that are no value of this package.
var errValue = errors.New("not an answer that was kept")

// maxDims bounds the dimensions of a tensor.
const maxDims = 64

// reader takes an encoding apart; after the first error it only returns zeros. Texts alias the input.
type reader struct {
	left   string
	failed bool
}

func (r *reader) fail() { r.left, r.failed = "", true }

func (r *reader) take(n uint64) string {
	if n > uint64(len(r.left)) {
		r.fail()
		return ""
	}
	s := r.left[:n]
	r.left = r.left[n:]
	return s
}

func (r *reader) byte() byte {
	if s := r.take(1); s != "" {
		return s[0]
	}
	return 0
}

// number reads a variable-length number, of which each has one spelling.
func (r *reader) number() (n uint64) {
	for shift := 0; shift < 63; shift += 7 {
		b := r.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if b == 0 && shift > 0 {
				r.fail()
			}
			return n
		}
	}
	r.fail()
	return 0
}

// count reads the number of things of which each takes size bytes at least.
func (r *reader) count(size int) int {
	n := r.number()
	if n > uint64(len(r.left)/max(size, 1)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) text() string { return r.take(r.number()) }

// batch reads what appendBatch wrote into b, whose memory it keeps. Texts in b alias the input.
func (r *reader) batch(b *tensor.Batch) {
	form := tensor.Form(r.byte())
	rows := r.number()
	columns := r.count(4)
	if form > tensor.Bare || rows > 1<<40 {
		r.fail()
	}
	b.Reset(form)
	for i := 0; i < columns && !r.failed; i++ {
		r.column(b)
	}
	b.Rows = int(rows) - 1
}

func (r *reader) column(b *tensor.Batch) {
	flags := r.byte()
	t := b.AddColumn(r.text())
	c := &b.Columns[len(b.Columns)-1]
	c.JSON = flags&columnJSON != 0
	if flags&columnKeys != 0 {
		c.Keys = make([]string, r.count(1))
		r.texts(c.Keys)
	}
	d := tensor.DType(r.byte())
	dims := r.number()
	if flags > columnJSON|columnKeys || d > tensor.Binary || dims > maxDims {
		r.fail()
		dims = 0
	}
	shape := make([]int64, 0, 8)
	for range dims {
		d := r.number()
		if d > 1<<62 {
			r.fail()
		}
		shape = append(shape, int64(d))
	}
	n := r.count(max(d.Size(), 1))
	if d == tensor.Invalid || !tensor.Fits(n, shape) {
		r.fail()
		t.Reset(tensor.Bool, 0)
		return
	}
	t.ResetDirty(d, shape...)
	if d.Text() {
		r.texts(t.Strings())
		return
	}
	copy(t.Raw(), r.take(uint64(n*d.Size())))
}

func (r *reader) texts(into []string) {
	for i := range into {
		into[i] = r.text()
	}
}
