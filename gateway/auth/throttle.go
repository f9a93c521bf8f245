package auth

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

const (
	throttleWindow    = time.Minute
	throttleAddresses = 4096 // addresses counted apart in one window; the rest share one count
)

// throttle counts failures by address in windows of a minute. It holds at most throttleAddresses counts.
type throttle struct {
	max int
	now func() time.Time

	mu     sync.Mutex
	began  time.Time          // guarded by mu: begin of the current window
	counts map[netip.Addr]int // guarded by mu
}

func newThrottle(max int, now func() time.Time) *throttle {
	return &throttle{max: max, now: now, began: now(), counts: map[netip.Addr]int{}}
}

// over says whether the address failed too often, and for how long it stays so.
func (t *throttle) over(from netip.Addr) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.roll()
	left := throttleWindow - t.now().Sub(t.began)
	return left, t.counts[t.slot(from)] >= t.max
}

// count notes one failure.
func (t *throttle) count(from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.roll()
	t.counts[t.slot(from)]++
}

// slot is where the address is counted: its own place, or the shared one when all are taken. The caller holds mu.
func (t *throttle) slot(from netip.Addr) netip.Addr {
	if _, known := t.counts[from]; known || len(t.counts) < throttleAddresses {
		return from
	}
	return netip.Addr{}
}

// roll begins a new window when the current one is over. The caller holds mu.
func (t *throttle) roll() {
	if now := t.now(); now.Sub(t.began) >= throttleWindow {
		t.began = now
		clear(t.counts)
	}
}

// addressOf is the peer's address, an IPv6 one cut to its /64: whoever has one of those has all. The zero Addr when it has none.
// Headers are not read: anybody can write them.
func addressOf(c *fiber.Ctx) netip.Addr { return addressFrom(c.Context().RemoteAddr()) }

func addressFrom(peer net.Addr) netip.Addr {
	tcp, ok := peer.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return netip.Addr{}
	}
	if addr = addr.Unmap(); addr.Is6() {
		prefix, err := addr.WithZone("").Prefix(64)
		if err != nil {
			return netip.Addr{}
		}
		return prefix.Addr()
	}
	return addr
}
