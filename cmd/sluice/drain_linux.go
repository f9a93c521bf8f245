package main

import (
	"net"

	"golang.org/x/sys/unix"
)

// refuseConnections makes the kernel ignore attempts to connect, while handshakes that have begun still end in Accept. Closing a listener
// resets whatever waits in its queue, with requests that are on their way; after this, and an Accept of what waits, nobody is there to be
// reset. Whoever is ignored tries again within a second and finds the port closed.
func refuseConnections(l *net.TCPListener) error {
	// The socket filter sees the TCP header: its byte 13 holds the flags. SYN without ACK is dropped (0 bytes are kept).
	const ignored, kept = 0, 1<<32 - 1
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x12},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: 0x02},
		{Code: unix.BPF_RET | unix.BPF_K, K: ignored},
		{Code: unix.BPF_RET | unix.BPF_K, K: kept},
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	if err != nil {
		return err
	}
	return failed
}
