package servable

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
)

// evict frees memory until what is loaded fits the budget again, keep excepted. Victims are found by a clock over their recent uses: in the
// order in which they became Ready, each use after the one that brought it back lets a version pass one look, and those in use pass always.
// If everything is in use the budget is exceeded until the next version becomes Ready. m.mu is held.
func (m *Manager) evict(keep *entry) {
	if m.opts.MaxBytes == 0 {
		return
	}
	over := m.loadedBytes() - m.opts.MaxBytes
	evicted := false
	for looks := (maxUses + 1) * len(m.ring); looks > 0 && over > 0 && len(m.ring) > 0; looks-- {
		e := m.ring[0]
		m.ring = m.ring[1:]
		if e == keep || e.handle.passed() {
			m.ring = append(m.ring, e)
			continue
		}
		over -= e.handle.Bytes()
		m.drain(e.handle)
		e.handle = nil
		m.evictions++
		m.set(e, Evicted, "")
		m.opts.Logger.Debug("servable evicted", slog.String("servable", e.id.String()))
		evicted = true
	}
	if evicted {
		m.publish()
	}
	if over > 0 {
		m.opts.Logger.Warn("all loaded versions are in use: memory budget exceeded", slog.Int64("bytes_over", over))
	}
}

// loadedBytes is what the aspired versions hold. m.mu is held.
func (m *Manager) loadedBytes() (n int64) {
	for _, e := range m.ring {
		n += e.handle.Bytes()
	}
	return n
}

// forget takes an entry that is no longer aspired out of the ring. m.mu is held.
func (m *Manager) forget(e *entry) {
	m.ring = slices.DeleteFunc(m.ring, func(x *entry) bool { return x == e })
}

// fits says why a version can never be loaded under the budget.
func (m *Manager) fits(h *Handle) error {
	if need := h.Bytes(); m.opts.MaxBytes > 0 && need > m.opts.MaxBytes {
		return fmt.Errorf("the version needs %d bytes of memory, the budget for all versions is %d", need, m.opts.MaxBytes)
	}
	return nil
}

// Await is Acquire that brings an evicted version back first; all who ask meanwhile wait for the one load. A version that was never Ready
// is not waited for. Errors: ErrNotAvailable, wrapped with the reason, also when ctx ends first.
func (m *Manager) Await(ctx context.Context, id ID) (*Handle, error) {
	if h, err := m.Acquire(id); err == nil {
		return h, nil
	}
	for {
		changed, err := m.revive(id)
		if err != nil {
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s is being loaded again: %w", ErrNotAvailable, id, context.Cause(ctx))
		}
		if h := m.hold(id); h != nil { // not counted as a use: one request is no demand that would keep it above others
			return h, nil
		}
	}
}

// revive makes sure that an evicted version is being loaded, and returns what is closed at the next change.
func (m *Manager) revive(id ID) (changed <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[id]
	switch {
	case e == nil, e.demand != nil && e.status.State != Ready:
		return nil, ErrNotAvailable
	case e.status.State == Ready: // since Acquire looked
		ready := make(chan struct{})
		close(ready)
		return ready, nil
	case e.status.State != Evicted:
		return nil, fmt.Errorf("%w: %s is %s %s", ErrNotAvailable, id, e.status.State, e.status.Reason)
	case !e.reviving:
		e.reviving = true
		m.reloads++
		m.bringUp(e)
	}
	return m.changed, nil
}

// Churn is how many evictions and reloads there were since the Manager was made.
func (m *Manager) Churn() (evictions, reloads int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.evictions, m.reloads
}
