package pyworker

import (
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	complaintPause = time.Minute // between two tracebacks from the same place in the code
	maxComplaints  = 64          // places that are told apart
)

// complaints writes the exceptions of a model to the log: those of one place in its code once in complaintPause, with the number of those in
// between. It is safe for concurrent use.
type complaints struct {
	logger *slog.Logger
	now    func() time.Time
	seed   maphash.Seed

	mu     sync.Mutex
	places map[uint64]*complaint
	others complaint // of places beyond maxComplaints
}

// complaint is one place.
type complaint struct {
	told  time.Time
	since int // exceptions since then
}

func newComplaints(logger *slog.Logger, now func() time.Time) *complaints {
	return &complaints{logger: logger, now: now, seed: maphash.MakeSeed(), places: map[uint64]*complaint{}}
}

// log writes an exception, if it is time.
func (c *complaints) log(f *failure) {
	if skipped, ok := c.due(f.Trace); ok {
		c.logger.Warn("prediction failed", slog.String("error", f.Message), slog.String("traceback", f.Trace), slog.Int("not_logged", skipped))
	}
}

// due says whether an exception with this traceback is to be written, and how many of its kind were not.
func (c *complaints) due(trace string) (skipped int, ok bool) {
	key, now := c.place(trace), c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.places[key]
	if k == nil && len(c.places) >= maxComplaints {
		c.forget(now)
	}
	switch {
	case k == nil && len(c.places) >= maxComplaints:
		k = &c.others
	case k == nil:
		k = new(complaint)
		c.places[key] = k
	}
	if !k.told.IsZero() && now.Sub(k.told) < complaintPause {
		k.since++
		return 0, false
	}
	skipped = k.since
	k.told, k.since = now, 0
	return skipped, true
}

// forget drops the places that have been quiet. mu is held.
func (c *complaints) forget(now time.Time) {
	for key, k := range c.places {
		if now.Sub(k.told) >= complaintPause {
			delete(c.places, key)
		}
	}
}

// place is where an exception came from: the lines of its traceback that name files, without the message, which may hold a value of the request.
func (c *complaints) place(trace string) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	for line := range strings.Lines(trace) {
		if strings.HasPrefix(line, `  File "`) {
			_, _ = h.WriteString(line)
		}
	}
	return h.Sum64()
}
