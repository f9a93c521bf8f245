// Package servable owns loaded model versions: their states, the Manager that makes what is loaded equal to what is aspired, the
// Handle that keeps a servable alive during a request, and warm-up.
//
// It is called by the gateway's data plane (Acquire, Demand, Handle) and by plan (Aspire); it must not know routes, HTTP, the registry or which
// backend runs underneath. A Manager is safe for concurrent use; Acquire reads an immutable snapshot, takes no lock and allocates
// nothing.
//
// # Life of a version
//
//	          aspired                     no longer aspired, or Close
//	(gone) ───────────► Loading ──► Ready ───────────────────────────► Unloading ──► (gone)
//	                     ▲   │                                          waits for its handles
//	         back-off    │   ▼
//	                     Failed ──► (gone) when no longer aspired
//
// Under a memory budget a Ready version that nobody asked for lately becomes Evicted; it stays routable, and the first who awaits it loads it again.
//
// Demand loads a version that is not aspired, under the same budget, and lets it go when nobody asks for it any more (demand.go).
//
// Make before break is the caller's: it aspires to A₁ ∪ A₂, waits until A₂ is Ready, routes to A₂, and then aspires to A₂ alone.
package servable
