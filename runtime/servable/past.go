package servable

import "sluice/runtime/batch"

// past is what the first load of a version's files found out. It holds for every later one, after an eviction or a way back to the version: files
// do not change, and who goes back wants it soon.
type past struct {
	measured  *batch.Calibration
	rehearsed bool
}

// files are those of a version in one form.
type files struct {
	id     ID
	digest string
}

// maxPasts is how many versions' are remembered.
const maxPasts = 1000

// recall looks up what is known of what was just loaded.
func (m *Manager) recall(e *entry, l *Loaded) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, known := m.pasts[files{e.id, l.Digest}]; known && l.Digest != "" {
		e.past = p
	}
}

// remember keeps what was found out, in the place of any other's if there are too many.
func (m *Manager) remember(e *entry, l *Loaded) {
	if l.Digest == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := files{e.id, l.Digest}
	if _, known := m.pasts[key]; !known && len(m.pasts) >= maxPasts {
		for other := range m.pasts {
			delete(m.pasts, other)
			break
		}
	}
	m.pasts[key] = e.past
}
