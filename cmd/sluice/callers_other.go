//go:build !linux

package main

import "net"

// hungUp sees nobody leave here: what they asked for is executed if its deadline allows.
func hungUp(*net.TCPConn) bool { return false }
