//go:build !linux

package loadtest

import "time"

// alarm wakes one sleeper.
type alarm struct{}

func newAlarm() (*alarm, error) { return &alarm{}, nil }

// sleep waits for d; an idle process wakes up to a millisecond late.
func (*alarm) sleep(d time.Duration) { time.Sleep(d) }

func (*alarm) close() error { return nil }
