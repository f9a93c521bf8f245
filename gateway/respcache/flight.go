package respcache

import (
	"sync"
	"sync/atomic"
)

// flight is one computation of an answer, and those who wait for it.
type flight struct {
	done    chan struct{} // closed when value is set
	waiting atomic.Int32  // how many wait
	value   string        // "" if it failed; read only after done
}

// flights are the computations under way, by key.
type flights struct {
	mu    sync.Mutex
	byKey map[Key]*flight // guarded by mu
}

// join returns the flight of the key; leads says that it is new, and the caller's to end.
func (f *flights) join(k *Key) (fl *flight, leads bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl = f.byKey[*k]; fl != nil {
		fl.waiting.Add(1)
		return fl, false
	}
	fl = &flight{done: make(chan struct{})}
	if f.byKey == nil {
		f.byKey = map[Key]*flight{}
	}
	f.byKey[*k] = fl
	return fl, true
}

// end gives the value to those who wait. value is called only if somebody does, or has been called before.
func (f *flights) end(k *Key, fl *flight, value func() string) {
	f.mu.Lock()
	delete(f.byKey, *k)
	f.mu.Unlock()
	if fl.waiting.Load() > 0 { // nobody joins any more
		fl.value = value()
	}
	close(fl.done)
}
