package plan

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sluice/gateway"
)

// ledger writes arm records and events beside the loop, so that a slow database never delays a table. Records are kept until they are
// written (there is one for each arm); of events the newest maxPending are, the others are dropped and counted.
type ledger struct {
	store Store
	log   *slog.Logger
	wake  chan struct{} // holds one token
	quit  chan struct{}
	done  chan struct{}

	mu       sync.Mutex
	records  map[armKey]gateway.ArmRecord // guarded by mu
	obsolete map[string]bool              // guarded by mu
	events   []gateway.Event              // guarded by mu
	dropped  int                          // guarded by mu: events that did not fit, not yet logged
}

const (
	maxPending   = 1000
	writeTimeout = 30 * time.Second
	lastTimeout  = 3 * time.Second // of the last write in close
)

func newLedger(store Store, log *slog.Logger) *ledger {
	return &ledger{
		store: store, log: log, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		records: map[armKey]gateway.ArmRecord{}, obsolete: map[string]bool{},
	}
}

func (l *ledger) start() { go l.run() }

// close tries a last write and waits for the writer.
func (l *ledger) close() {
	close(l.quit)
	<-l.done
}

// add takes over what the plan wants written.
func (l *ledger) add(p *Plan) {
	if len(p.Records)+len(p.Obsolete)+len(p.Events) == 0 {
		return
	}
	l.mu.Lock()
	for _, name := range p.Obsolete {
		l.obsolete[name] = true
		for k := range l.records {
			if k.endpoint == name {
				delete(l.records, k)
			}
		}
	}
	for _, r := range p.Records {
		l.records[armKey{r.Endpoint, r.Arm}] = r
	}
	l.events = append(l.events, p.Events...)
	if over := len(l.events) - maxPending; over > 0 {
		l.events = l.events[over:]
		l.dropped += over
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// unsaved returns the records that the store may not have yet.
func (l *ledger) unsaved() []gateway.ArmRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]gateway.ArmRecord, 0, len(l.records))
	for _, r := range l.records {
		out = append(out, r)
	}
	return out
}

func (l *ledger) run() {
	defer close(l.done)
	backoff := time.Duration(0)
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-l.quit:
			if err := l.write(lastTimeout); err != nil {
				l.log.Error("arm records or events not written at the end", slog.Any("error", err))
			}
			return
		case <-l.wake:
		case <-retry.C:
		}
		err := l.write(writeTimeout)
		if err == nil {
			backoff = 0
			continue
		}
		if backoff == 0 {
			l.log.Error("arm records or events cannot be written; trying again", slog.Any("error", err))
		}
		backoff = min(max(2*backoff, minBackoff), maxBackoff)
		retry.Reset(backoff)
	}
}

// write saves what is pending: deletions, then records, then events. What was saved is forgotten unless it changed meanwhile.
func (l *ledger) write(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := l.writeObsolete(ctx); err != nil {
		return err
	}
	records := l.unsaved()
	if err := l.store.PutArms(ctx, records); err != nil {
		return err
	}
	l.mu.Lock()
	for _, r := range records {
		if k := (armKey{r.Endpoint, r.Arm}); l.records[k] == r {
			delete(l.records, k)
		}
	}
	events, dropped := l.events, l.dropped
	l.events, l.dropped = nil, 0
	l.mu.Unlock()
	if dropped > 0 {
		l.log.Warn("endpoint events dropped", slog.Int("count", dropped))
	}
	err := l.store.AddEvents(ctx, events)
	if err != nil {
		l.mu.Lock()
		l.events = append(events, l.events...)
		if over := len(l.events) - maxPending; over > 0 {
			l.events = l.events[over:]
			l.dropped += over
		}
		l.mu.Unlock()
	}
	return err
}

func (l *ledger) writeObsolete(ctx context.Context) error {
	l.mu.Lock()
	names := make([]string, 0, len(l.obsolete))
	for name := range l.obsolete {
		names = append(names, name)
	}
	l.mu.Unlock()
	for _, name := range names {
		if err := l.store.DeleteArms(ctx, name); err != nil {
			return err
		}
		l.mu.Lock()
		delete(l.obsolete, name)
		l.mu.Unlock()
	}
	return nil
}
