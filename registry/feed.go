package registry

import (
	"slices"
	"sync"
)

// feed hands events to subscribers.
type feed struct {
	mu   sync.Mutex
	subs []*subscription // guarded by mu
}

type subscription struct{ fn func(Event) }

func (f *feed) add(fn func(Event)) (cancel func()) {
	sub := &subscription{fn}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs = append(f.subs, sub)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.subs = slices.DeleteFunc(f.subs, func(s *subscription) bool { return s == sub })
	}
}

// deliver calls every subscriber for every event. Callers serialise.
func (f *feed) deliver(events []Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		for _, s := range f.subs {
			s.fn(e)
		}
	}
}
