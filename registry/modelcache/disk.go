package modelcache

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

const (
	treesDir     = "trees"
	workDir      = "work"
	filesDir     = "files"
	manifestFile = "manifest.json"
	lockFile     = "lock"

	maxManifest = 64 << 10 // bytes
)

// manifest says what a complete tree is.
type manifest struct {
	Key    string `json:"key"`
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`
}

// open prepares the folder, takes its lock, empties work and takes up the complete trees.
func (c *Cache) open() error {
	for _, dir := range []string{c.dir, filepath.Join(c.dir, treesDir), filepath.Join(c.dir, workDir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	lock, err := os.OpenFile(filepath.Join(c.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(fmt.Errorf("another process uses the folder: %w", err), lock.Close())
	}
	c.lock = lock
	if err := c.takeUp(); err != nil {
		return errors.Join(err, lock.Close())
	}
	return nil
}

func (c *Cache) takeUp() error {
	if err := emptyDir(filepath.Join(c.dir, workDir)); err != nil {
		return err
	}
	trees, err := os.ReadDir(filepath.Join(c.dir, treesDir)) // sorted by name: the order of use is forgotten
	if err != nil {
		return err
	}
	for _, t := range trees {
		dir := filepath.Join(c.dir, treesDir, t.Name())
		m, err := readManifest(dir)
		if err != nil || treeName(m.Key) != t.Name() {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			continue
		}
		c.clock++
		local := Local{Dir: filepath.Join(dir, filesDir), Digest: m.Digest, Bytes: m.Bytes}
		c.entries[m.Key] = &entry{key: m.Key, local: local, bytes: m.Bytes, lastUse: c.clock}
		c.bytes += m.Bytes
	}
	return nil
}

func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func readManifest(dir string) (manifest, error) {
	var m manifest
	f, err := os.Open(filepath.Join(dir, manifestFile))
	if err != nil {
		return m, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(b, &m)
}

func treeName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// download fetches the tree of e from src.
func (c *Cache) download(ctx context.Context, e *entry, src Source) error {
	files, total, err := c.survey(ctx, src)
	if err != nil {
		return err
	}
	if err := c.reserve(e, total); err != nil {
		return err
	}
	work := filepath.Join(c.dir, workDir, rand.Text())
	local, err := c.fill(ctx, work, e.key, src, files)
	if err == nil {
		err = c.install(work, e, local)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(work))
	}
	return nil
}

// survey lists the files to fetch, sorted by path.
func (c *Cache) survey(ctx context.Context, src Source) (files []artifact.Info, total int64, err error) {
	err = src.Walk(ctx, "", func(i artifact.Info) error {
		if len(files) == c.opts.MaxFiles {
			return mlflow.Invalidf("The model has more than %d files.", c.opts.MaxFiles)
		}
		if _, err := artifact.CleanPath(i.Path); err != nil || i.Size < 0 {
			return mlflow.Invalidf("The model has a file with an unsafe path.")
		}
		files = append(files, i)
		total += i.Size
		return nil
	})
	if err == nil && len(files) == 0 {
		err = mlflow.Missingf("The model has no artifacts.")
	}
	slices.SortFunc(files, func(a, b artifact.Info) int { return strings.Compare(a.Path, b.Path) })
	return files, total, err
}

// fill copies the files into work and writes the manifest; everything is on the disk when it returns.
func (c *Cache) fill(ctx context.Context, work, key string, src Source, files []artifact.Info) (Local, error) {
	dir := filepath.Join(work, filesDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Local{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Local{}, err
	}
	defer root.Close()
	sums := make([]string, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.opts.Parallel)
	for i, f := range files {
		group.Go(func() error {
			var err error
			sums[i], err = copyFile(ctx, root, src, f)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Local{}, err
	}
	local := Local{Digest: digestOf(files, sums)}
	for _, f := range files {
		local.Bytes += f.Size
	}
	return local, writeManifest(work, manifest{key, local.Digest, local.Bytes})
}

// copyFile copies one file and returns its SHA-256. The number of bytes must be the one that was listed.
func copyFile(ctx context.Context, root *os.Root, src Source, want artifact.Info) (sum string, err error) {
	r, _, err := src.Open(ctx, want.Path)
	if err != nil {
		return "", err
	}
	defer r.Close()
	if err := root.MkdirAll(filepath.Dir(filepath.FromSlash(want.Path)), 0o700); err != nil {
		return "", err
	}
	f, err := root.OpenFile(filepath.FromSlash(want.Path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, hash), io.LimitReader(&cancellable{ctx, r}, want.Size+1))
	if err == nil && n != want.Size {
		err = mlflow.Errorf(mlflow.Aborted, "The artifact '%s' changed while it was read.", want.Path)
	}
	if err == nil {
		err = f.Sync()
	}
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(err, f.Close())
}

type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// digestOf is the SHA-256 over one line for each file, sorted by path: its path, NUL, size, NUL, SHA-256.
func digestOf(files []artifact.Info, sums []string) string {
	h := sha256.New()
	for i, f := range files {
		fmt.Fprintf(h, "%s\x00%d\x00%s\n", f.Path, f.Size, sums[i])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func writeManifest(dir string, m manifest) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, manifestFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// install renames a finished tree to its place. What stands there is left over from a process that could not clean up.
func (c *Cache) install(work string, e *entry, local Local) error {
	if err := syncTree(work); err != nil {
		return err
	}
	place := filepath.Join(c.dir, treesDir, treeName(e.key))
	if err := os.RemoveAll(place); err != nil {
		return err
	}
	if err := os.Rename(work, place); err != nil {
		return err
	}
	local.Dir = filepath.Join(place, filesDir)
	c.mu.Lock()
	e.local = local
	c.mu.Unlock()
	return syncDir(filepath.Join(c.dir, treesDir))
}

// syncTree makes the names in all folders of a tree durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncDir(p)
	})
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// detach moves the tree of e out of the way and returns where it lies for deletion. c.mu is held.
func (c *Cache) detach(e *entry) (trash string, err error) {
	trash = filepath.Join(c.dir, workDir, rand.Text())
	err = os.Rename(filepath.Dir(e.local.Dir), trash)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return trash, err
}

// verify reads a whole tree and compares it with its digest.
func verify(ctx context.Context, local Local) error {
	digest, err := DigestOf(ctx, local.Dir)
	if err == nil && digest != local.Digest {
		err = errors.New("the digest differs")
	}
	return err
}

// DigestOf reads a whole tree, which may lie anywhere, and returns its digest as Local has it. It is an error if there is anything in it but folders
// and regular files.
func DigestOf(ctx context.Context, dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	var files []artifact.Info
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", p)
		}
		files = append(files, artifact.Info{Path: p, Size: info.Size()})
		return nil
	})
	if err != nil {
		return "", err
	}
	slices.SortFunc(files, func(a, b artifact.Info) int { return strings.Compare(a.Path, b.Path) })
	sums, err := sumAll(ctx, root, files)
	if err != nil {
		return "", err
	}
	return digestOf(files, sums), nil
}

func sumAll(ctx context.Context, root *os.Root, files []artifact.Info) ([]string, error) {
	sums := make([]string, len(files))
	for i, f := range files {
		file, err := root.Open(f.Path)
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		_, err = io.Copy(h, &cancellable{ctx, file})
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
		sums[i] = hex.EncodeToString(h.Sum(nil))
	}
	return sums, nil
}
