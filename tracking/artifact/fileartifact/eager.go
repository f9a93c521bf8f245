package fileartifact

import (
	"os"
	"sync"
)

// flushStep is how many bytes of a file may wait in memory before the system is asked to write them, so that the sync at the end of a
// large file, which all of it would wait for, finds most of it on the disk.
const flushStep = 8 << 20

// eager writes a file and has the system write it to the disk behind, while more arrives. Call wait before the file is closed. (It has no
// ReadFrom, unlike the file, which would ignore the caller's buffer.)
type eager struct {
	f       *os.File
	written int64 // bytes
	asked   int64 // bytes whose writing was begun
	free    chan struct{}
	flushes sync.WaitGroup
}

func newEager(f *os.File) *eager {
	return &eager{f: f, free: make(chan struct{}, 1)}
}

func (e *eager) Write(p []byte) (int, error) {
	n, err := e.f.Write(p)
	e.written += int64(n)
	if e.written-e.asked >= flushStep {
		e.flush()
	}
	return n, err
}

// flush begins to write what is new, unless the disk is still busy with what was begun before: then more is taken next time.
func (e *eager) flush() {
	select {
	case e.free <- struct{}{}:
	default:
		return
	}
	from, to := e.asked, e.written
	e.asked = to
	e.flushes.Go(func() {
		beginWriting(e.f, from, to-from)
		<-e.free
	})
}

func (e *eager) wait() { e.flushes.Wait() }
