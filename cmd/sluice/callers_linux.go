package main

import (
	"net"

	"golang.org/x/sys/unix"
)

// hungUp asks the kernel whether the other end has closed the connection, whatever of its bytes nobody has read yet.
func hungUp(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var asked [1]unix.PollFd
	n := 0
	_ = raw.Control(func(fd uintptr) {
		asked[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP}
		n, _ = unix.Poll(asked[:], 0)
	})
	return n > 0 && asked[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}
