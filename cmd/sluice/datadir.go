package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// openDataDir makes the directory of everything local, which others may not read, and keeps other servers out of it until the end. The
// lock ends with the process, however it ends.
func (a *App) openDataDir(context.Context) error {
	if err := os.MkdirAll(a.cfg.DataDir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(a.cfg.DataDir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("%s is in use by another server%s: stop it, or choose another --data-dir", a.cfg.DataDir, holder(f))
		}
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	a.onClose("data directory", func(context.Context) error { return f.Close() })
	// The number is for people: a full disk must not keep the server from starting.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return nil
}

// holder names the process that wrote its number into the lock file; empty if none is readable.
func holder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	pid, perr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || perr != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}
