//go:build unix

package telemetry

import "golang.org/x/sys/unix"

// cpuSeconds is the processor time that this process has used, in user and system mode.
func cpuSeconds() (float64, bool) {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0, false
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9, true
}
