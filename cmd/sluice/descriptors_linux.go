package main

import "golang.org/x/sys/unix"

// descriptors returns how many files and sockets the system lets this process have open; Go has raised the bound to what it may be.
func descriptors() int {
	var bound unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &bound); err != nil {
		return maxConnections
	}
	return int(min(bound.Cur, 1<<30))
}
