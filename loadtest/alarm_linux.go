package loadtest

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm wakes one sleeper on time. An idle Go process rounds its own timers up to the next millisecond, many times the latency of a quick
// server; the kernel's timer, waited for like a connection, is late by some microseconds only.
type alarm struct{ timer *os.File }

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &alarm{os.NewFile(uintptr(fd), "timer")}, nil
}

// sleep waits for d > 0.
func (a *alarm) sleep(d time.Duration) {
	raw, err := a.timer.SyscallConn()
	if err != nil {
		return // closed: the run is over
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
	})
	if err == nil && failed == nil {
		var expirations [8]byte
		_, err = a.timer.Read(expirations[:])
	}
	if err != nil || failed != nil {
		time.Sleep(d)
	}
}

func (a *alarm) close() error { return a.timer.Close() }
