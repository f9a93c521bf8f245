package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"sluice/registry/modelcache"
	"sluice/runtime/convert"
	"sluice/runtime/mlmodel"
)

// conversions gives the loader of a scoring server the conversions of this user, which all scoring servers share and take in turns: until done, which
// is called when the model is loaded, no other one converts. It returns the package with its digest, by which conversions are found again. A folder
// that cannot be used is no reason not to serve: the log says why the model is not converted.
func (s *scoring) conversions(ctx context.Context, l *loader, dir string) (local modelcache.Local, done func(), err error) {
	a, done := s.app, func() {}
	local.Dir = dir
	model, err := mlmodel.Load(dir)
	if err != nil {
		return local, done, err
	}
	if !s.converts || a.cfg.Conversion.Mode == "off" || model.Flavors.Has("onnx") || convert.Hopeless(model) != "" {
		return local, done, nil
	}
	if local.Digest, err = modelcache.DigestOf(ctx, dir); err == nil {
		at := filepath.Join(a.cfg.CacheDir, "converted")
		if done, err = lockFolder(ctx, at); err == nil {
			l.conversions, err = a.conversionsIn(at)
		}
	}
	if err != nil && ctx.Err() == nil {
		a.log.Warn("the model is not converted to ONNX", slog.Any("error", err))
		err = nil
	}
	return local, done, err
}

// lockPoll is how often a lock that another process holds is tried again.
const lockPoll = 100 * time.Millisecond

// lockFolder makes a folder, which others may not read, and waits until no other process uses it. unlock may be called once; the end of the process does as well.
func lockFolder(ctx context.Context, dir string) (unlock func(), err error) {
	nothing := func() {}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nothing, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nothing, err
	}
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nothing, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nothing, errors.Join(ctx.Err(), f.Close())
		case <-time.After(lockPoll):
		}
	}
}
