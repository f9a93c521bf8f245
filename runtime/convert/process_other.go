//go:build !linux

package convert

import "syscall"

// attributes puts the program into a process group of its own. When the gateway ends it meets the end of its input.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }
