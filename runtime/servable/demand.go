package servable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Versions on demand are loaded because somebody asked for one, not because it is aspired. They share the budget and its evictions, load one
// after the other beside the aspired ones, and are let go when nobody asked for OnDemandIdle. At most MaxOnDemand are kept: for one more,
// the one that was asked for longest ago goes, unless all are in use. A version that becomes aspired meanwhile stays as it is.

// ErrUnknown is what a Loader wraps when there is no such version.
var ErrUnknown = errors.New("no such model version")

// demand is what an entry on demand has beside the others.
type demand struct {
	asked time.Time // last
	err   error     // of Failed; nil otherwise
}

// failedFor is how long a version on demand that failed to load is not tried again.
const failedFor = 5 * time.Second

// Demand is Await for versions that need not be aspired: one that is not loaded is, and all who ask meanwhile wait for the one load, but not for
// a preparation that tells its progress. Errors: ErrUnknown; ErrNotAvailable, wrapped with the reason, also when ctx ends first, while the load
// goes on.
func (m *Manager) Demand(ctx context.Context, id ID) (*Handle, error) {
	var mine *entry
	for {
		h, e, changed, err := m.demand(id, mine)
		if h != nil || err != nil {
			return h, err
		}
		mine = e
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s is being loaded: %w", ErrNotAvailable, id, context.Cause(ctx))
		}
	}
}

// demand returns a handle, or what is closed at the next change and the entry that is being loaded. waited is the entry that the caller
// waited for already.
func (m *Manager) demand(id ID, waited *entry) (*Handle, *entry, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[id]
	if waited != nil && waited != e {
		if d := waited.demand; d != nil && d.err != nil { // it failed, and is gone already
			return nil, nil, nil, d.failed(id)
		}
	}
	if e == nil {
		var err error
		if e, err = m.startDemand(id); err != nil {
			return nil, nil, nil, err
		}
		return nil, e, m.changed, nil
	}
	if e.demand != nil {
		e.demand.asked = m.opts.Now()
	}
	switch e.status.State {
	case Loading:
		if e.prepares && e.status.Progress != "" { // minutes, maybe: nobody should hang
			return nil, nil, nil, fmt.Errorf("%w: %s is %w: %s", ErrNotAvailable, id, ErrPreparing, e.status.Progress)
		}
	case Ready:
		if h := m.hold(id); h != nil {
			h.used()
			return h, nil, nil, nil
		}
	case Evicted:
		if !e.reviving {
			e.reviving = true
			m.reloads++
			m.bringUp(e)
		}
	case Failed:
		if e.demand != nil {
			return nil, nil, nil, e.demand.failed(id)
		}
		return nil, nil, nil, fmt.Errorf("%w: %s is %s %s", ErrNotAvailable, id, e.status.State, e.status.Reason)
	}
	return nil, e, m.changed, nil
}

func (d *demand) failed(id ID) error {
	if errors.Is(d.err, ErrUnknown) {
		return d.err
	}
	return fmt.Errorf("%w: %s could not be loaded: %v", ErrNotAvailable, id, d.err) // the text alone: what it is, is nobody's affair
}

// startDemand begins to load a version that nobody aspires to. m.mu is held.
func (m *Manager) startDemand(id ID) (*entry, error) {
	if m.closed {
		return nil, ErrNotAvailable
	}
	if err := m.roomForDemand(); err != nil {
		return nil, err
	}
	e := &entry{id: id, demand: &demand{asked: m.opts.Now()}}
	m.entries[id] = e
	m.set(e, Loading, "")
	m.bringUp(e)
	m.sweepLater()
	return e, nil
}

// roomForDemand lets go of the version on demand that was asked for longest ago if there are as many as may be. m.mu is held.
func (m *Manager) roomForDemand() error {
	n := 0
	var oldest *entry
	for _, e := range m.entries {
		if e.demand == nil {
			continue
		}
		n++
		if e.idle() && (oldest == nil || e.demand.asked.Before(oldest.demand.asked)) {
			oldest = e
		}
	}
	switch {
	case n < m.opts.MaxOnDemand:
		return nil
	case oldest == nil:
		return fmt.Errorf("%w: %d versions are loaded on demand and in use, more are not", ErrNotAvailable, n)
	}
	m.letGo(oldest)
	return nil
}

// idle says whether a version on demand can be let go: nobody uses it, and it is not being loaded. m.mu is held.
func (e *entry) idle() bool {
	switch e.status.State {
	case Ready:
		return e.handle.refs.Load() == 0
	case Evicted:
		return !e.reviving
	case Failed:
		return true
	}
	return false
}

// letGo removes a version on demand. m.mu is held.
func (m *Manager) letGo(e *entry) {
	m.opts.Logger.Debug("servable on demand let go", slog.String("servable", e.id.String()))
	if m.remove(e) {
		m.publish()
	}
}

// adopt makes an entry on demand an aspired one. m.mu is held.
func (m *Manager) adopt(e *entry) {
	e.demand = nil
	if e.status.State == Failed { // which the aspired are not left alone in
		m.set(e, Loading, "")
		m.bringUp(e)
		return
	}
	m.announce(e.id)
}

// Forget lets go of the versions on demand of a registered model, of one of them or of all (version 0), because they were deleted. It does
// not wait. Those aspired stay.
func (m *Manager) Forget(model string, version int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, e := range m.entries {
		if e.demand != nil && id.Model == model && (version == 0 || id.Version == version) {
			m.letGo(e)
		}
	}
}

// sweepLater makes sure that versions on demand are looked at again. m.mu is held.
func (m *Manager) sweepLater() {
	if m.sweeping {
		return
	}
	m.sweeping = true
	m.wg.Go(func() {
		for sleep(m.ctx, min(m.opts.OnDemandIdle/4, failedFor)) && m.sweep() {
		}
	})
}

// sweep lets go of versions on demand that nobody asked for lately, and says whether there are others.
func (m *Manager) sweep() (more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.opts.Now()
	for _, e := range m.entries {
		if e.demand == nil {
			continue
		}
		keep := m.opts.OnDemandIdle
		if e.status.State == Failed {
			keep = failedFor
		}
		if e.idle() && now.Sub(e.demand.asked) >= keep {
			m.letGo(e)
		} else {
			more = true
		}
	}
	m.sweeping = more
	return more
}
