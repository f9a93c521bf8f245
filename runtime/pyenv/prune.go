package pyenv

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Info is an environment on the disk.
type Info struct {
	Key          string
	Python       string   // version
	Requirements []string // that it was made for
	Packages     []string // that it has, as name==version
	Bytes        int64
	Built, Used  time.Time // Used: when it was last taken into use
	InUse        bool      // by this or another process, now
}

const (
	upkeepEvery = time.Hour
	maxLogs     = 500
)

// List returns the complete environments, the one used last first.
func (p *Pool) List() ([]Info, error) {
	entries, err := os.ReadDir(filepath.Join(p.dir, envsDir))
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, e := range entries {
		if i, ok := p.info(e.Name()); ok {
			out = append(out, i)
		}
	}
	slices.SortFunc(out, func(a, b Info) int { return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Key, b.Key)) })
	return out, nil
}

func (p *Pool) info(key string) (Info, bool) {
	m, err := readManifest(p.envDir(key))
	if err != nil || m.Key != key {
		return Info{}, false
	}
	stat, err := os.Stat(filepath.Join(p.envDir(key), manifestFile))
	if err != nil {
		return Info{}, false
	}
	i := Info{Key: key, Python: m.Python, Requirements: m.Requirements, Packages: m.Packages, Bytes: m.Bytes, Built: time.UnixMilli(m.BuiltMS), Used: stat.ModTime()}
	lock, err := p.tryLock(key, syscall.LOCK_EX)
	if i.InUse = errors.Is(err, errBusy); err == nil {
		_ = lock.Close()
	}
	return i, true
}

// Prune removes environments that nobody uses: those not used for maxAge, and then, the one used longest ago first, as many as exceed maxBytes,
// before which the cache of packages is emptied. It returns what it removed. 0 removes all that are not in use.
func (p *Pool) Prune(ctx context.Context, maxBytes int64, maxAge time.Duration) ([]Info, error) {
	return p.pruneBut(ctx, "", maxBytes, maxAge)
}

// prune keeps the bounds of the options; keep, which was just built, stays.
func (p *Pool) prune(ctx context.Context, keep string) {
	removed, err := p.pruneBut(ctx, keep, p.opts.MaxBytes, p.opts.MaxAge)
	if err != nil && ctx.Err() == nil {
		p.opts.Logger.Warn("environments could not be pruned", slog.Any("error", err))
	}
	for _, i := range removed {
		p.opts.Logger.Info("environment removed", slog.String("environment", i.Key), slog.Int64("bytes", i.Bytes))
	}
}

// upkeep keeps the bounds on age in a process that builds nothing.
func (p *Pool) upkeep() {
	for pause(p.ctx, upkeepEvery) == nil {
		p.prune(p.ctx, "")
	}
}

func (p *Pool) pruneBut(ctx context.Context, keep string, maxBytes int64, maxAge time.Duration) (removed []Info, err error) {
	all, err := p.List()
	if err != nil {
		return nil, err
	}
	seen := map[uint64]bool{}
	sizes := make([]int64, len(all))
	total := int64(0)
	for i := range all { // what several share counts for the one used last, which goes last
		sizes[i] = diskBytes(p.envDir(all[i].Key), seen)
		total += sizes[i]
	}
	total += p.emptyCaches(total, maxBytes, seen)
	now := p.opts.Now()
	for i, info := range slices.Backward(all) {
		if ctx.Err() != nil {
			return removed, context.Cause(ctx)
		}
		if info.Key == keep || info.InUse || total <= maxBytes && now.Sub(info.Used) < maxAge {
			continue
		}
		ok, err := p.remove(info.Key)
		if err != nil {
			return removed, err
		}
		if ok {
			total -= sizes[i]
			removed = append(removed, info)
		}
	}
	return removed, p.pruneLogs()
}

// emptyCaches empties the folder's own caches of packages if they and the environments exceed the bound and nobody builds, and returns the bytes
// that they still take.
func (p *Pool) emptyCaches(taken, maxBytes int64, seen map[uint64]bool) int64 {
	bytes := diskBytes(filepath.Join(p.dir, cacheDir), seen) + diskBytes(filepath.Join(p.dir, condaDir), seen)
	if taken+bytes <= maxBytes {
		return bytes
	}
	lock, err := p.tryLock(cacheDir, syscall.LOCK_EX)
	if err != nil {
		return bytes
	}
	defer lock.Close()
	if errors.Join(os.RemoveAll(filepath.Join(p.dir, cacheDir)), os.RemoveAll(filepath.Join(p.dir, condaDir))) != nil {
		return bytes
	}
	return 0
}

// remove deletes an environment unless somebody uses it. It is out of its place at once, and its lock file goes with it.
func (p *Pool) remove(key string) (bool, error) {
	lock, err := p.tryLock(key, syscall.LOCK_EX)
	if errors.Is(err, errBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	trash := filepath.Join(p.dir, workDir, key)
	err = os.RemoveAll(trash)
	if err == nil {
		err = os.Rename(p.envDir(key), trash)
	}
	if err == nil {
		err = os.RemoveAll(trash)
	}
	return err == nil, errors.Join(err, os.RemoveAll(p.logFile(key)), os.Remove(lock.Name()))
}

// pruneLogs keeps the newest logs of builds.
func (p *Pool) pruneLogs() error {
	entries, err := os.ReadDir(filepath.Join(p.dir, logsDir))
	if err != nil || len(entries) <= maxLogs {
		return err
	}
	modified := func(e os.DirEntry) time.Time {
		info, err := e.Info()
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return modified(b).Compare(modified(a)) })
	for _, e := range entries[maxLogs:] {
		err = errors.Join(err, os.Remove(filepath.Join(p.dir, logsDir, e.Name())))
	}
	return err
}
