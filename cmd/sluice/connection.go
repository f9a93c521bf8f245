package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// slack is how much sooner than asked a far deadline may come. The engine moves its deadlines, a minute and more ahead, three times per
	// request; with slack a busy connection moves one about once a second, which spares it the network poller's locks and timers.
	slack = time.Second
	// far is from where on slack does not matter.
	far = 10 * slack
	// lingering is how long a connection that is closed with an answer still takes what its client is sending: bytes that meet a closed port are
	// answered with a reset, which takes back what the client has not read of the answer.
	lingering = time.Second
)

// past is a deadline that is over.
var past = time.Unix(0, 0)

// connection is one accepted connection. Its far deadlines may come sooner than asked, but by less than slack. Once the server is in a
// hurry, reads end after stall.
type connection struct {
	*net.TCPConn
	hurried *atomic.Bool
	closed  func(*connection)
	ended   atomic.Bool // it was told to make room

	mu      sync.Mutex // guards everything below
	reading bool
	over    bool      // a read failed: nothing comes any more, or it is too late
	readBy  time.Time // what the engine wants; armed when a read needs it, which a request that came in one piece does once
	read    armed
	write   armed
}

// armed is a deadline as the network knows it. The zero value is none, as on a new connection.
type armed struct {
	at  time.Time
	far bool // when it was armed
}

// move arms t with set, unless what is armed is near enough.
func (a *armed) move(t time.Time, set func(time.Time) error) error {
	if t.Equal(a.at) {
		return nil
	}
	if later := t.Sub(a.at); a.far && later >= 0 && later < slack {
		return nil
	}
	if err := set(t); err != nil {
		return err
	}
	a.at, a.far = t, time.Until(t) >= far
	return nil
}

// Read implements net.Conn.
func (c *connection) Read(p []byte) (int, error) {
	if err := c.beginRead(); err != nil {
		return 0, err
	}
	n, err := c.TCPConn.Read(p)
	c.mu.Lock()
	c.reading = false
	c.over = c.over || err != nil
	c.mu.Unlock()
	return n, err
}

// WriteTo implements io.WriterTo through Read, or else a copy would take the TCP connection's own, which knows nothing of readBy.
func (c *connection) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{c}) }

func (c *connection) beginRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = true
	return c.armRead()
}

// armRead arms the wanted read deadline, that of the hurry, or the past if the connection has ended. The caller holds mu.
func (c *connection) armRead() error {
	if c.ended.Load() {
		return c.TCPConn.SetReadDeadline(past)
	}
	if c.hurried.Load() {
		if latest := time.Now().Add(stall); c.readBy.IsZero() || c.readBy.After(latest) {
			return c.TCPConn.SetReadDeadline(latest)
		}
		return c.TCPConn.SetReadDeadline(c.readBy)
	}
	return c.read.move(c.readBy, c.TCPConn.SetReadDeadline)
}

// hurry bounds the read that waits, if one does; later ones see for themselves.
func (c *connection) hurry() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reading {
		return nil
	}
	return c.armRead()
}

// waits returns until when bytes of a request are waited for, if they are and the connection was not ended.
func (c *connection) waits() (by time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.readBy, c.reading && !c.ended.Load()
}

// end ends the read that waits, and so the connection; false if none does any more.
func (c *connection) end() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reading || c.TCPConn.SetReadDeadline(past) != nil {
		return false
	}
	c.ended.Store(true)
	return true
}

// SetReadDeadline implements net.Conn.
func (c *connection) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readBy = t
	if !c.reading {
		return nil
	}
	return c.armRead()
}

// SetWriteDeadline implements net.Conn.
func (c *connection) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write.move(t, c.TCPConn.SetWriteDeadline)
}

// SetDeadline implements net.Conn.
func (c *connection) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Close implements net.Conn. The client gets all that was written, also if it has not yet sent its whole request.
func (c *connection) Close() error {
	c.linger()
	c.closed(c)
	return c.TCPConn.Close()
}

// linger tells the client that nothing follows and takes what it sends until it closes, for a time.
func (c *connection) linger() {
	c.mu.Lock()
	over := c.over || c.hurried.Load()
	c.over = true
	c.mu.Unlock()
	if over || c.TCPConn.CloseWrite() != nil || c.TCPConn.SetReadDeadline(time.Now().Add(lingering)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, struct{ io.Reader }{c.TCPConn}) // however it ends, the connection is closed next
}
