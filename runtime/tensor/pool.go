package tensor

import "sync"

// maxPooledBytes is the largest batch that a Pool keeps: one huge request must not pin its memory for ever.
const maxPooledBytes = 1 << 20

// Pool keeps batches for reuse, each with the memory of its columns. The zero value is ready; it is safe for concurrent use.
// A caller owns its pool: batches of one shape should share one, so that their columns find buffers of the right size.
type Pool struct{ p sync.Pool }

// Get returns an empty batch of the given form.
func (p *Pool) Get(f Form) *Batch {
	b, _ := p.p.Get().(*Batch)
	if b == nil {
		b = new(Batch)
	}
	b.Reset(f)
	return b
}

// Put gives a batch back; the caller must not touch it, or views of it, afterwards. A batch that holds over 1 MiB is left to the
// garbage collector, and text is dropped so that no string outlives its request. nil is ignored.
func (p *Pool) Put(b *Batch) {
	if b == nil || b.heldBytes() > maxPooledBytes {
		return
	}
	all := b.Columns[:cap(b.Columns)]
	for i := range all {
		all[i].Keys, all[i].Name = nil, ""
		all[i].Tensor.forget()
	}
	b.Columns = all[:0]
	p.p.Put(b)
}

func (b *Batch) heldBytes() int {
	all, n := b.Columns[:cap(b.Columns)], 0
	for i := range all {
		n += cap(all[i].Tensor.raw) + 16*cap(all[i].Tensor.strs)
	}
	return n
}

// forget drops text and borrowed memory, keeping the buffers that t owns.
func (t *Tensor) forget() {
	if t.view {
		t.raw, t.strs, t.view = nil, nil, false
		return
	}
	clear(t.strs)
	t.strs = t.strs[:0]
	t.raw = t.raw[:0]
}
