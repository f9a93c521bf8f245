package main

import (
	"crypto/tls"
	"net"
)

// left says whether the client at the other end of an accepted connection has closed it, or its sending half: HTTP/1.1 has no other way of
// taking a request back. It does not block.
func left(c net.Conn) bool {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if g, ok := c.(*greeted); ok {
		c = g.Conn
	}
	watched, ok := c.(*connection)
	return ok && hungUp(watched.TCPConn)
}
