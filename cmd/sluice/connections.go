package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// httpSockets and grpcSockets are the shares of the file descriptors that the system lets this process have; the rest is for files,
	// databases and workers.
	httpSockets = 3.0 / 4
	grpcSockets = 1.0 / 8
	// sweep is the share of the waiting connections that make room at once when there are too many: one look at all of them serves as many newcomers.
	sweep = 1.0 / 16
	// acceptAgain is the longest pause after the system had no descriptor or memory for a connection.
	acceptAgain = 100 * time.Millisecond
	// sayAgain is how often the log says that there are too many connections.
	sayAgain = 10 * time.Second
)

// socketsOf returns how many connections a port may hold that has this share of the descriptors.
func socketsOf(share float64) int {
	return min(max(int(share*float64(descriptors())), 1), maxConnections)
}

// connections is a listener that knows its open connections. The way out needs that: the HTTP engine does not tell a request that is being
// answered from one of which half was sent and no more will come. It also bounds them: where there are too many, those of whose requests the
// rest is due the soonest make room, which are the silent ones and the slow ones; one that is being answered is never ended. It is safe for
// concurrent use.
type connections struct {
	*net.TCPListener
	most int // connections
	log  *slog.Logger

	hurried atomic.Bool // reads must not pause longer than stall
	mu      sync.Mutex
	open    map[*connection]struct{} // guarded by mu
	ending  int                      // guarded by mu; of open, those that were told to make room
	said    time.Time                // guarded by mu; when the log was told of too many
}

// watch listens at a host:port for at most so many connections. Multipath TCP, which Go would offer, has no socket filters (see
// refuseConnections).
func watch(address string, most int, log *slog.Logger) (*connections, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return &connections{TCPListener: l.(*net.TCPListener), most: most, log: log, open: map[*connection]struct{}{}}, nil // which "tcp" always is
}

// Accept implements net.Listener. Want of descriptors or memory is waited out: the engine would end with the error.
func (l *connections) Accept() (net.Conn, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, acceptAgain) {
		c, err := l.AcceptTCP()
		if err == nil {
			if admitted := l.admit(c); admitted != nil {
				return admitted, nil
			}
			_ = c.Close()
			continue
		}
		if !wanting(err) {
			return nil, err
		}
		l.makeRoom(err.Error())
		time.Sleep(pause)
	}
}

// wanting says whether a connection could not be accepted for want of something that comes back.
func wanting(err error) bool {
	for _, of := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

// admit returns c watched, or nil if there is no room for it because every connection is being answered.
func (l *connections) admit(c *net.TCPConn) net.Conn {
	watched := &connection{TCPConn: c, hurried: &l.hurried, closed: l.forget}
	if l.add(watched) {
		return watched
	}
	l.makeRoom("the bound of connections is reached")
	if l.add(watched) {
		return watched
	}
	return nil
}

// add takes a connection in if there is room.
func (l *connections) add(c *connection) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open)-l.ending >= l.most {
		return false
	}
	l.open[c] = struct{}{}
	return true
}

// makeRoom ends a share of the connections that wait for bytes of a request, those whose deadline is the nearest.
func (l *connections) makeRoom(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	type waiting struct {
		c  *connection
		by time.Time
	}
	var found []waiting
	for c := range l.open {
		if by, ok := c.waits(); ok {
			found = append(found, waiting{c, by})
		}
	}
	slices.SortFunc(found, func(a, b waiting) int { return a.by.Compare(b.by) })
	ended := 0
	for _, w := range found[:min(len(found), 1+int(sweep*float64(len(found))))] {
		if w.c.end() {
			ended++
		}
	}
	l.ending += ended
	if now := time.Now(); now.Sub(l.said) >= sayAgain {
		l.said = now
		l.log.Warn("too many connections: some that wait for a request were closed", slog.String("reason", why), slog.Int("open", len(l.open)),
			slog.Int("most", l.most), slog.Int("closed", ended))
	}
}

func (l *connections) forget(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.open[c]; !ok {
		return
	}
	delete(l.open, c)
	if c.ended.Load() {
		l.ending--
	}
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
