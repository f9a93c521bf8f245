package pyenv

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	envsDir  = "envs"
	locksDir = "locks"
	logsDir  = "logs"
	workDir  = "work"
	cacheDir = "cache"
	condaDir = "conda"

	manifestFile = "manifest.json"
	maxManifest  = 4 << 20
)

// manifest says what a complete environment is; its modification time is the last use.
type manifest struct {
	Key          string   `json:"key"`
	Python       string   `json:"python"`      // version
	Interpreter  string   `json:"interpreter"` // that it was made from; empty with conda
	Requirements []string `json:"requirements"`
	Packages     []string `json:"packages"` // as installed: name==version
	BuiltMS      int64    `json:"built_ms"`
	BuildMS      int64    `json:"build_duration_ms"`
	Bytes        int64    `json:"bytes"` // on the disk, files shared with the cache included
}

func (p *Pool) envDir(key string) string  { return filepath.Join(p.dir, envsDir, key) }
func (p *Pool) logFile(key string) string { return filepath.Join(p.dir, logsDir, key+".log") }
func (p *Pool) lockFile(key string) string {
	return filepath.Join(p.dir, locksDir, key)
}

func interpreterOf(dir string) string { return filepath.Join(dir, "bin", "python") }

// complete returns the manifest of an environment that is whole and whose interpreter is still there. Its lock is held.
func (p *Pool) complete(key string) (manifest, bool) {
	m, err := readManifest(p.envDir(key))
	if err != nil || m.Key != key {
		return m, false
	}
	_, err = os.Stat(interpreterOf(p.envDir(key))) // follows the link to the interpreter that it was made from
	return m, err == nil
}

func readManifest(dir string) (m manifest, err error) {
	name := filepath.Join(dir, manifestFile)
	info, err := os.Stat(name)
	if err != nil {
		return m, err
	}
	if info.Size() > maxManifest {
		return m, errors.New("the manifest is too large")
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// writeManifest makes the environment in dir complete: everything in it is on the disk first.
func writeManifest(dir string, m manifest) error {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	temporary := filepath.Join(dir, manifestFile+".new")
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return err
	}
	syscall.Sync() // thousands of files: one call for all
	return os.Rename(temporary, filepath.Join(dir, manifestFile))
}

// used notes a use.
func (p *Pool) used(key string) {
	now := p.opts.Now()
	_ = os.Chtimes(filepath.Join(p.envDir(key), manifestFile), now, now) // it serves the order of removal alone
}

var errBusy = errors.New("in use")

// lock takes the lock of a name in mode syscall.LOCK_SH or LOCK_EX and waits until ctx ends. Closing the file gives it back. The file may be
// removed by its exclusive holder, so whoever gets a lock looks whether it is still the one under that name.
func (p *Pool) lock(ctx context.Context, name string, mode int) (*os.File, error) {
	for {
		f, err := p.tryLock(name, mode)
		if !errors.Is(err, errBusy) {
			return f, err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tryLock is lock that returns errBusy instead of waiting.
func (p *Pool) tryLock(name string, mode int) (*os.File, error) {
	f, err := os.OpenFile(p.lockFile(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, mode); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	mine, err := f.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(f.Name()); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = errBusy // it was removed meanwhile: try the new one
	}
	return nil, errors.Join(err, f.Close())
}

func flock(f *os.File, mode int) error {
	for {
		err := syscall.Flock(int(f.Fd()), mode|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errBusy
		}
		return err
	}
}

// sweep removes builds whose processes died, and what is left of environments.
func (p *Pool) sweep() error {
	for _, sub := range []string{workDir, envsDir} {
		entries, err := os.ReadDir(filepath.Join(p.dir, sub))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if _, err := os.Stat(filepath.Join(p.dir, sub, e.Name(), manifestFile)); err == nil && sub == envsDir {
				continue
			}
			if err := p.sweepAway(sub, e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepAway removes what lies under a key unless somebody is at work there.
func (p *Pool) sweepAway(sub, key string) error {
	lock, err := p.tryLock(key, syscall.LOCK_EX)
	if errors.Is(err, errBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, whole := p.complete(key); sub == workDir || !whole {
		err = os.RemoveAll(filepath.Join(p.dir, sub, key))
	}
	return errors.Join(err, lock.Close())
}

// diskBytes is what a tree takes on the disk; a file with several names counts once. seen, which may be nil, carries on between trees.
func diskBytes(dir string, seen map[uint64]bool) int64 {
	if seen == nil {
		seen = map[uint64]bool{}
	}
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // removed meanwhile
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok || s.Nlink > 1 && !info.IsDir() && seen[s.Ino] {
			return nil
		}
		if s.Nlink > 1 && !info.IsDir() {
			seen[s.Ino] = true
		}
		total += s.Blocks * 512
		return nil
	})
	return total
}
