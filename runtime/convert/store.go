package convert

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"sluice/runtime/onnx"
)

// Store keeps conversions on the disk, by the digest of the package's files and the program that converted them, so that a model is converted
// once whatever its versions are called.
//
//	<dir>/<first 32 digits of the digest>-<generation>/    a finished conversion: RecordFile, ModelFile, rows.json
//	<dir>/work-<random>/                                   one under way, or left over: removed at the start
//
// A verdict that depends on what is installed (Result.Missing) is not kept, one that came of a bound (Result.Exhausted) only for bounds that are no larger. Beyond the budget the conversions that were used longest ago are removed;
// loaded ones have been read whole and do not need their files.
type Store struct {
	dir  string
	opts StoreOptions
	slot chan struct{} // one conversion at a time: each keeps a processor busy
}

// StoreOptions are the settings of a Store.
type StoreOptions struct {
	Options
	// MaxBytes is the budget for all conversions together. Default (0): 4 GiB.
	MaxBytes int64
}

const workPrefix = "work-"

// NewStore opens the folder, which must be this process's own, and removes what a dead process left half done.
func NewStore(dir string, opts *StoreOptions) (*Store, error) {
	s := &Store{dir: dir, slot: make(chan struct{}, 1)}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.Options = s.opts.withDefaults()
	if s.opts.MaxBytes == 0 {
		s.opts.MaxBytes = 4 << 30
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("conversions: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, workPrefix+"*"))
	for _, l := range left {
		err = errors.Join(err, os.RemoveAll(l))
	}
	if err != nil {
		return nil, fmt.Errorf("conversions: %w", err)
	}
	return s, nil
}

// Of returns the conversion of the package in modelDir, whose files have this digest, and the folder that holds it. The first call converts, with
// the interpreter that environment gives; others at the same time wait for it. Errors as Convert's, environment's, and ctx's.
func (s *Store) Of(ctx context.Context, rt *onnx.Runtime, digest, modelDir string, environment func(context.Context) (string, error)) (Result, string, error) {
	place := filepath.Join(s.dir, name(digest))
	if r, ok := s.kept(place); ok {
		return r, place, nil
	}
	select {
	case s.slot <- struct{}{}:
	case <-ctx.Done():
		return Result{}, "", ctx.Err()
	}
	defer func() { <-s.slot }()
	if r, ok := s.kept(place); ok { // another call's
		return r, place, nil
	}
	r, err := s.convert(ctx, rt, place, modelDir, environment)
	return r, place, err
}

// kept is a finished conversion; it counts as used now.
func (s *Store) kept(place string) (Result, bool) {
	r, err := ReadRecord(place)
	if err != nil || (r.Exhausted != nil && s.opts.roomier(*r.Exhausted)) {
		return Result{}, false
	}
	now := time.Now()
	_ = os.Chtimes(place, now, now) // only the order of removal
	return r, true
}

func (s *Store) convert(ctx context.Context, rt *onnx.Runtime, place, modelDir string, environment func(context.Context) (string, error)) (Result, error) {
	interpreter, err := environment(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("environment: %w", err)
	}
	work, err := os.MkdirTemp(s.dir, workPrefix)
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(work)
	r, err := Convert(ctx, rt, interpreter, modelDir, work, &s.opts.Options)
	if err != nil || len(r.Missing) > 0 {
		return r, err
	}
	if err := os.RemoveAll(place); err != nil { // one whose record cannot be read
		return r, err
	}
	if err := os.Rename(work, place); err != nil {
		return r, err
	}
	return r, s.prune(place)
}

// prune removes what was used longest ago until the rest fits; never keep.
func (s *Store) prune(keep string) error {
	type entry struct {
		dir   string
		bytes int64
		used  time.Time
	}
	dirs, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var all []entry
	total := int64(0)
	for _, d := range dirs {
		info, err := d.Info()
		if err != nil || !d.IsDir() {
			continue
		}
		e := entry{dir: filepath.Join(s.dir, d.Name()), used: info.ModTime()}
		e.bytes = treeBytes(e.dir)
		total += e.bytes
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.dir, b.dir)) })
	for _, e := range all {
		if total <= s.opts.MaxBytes {
			break
		}
		if e.dir == keep {
			continue
		}
		if err := os.RemoveAll(e.dir); err != nil {
			return err
		}
		total -= e.bytes
	}
	return nil
}

func treeBytes(dir string) int64 {
	n := int64(0)
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}

// name is a conversion's folder: another program may judge otherwise, so its own text is part of it.
func name(digest string) string {
	sum := sha256.Sum256([]byte(digest))
	return hex.EncodeToString(sum[:16]) + "-" + generation()
}

func generation() string {
	h := sha256.New()
	const folder = "python/sluice_convert"
	files, _ := program.ReadDir(folder) // embedded: it is there
	for _, f := range files {
		text, _ := program.ReadFile(path.Join(folder, f.Name()))
		fmt.Fprintf(h, "%s\x00%d\x00%s", f.Name(), len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
