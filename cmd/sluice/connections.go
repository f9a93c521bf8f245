package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// connections is a listener that knows its open connections. It exists for the way out: the HTTP engine does not tell a request that is
// being answered from one of which half was sent and no more will come. It is safe for concurrent use.
type connections struct {
	*net.TCPListener

	hurried atomic.Bool // reads must not pause longer than stall
	mu      sync.Mutex
	open    map[*connection]struct{} // guarded by mu
}

// watch listens at a host:port. Multipath TCP, which Go would offer, has no socket filters (see refuseConnections).
func watch(address string) (*connections, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return &connections{TCPListener: l.(*net.TCPListener), open: map[*connection]struct{}{}}, nil // which "tcp" always is
}

// Accept implements net.Listener.
func (l *connections) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	watched := &connection{TCPConn: c, hurried: &l.hurried, closed: l.forget}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[watched] = struct{}{}
	return watched, nil
}

func (l *connections) forget(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

func (l *connections) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// leave waits until nobody is connected, most at the longest.
func (l *connections) leave(ctx context.Context, most time.Duration) {
	end := time.NewTimer(most)
	defer end.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for l.count() > 0 {
		select {
		case <-look.C:
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// hurry bounds the pauses of every read from now on, of those that wait already too.
func (l *connections) hurry() {
	l.hurried.Store(true) // before the sweep: a deadline set meanwhile is seen by one of the two
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.hurry()
	}
}

// cut closes what is open and returns how many connections that were.
func (l *connections) cut() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.TCPConn.Close()
	}
	return len(l.open)
}
