package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCgroupLimit(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		want       int64
	}{
		"version 2":           {"memory.max", "1073741824\n", 1 << 30},
		"version 2, no limit": {"memory.max", "max\n", 0},
		"version 1":           {"memory/memory.limit_in_bytes", "536870912\n", 1 << 29},
		"not there":           {"other", "1", 0},
		"damaged":             {"memory.max", "lots", 0},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			root, _ := filepath.Split(path)
			if c.file == "memory/memory.limit_in_bytes" {
				root = filepath.Dir(filepath.Dir(path))
			}
			if got := cgroupLimit(root); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
	if n := machineMemory(); n < 1<<26 {
		t.Errorf("this machine has %d bytes", n)
	}
}
