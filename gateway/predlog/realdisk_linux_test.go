package predlog

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// ownMounts, set in the environment, says that TestRealDisk runs in a mount namespace of its own.
const ownMounts = "PREDLOG_OWN_MOUNTS"

// R40: on a real file system of 4 MiB that is full, or out of files, requests are dropped and counted and none waits; memory stays bounded; it heals
// alone when there is room again. Not parallel: see TestKill9.
func TestRealDisk(t *testing.T) {
	if os.Getenv(ownMounts) == "" {
		again(t)
		return
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options string
		exhaust func(t *testing.T, dir string) []string
	}{
		"full":         {"size=4m", ballast},
		"out of files": {"size=64m,nr_inodes=40", manyFiles},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, c.options); err != nil {
				t.Fatal(err)
			}
			defer syscall.Unmount(dir, syscall.MNT_DETACH)
			const queueBytes = 768 << 10
			sink := newMemorySink(t)
			l := open(t, filepath.Join(dir, "log"), sink, &Options{
				SyncInterval: time.Millisecond, QueueBytes: queueBytes, SpoolRows: 100, SpoolAge: 5 * time.Millisecond,
				RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond,
			})
			offer := func(n int) {
				for i := range n {
					l.Record(sample(t, i))
				}
			}
			offer(500)
			if err := l.Flush(soon(t)); err != nil {
				t.Fatal(err)
			}
			files := c.exhaust(t, dir)
			eventually(t, "drops", func() bool {
				offer(100)
				if q := l.Stats().QueuedBytes; q > queueBytes {
					t.Fatalf("%d bytes in memory", q)
				}
				return l.Stats().Dropped[DiskFull] > 0
			})
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "no more drops", func() bool {
				before := l.Stats().Dropped.Total()
				offer(10)
				return l.Flush(soon(t)) == nil && l.Stats().Dropped.Total() == before
			})
			checkSum(t, l, len(sink.rows(t)))
		})
	}
	t.Run("read-only", func(t *testing.T) {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, "size=1m"); err != nil {
			t.Fatal(err)
		}
		defer syscall.Unmount(dir, syscall.MNT_DETACH)
		if _, err := Open(filepath.Join(dir, "log"), newMemorySink(t), nil); !errors.Is(err, syscall.EROFS) {
			t.Errorf("got %v", err)
		}
	})
}

// again runs the test in a mount namespace of its own, whose mounts end with it.
func again(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestRealDisk$")
	cmd.Env = append(os.Environ(), ownMounts+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a mount namespace of its own, which needs root or user namespaces: %v\n%s", err, out)
	}
}

// ballast takes all the room.
func ballast(t *testing.T, dir string) []string {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return []string{name}
}

// manyFiles takes all the inodes.
func manyFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	for {
		name := filepath.Join(dir, fmt.Sprint("file", len(names)))
		f, err := os.Create(name)
		if errors.Is(err, syscall.ENOSPC) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		names = append(names, name)
	}
}
