package outcome

import (
	"sync"
	"time"
)

// Target is what a window counts by: one version of a registered model behind one endpoint.
type Target struct {
	Endpoint string
	Model    string
	Version  int
}

// Stats is what happened to a Target in a span of time. The zero value is empty.
type Stats struct {
	Target
	Success     uint64 // codes below 400
	ClientError uint64 // 400–499, without 429
	Shed        uint64 // 429
	ServerError uint64 // 500 and above
	Latency     Histogram
}

// Requests is the number of all requests.
func (s *Stats) Requests() uint64 { return s.Success + s.ClientError + s.Shed + s.ServerError }

// add counts the observations of h under the code.
func (s *Stats) add(code int, h *Histogram) {
	n := h.Count()
	switch {
	case code == 429:
		s.Shed += n
	case code >= 500:
		s.ServerError += n
	case code >= 400:
		s.ClientError += n
	default:
		s.Success += n
	}
	s.Latency.Add(h)
}

// Merge adds the counts of o, of the same target seen by another member.
func (s *Stats) Merge(o *Stats) {
	s.Success += o.Success
	s.ClientError += o.ClientError
	s.Shed += o.Shed
	s.ServerError += o.ServerError
	s.Latency.Add(&o.Latency)
}

// WindowOptions of a Windows. Nil and the zero value work.
type WindowOptions struct {
	// Span is the longest time that can be asked about; default 10 minutes.
	Span time.Duration
	// Step is the least time between two marks, and so the grain of every answer; default 5 s. Span/Step marks are kept, at most 1000.
	Step time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Windows answers what happened to each Target lately. Its owner calls Tick about every Step; between two marks nothing is stored, so the
// cost of a request stays that of Series.Record.
type Windows struct {
	book *Book
	step time.Duration
	now  func() time.Time

	mu    sync.Mutex
	marks []mark // ring, oldest at next once full; guarded by mu
	next  int    // guarded by mu
}

// mark is the state of the Book at one time.
type mark struct {
	at     time.Time
	series map[Key]Histogram
}

// NewWindows returns windows over the book's series; opts may be nil. The first answer covers what happened since this call.
func NewWindows(book *Book, opts *WindowOptions) *Windows {
	var o WindowOptions
	if opts != nil {
		o = *opts
	}
	if o.Span <= 0 {
		o.Span = 10 * time.Minute
	}
	if o.Step <= 0 {
		o.Step = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	n := min(max(int((o.Span+o.Step-1)/o.Step), 1), 1000) + 1
	w := &Windows{book: book, step: o.Step, now: o.Now, marks: make([]mark, 0, n)}
	w.marks = append(w.marks, mark{at: w.now(), series: w.read()})
	return w
}

func (w *Windows) read() map[Key]Histogram {
	out := make(map[Key]Histogram)
	for _, s := range w.book.Snapshot() {
		out[s.Key] = s.Histogram
	}
	return out
}

// Tick marks the present, unless the last mark is younger than Step.
func (w *Windows) Tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if now.Sub(w.newest().at) < w.step {
		return
	}
	m := mark{at: now, series: w.read()}
	if len(w.marks) < cap(w.marks) {
		w.marks = append(w.marks, m)
		return
	}
	w.marks[w.next] = m
	w.next = (w.next + 1) % len(w.marks)
}

func (w *Windows) newest() *mark { return w.mark(len(w.marks) - 1) }

// mark returns the i-th oldest mark.
func (w *Windows) mark(i int) *mark { return &w.marks[(w.next+i)%len(w.marks)] }

// Over returns what happened to every target since the youngest mark that is at least d old (the oldest, if none is), and how long
// that is. Targets without a request in that time are absent.
func (w *Windows) Over(d time.Duration) (map[Target]Stats, time.Duration) {
	w.mu.Lock()
	now := w.now()
	from := w.mark(0)
	for i := range w.marks {
		if m := w.mark(i); now.Sub(m.at) >= d {
			from = m
		}
	}
	base, since := from.series, from.at
	w.mu.Unlock()

	out := make(map[Target]Stats)
	for _, s := range w.book.Snapshot() {
		before := base[s.Key]
		diff := s.Histogram.Sub(&before)
		if diff.Count() == 0 {
			continue
		}
		t := Target{Endpoint: s.Endpoint, Model: s.Model, Version: s.Version}
		st := out[t]
		st.Target = t
		st.add(s.Code, &diff)
		out[t] = st
	}
	return out, now.Sub(since)
}
