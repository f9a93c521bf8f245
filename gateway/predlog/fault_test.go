package predlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a file system of so many bytes below root: a write beyond it is cut and fails with ENOSPC, as on a real one.
type smallDisk struct {
	root string

	mu       sync.Mutex
	capacity int64
	// writeErr and syncErr, if set, fail every write (after half of it) and every sync; uncuttable fails Truncate.
	writeErr, syncErr error
	uncuttable        bool
	freeErr           error
	stall             chan struct{} // if set, every sync waits for it to be closed
	stalled           bool          // a sync waits or has waited
	syncs             int           // so far
}

func (d *smallDisk) files() *files {
	return &files{create: d.create, free: func(string) (int64, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.capacity - d.used(), d.freeErr
	}}
}

func (d *smallDisk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *smallDisk) used() (n int64) {
	filepath.WalkDir(d.root, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile
		}
		if info, err := e.Info(); err == nil && !e.IsDir() {
			n += info.Size()
		}
		return nil
	})
	return n
}

func (d *smallDisk) create(name string) (file, error) {
	f, err := osFiles().create(name)
	if err != nil {
		return nil, err
	}
	return &smallFile{file: f, disk: d}, nil
}

type smallFile struct {
	file
	disk *smallDisk
}

func (f *smallFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.writeErr != nil {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, f.disk.writeErr
	}
	if left := f.disk.capacity - f.disk.used(); left < int64(len(p)) {
		n, _ := f.file.Write(p[:max(left, 0)])
		return n, &os.PathError{Op: "write", Err: syscall.ENOSPC}
	}
	return f.file.Write(p)
}

func (f *smallFile) Sync() error {
	f.disk.mu.Lock()
	stall := f.disk.stall
	f.disk.stalled = stall != nil
	f.disk.syncs++
	f.disk.mu.Unlock()
	if stall != nil {
		<-stall
	}
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.syncErr != nil {
		return f.disk.syncErr
	}
	return nil // the test need not wait for a real disk
}

func (f *smallFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.uncuttable {
		return errors.New("cannot truncate")
	}
	return f.file.Truncate(size)
}

// R40: a disk that fails in each of these ways drops and counts, loses no row silently, and heals alone.
func TestDiskFaults(t *testing.T) {
	t.Parallel()
	eio := &os.PathError{Op: "write", Err: syscall.EIO}
	for _, c := range []struct {
		name   string
		broken func(d *smallDisk)
		want   Reason
	}{
		{"full, known in advance", func(d *smallDisk) { d.capacity = 256 << 10 }, DiskFull},
		{"full, found by writing", func(d *smallDisk) { d.capacity, d.freeErr = 64<<10, errors.New("no statfs") }, DiskFull},
		{"full and uncuttable", func(d *smallDisk) { d.capacity, d.freeErr, d.uncuttable = 64<<10, errors.New("no statfs"), true }, DiskFull},
		{"input/output errors", func(d *smallDisk) { d.writeErr = eio }, IOError},
		{"input/output errors, uncuttable", func(d *smallDisk) { d.writeErr, d.uncuttable = eio, true }, IOError},
		{"read-only", func(d *smallDisk) { d.writeErr = &os.PathError{Op: "write", Err: syscall.EROFS} }, IOError},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			disk := &smallDisk{root: dir, capacity: 1 << 40}
			sink := newMemorySink(t)
			l := open(t, dir, sink, &Options{SyncInterval: time.Millisecond, RetryMin: time.Millisecond, RetryMax: 10 * time.Millisecond, files: disk.files()})
			offer := func(n int) {
				for i := range n {
					l.Record(sample(t, i))
				}
			}
			offer(50)
			eventually(t, "the first rows on disk", func() bool { return l.Stats().Written == 50 })
			disk.set(func() { c.broken(disk) })
			for i := 0; l.Stats().Dropped[c.want] == 0; i++ {
				offer(100)
				if i > 100_000 {
					t.Fatal("never dropped")
				}
			}
			eventually(t, "an empty queue", func() bool { return l.Stats().QueuedBytes == 0 })

			disk.set(func() {
				disk.capacity, disk.writeErr, disk.freeErr, disk.uncuttable = 1<<40, nil, nil, false
			})
			offer(50)
			if err := l.Flush(soon(t)); err != nil {
				t.Fatal(err)
			}
			rows := sink.rows(t)
			checkSum(t, l, len(rows))
			if len(rows) < 100 {
				t.Errorf("%d rows, want at least those offered before and after", len(rows))
			}
			if l.Stats().LastError == "" && c.name != "full, known in advance" {
				t.Error("no error remembered")
			}
		})
	}
}

// A full disk that nobody frees heals through delivery alone: room for the segments of what is spooled was kept.
func TestFullDiskHealsThroughDelivery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := &smallDisk{root: dir, capacity: 1 << 20}
	sink := newMemorySink(t)
	l := open(t, dir, sink, &Options{SyncInterval: time.Millisecond, files: disk.files()})
	incompressible := newNoise()
	for i := 0; l.Stats().Dropped[DiskFull] == 0; i++ {
		r := sample(t, i)
		r.Request = incompressible(400)
		l.Record(r)
	}
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	before := l.Stats()
	l.Record(sample(t, 1))
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if after := l.Stats(); after.Dropped != before.Dropped {
		t.Errorf("still dropping: %v", after.Dropped)
	}
	checkSum(t, l, len(sink.rows(t)))
}

// A failed fsync gives the spool up; what can be read back is delivered.
func TestFailedSyncLosesNothingReadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := &smallDisk{root: dir, capacity: 1 << 40, syncErr: syscall.EIO}
	sink := newMemorySink(t)
	l := open(t, dir, sink, &Options{SyncInterval: time.Millisecond, RetryMin: time.Millisecond, RetryMax: time.Millisecond, files: disk.files()})
	for i := range 20 {
		l.Record(sample(t, i))
	}
	eventually(t, "an error", func() bool { return l.Stats().LastError != "" })
	disk.set(func() { disk.syncErr = nil })
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	rows := sink.rows(t)
	checkSum(t, l, len(rows))
	if len(rows) != 20 {
		t.Errorf("%d rows, want 20", len(rows))
	}
}

// Bytes that rot in a finished spool cost the records behind them, and those are counted.
func TestRottenSpoolIsCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := &smallDisk{root: dir, capacity: 1 << 40}
	sink := newMemorySink(t)
	l := open(t, dir, sink, &Options{SyncInterval: time.Millisecond, SpoolAge: time.Hour, files: disk.files()})
	for i := range 10 {
		l.Record(sample(t, i))
	}
	eventually(t, "rows on disk", func() bool { return l.Stats().Written == 10 })
	names, _ := filepath.Glob(filepath.Join(dir, "spool", "*"))
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(names[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	rows := sink.rows(t)
	checkSum(t, l, len(rows))
	if s := l.Stats(); s.Dropped[IOError] == 0 || len(rows) == 0 {
		t.Errorf("%d rows, drops %v", len(rows), s.Dropped)
	}
}

// R40: a disk that hangs stops neither Record nor, beyond its context, Close; memory stays bounded; it heals when the disk answers.
func TestStalledDisk(t *testing.T) {
	t.Parallel()
	for _, heals := range []bool{true, false} {
		t.Run(fmt.Sprintf("heals=%v", heals), func(t *testing.T) {
			t.Parallel()
			dir, stall := t.TempDir(), make(chan struct{})
			disk := &smallDisk{root: dir, capacity: 1 << 40, stall: stall}
			sink := newMemorySink(t)
			l := open(t, dir, sink, &Options{SyncInterval: time.Millisecond, QueueBytes: 768 << 10, files: disk.files()})
			l.Record(sample(t, 0))
			eventually(t, "a sync that hangs", func() (hangs bool) { disk.set(func() { hangs = disk.stalled }); return hangs })
			for i := 0; l.Stats().Dropped[QueueFull] == 0; i++ {
				l.Record(sample(t, i))
				if q := l.Stats().QueuedBytes; q > 768<<10 {
					t.Fatalf("%d bytes queued", q)
				}
			}
			if heals {
				close(stall)
				if err := l.Flush(soon(t)); err != nil {
					t.Fatal(err)
				}
				checkSum(t, l, len(sink.rows(t)))
				return
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			lost, err := l.Close(ended)
			s := l.Stats()
			if err == nil || lost != s.Dropped.Total() || s.Dropped[Closed] == 0 {
				t.Errorf("close: lost %d, %v; drops %v", lost, err, s.Dropped)
			}
			if s.Written+lost != s.Offered {
				t.Errorf("%d written + %d lost ≠ %d offered", s.Written, lost, s.Offered)
			}
			close(stall)
			l.wg.Wait()
		})
	}
}
