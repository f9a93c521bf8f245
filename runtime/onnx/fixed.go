package onnx

import (
	"context"
	"math"
	"sync"

	"sluice/runtime/tensor"
)

// fixedRows is what a model whose first axis is fixed needs to answer any number of rows.
type fixedRows struct {
	rows int // the model takes so many, no more and no less; 0: the axis is free, or it is no row axis
	work sync.Pool
}

// piece is the memory of one run of a fixed model.
type piece struct {
	in, last, out tensor.Batch
}

// declaredRows is the row count that all inputs and outputs fix; 0 if some input leaves it free, or they disagree.
func (b *Backend) declaredRows() int {
	rows := int64(0)
	for i := range b.inputs {
		v := &b.inputs[i]
		if !v.rank || v.scalar() || v.shape[0] < 1 || (i > 0 && v.shape[0] != rows) {
			return 0
		}
		rows = v.shape[0]
	}
	for i := range b.outputs {
		o := &b.outputs[i]
		if o.maps || !o.rank || len(o.shape) == 0 || (o.shape[0] != rows && o.shape[0] != -1) {
			return 0
		}
	}
	if rows > maxElements {
		return 0
	}
	return int(rows)
}

// FixedRows is the number of rows that the model takes in one run: fewer are filled up with copies of the last one, more run in pieces.
// 0: it takes any number, or its first axis is not one of independent rows.
func (b *Backend) FixedRows() int { return b.fixed.rows }

// learnFixed finds out whether the first axis that a model fixes is one of independent rows, by running it: a row must not notice when all
// others change. If it is not, only batches of just that size are taken.
func (b *Backend) learnFixed(ctx context.Context) {
	rows := b.declaredRows()
	if rows == 0 {
		return
	}
	if rows > 1 && !b.rowsIndependent(ctx, rows) {
		b.notes = append(b.notes, "the model takes a fixed number of rows that depend on each other: other numbers of rows are refused")
		return
	}
	b.fixed.rows = rows
}

// rowsIndependent runs made-up rows three times: as they are, with all but the first changed, with all but the last changed.
func (b *Backend) rowsIndependent(ctx context.Context, rows int) bool {
	for _, integers := range []bool{true, false} { // an integer may be a category or an index: zero is the safest
		var outs [3]tensor.Batch
		ran := true
		for run := range outs {
			var in tensor.Batch
			if _, err := b.Sample(&in, rows); err != nil {
				return false
			}
			for i := range in.Columns {
				makeUp(&in.Columns[i].Tensor, run, integers)
			}
			if ran = b.Predict(ctx, &in, nil, &outs[run]) == nil; !ran {
				break
			}
			if outs[run].Rows != rows {
				return false
			}
		}
		if ran {
			return sameRow(&outs[0], &outs[1], 0) && sameRow(&outs[0], &outs[2], rows-1)
		}
	}
	return false
}

// makeUp fills a tensor with different rows. Run 1 differs from run 0 in all rows but the first, run 2 in all but the last.
func makeUp(t *tensor.Tensor, run int, integers bool) {
	width, rows := max(t.Width(), 1), t.Rows()
	for i := range t.Len() {
		r := i / width
		x := float64((i*7+r*3)%11)/8 + 0.25
		if (run == 1 && r > 0) || (run == 2 && r < rows-1) {
			x = float64((i*5+r)%13)/4 - 1
		}
		switch t.Type {
		case tensor.Float32:
			tensor.Of[float32](t)[i] = float32(x)
		case tensor.Float64:
			tensor.Of[float64](t)[i] = x
		case tensor.Float16:
			tensor.Of[uint16](t)[i] = tensor.Float16Bits(float32(x))
		case tensor.Bool:
			tensor.Of[bool](t)[i] = x > 0.75
		case tensor.Int32:
			tensor.Of[int32](t)[i] = oneOrZero(x, integers)
		case tensor.Int64:
			tensor.Of[int64](t)[i] = int64(oneOrZero(x, integers))
		}
	}
}

func oneOrZero(x float64, integers bool) int32 {
	if integers && x > 0.75 {
		return 1
	}
	return 0
}

// sameRow reports whether row r is the same in both; floats may differ by what another order of additions makes.
func sameRow(x, y *tensor.Batch, r int) bool {
	var a, b tensor.Batch
	if a.CopyRows(x, r, r+1) != nil || b.CopyRows(y, r, r+1) != nil || a.Joinable(&b) != nil {
		return false
	}
	for i := range a.Columns {
		s, t := &a.Columns[i].Tensor, &b.Columns[i].Tensor
		for j := range s.Len() {
			if s.Type.Text() {
				if s.Strings()[j] != t.Strings()[j] {
					return false
				}
				continue
			}
			u, v := s.At(j), t.At(j)
			if u != v && !(u != u && v != v) && !(math.Abs(u-v) <= 1e-5*max(1, math.Abs(u), math.Abs(v))) {
				return false
			}
		}
	}
	return true
}

// predictFixed answers a number of rows other than the model's own, in pieces of it, the last one filled up.
func (b *Backend) predictFixed(ctx context.Context, in *tensor.Batch, out *tensor.Batch) error {
	p, _ := b.fixed.work.Get().(*piece)
	if p == nil {
		p = new(piece)
	}
	err := b.pieces(ctx, p, in, out)
	if p.in.Bytes()+p.out.Bytes() <= maxBoundBytes {
		b.fixed.work.Put(p)
	}
	return err
}

func (b *Backend) pieces(ctx context.Context, p *piece, in, out *tensor.Batch) error {
	for from := 0; from < in.Rows; from += b.fixed.rows {
		to := min(from+b.fixed.rows, in.Rows)
		if err := p.take(in, from, to, b.fixed.rows); err != nil {
			return badInput("%v", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.predictOne(ctx, &p.in, &p.out); err != nil {
			return err
		}
		if err := p.give(out, from, to-from); err != nil {
			return err
		}
	}
	return nil
}

// take makes p.in the rows [from, to) of in and as many copies of the last one as full needs.
func (p *piece) take(in *tensor.Batch, from, to, full int) error {
	if err := p.in.CopyRows(in, from, to); err != nil {
		return err
	}
	if to-from == full {
		return nil
	}
	if err := p.last.CopyRows(in, to-1, to); err != nil {
		return err
	}
	for range full - (to - from) {
		if err := p.in.AppendRows(&p.last); err != nil {
			return err
		}
	}
	return nil
}

// give adds the first n rows of p.out to out, which holds the from rows before.
func (p *piece) give(out *tensor.Batch, from, n int) error {
	if from == 0 {
		return out.CopyRows(&p.out, 0, n)
	}
	if n == p.out.Rows {
		return out.AppendRows(&p.out)
	}
	if err := p.last.CopyRows(&p.out, 0, n); err != nil {
		return err
	}
	return out.AppendRows(&p.last)
}
