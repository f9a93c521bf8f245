package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// instance returns the name by which other processes on the same database know this one. It stands in the data directory, which one process has at a
// time, so that it is the same after a restart. Where it cannot be kept it is a new one, and others wait for the end of the leases of the one before.
func (a *App) instance() string {
	path := filepath.Join(a.cfg.DataDir, "instance")
	if text, err := os.ReadFile(path); err == nil {
		if id, err := uuid.Parse(strings.TrimSpace(string(text))); err == nil {
			return id.String()
		}
	}
	id := uuid.NewString()
	next := path + ".next"
	err := os.WriteFile(next, []byte(id+"\n"), 0o600)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		a.log.Warn("this instance's name cannot be kept over a restart", slog.Any("error", err))
	}
	return id
}
