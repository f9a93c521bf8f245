package main

import (
	"sync"

	"sluice/runtime/servable"
)

// verdict is what is known, before a version is loaded, of its form as ONNX.
type verdict struct {
	dir string // of the conversion that passed; empty: Python serves
	why string // not ONNX
}

// verdicts hands what the preparation of versions found out to their loads. The zero value is ready; it is safe for concurrent use.
type verdicts struct {
	mu   sync.Mutex
	next map[servable.ID]verdict
}

// keep notes the verdict for the next load of a version. Those of versions that were never loaded are forgotten when there are too many.
func (v *verdicts) keep(id servable.ID, found verdict) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.next == nil || len(v.next) >= maxRemembered {
		v.next = map[servable.ID]verdict{}
	}
	v.next[id] = found
}

// take returns the verdict that was noted for a version, once; false if there is none.
func (v *verdicts) take(id servable.ID) (verdict, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	found, ok := v.next[id]
	delete(v.next, id)
	return found, ok
}
