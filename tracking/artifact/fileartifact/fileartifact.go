// Package fileartifact stores artifacts in a folder of this machine.
//
// It owns how files reach the disk: written beside the tree, synced, renamed into place. It is called through artifact.Repo; it
// must not know URIs beyond the folders that the operator opened (Opener), nor whose files they are.
//
// Every access goes through one os.Root, so that neither a path nor a link, not even one swapped in between check and use, leads
// out of the folder. Links inside the folder are not followed either: listings mark them and everything else refuses them.
// A Driver is safe for concurrent use, also by several processes.
package fileartifact

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sluice/tracking/artifact"
)

// tempDir holds files that are being written; clients can't see it.
const tempDir = ".sluice-uploads"

// staleAfter is the age from which a temporary file belongs to a process that died.
const staleAfter = 24 * time.Hour

const copyBuffer = 256 << 10 // bytes

// Driver stores files below one folder.
type Driver struct {
	root *os.Root
	dir  string // absolute
}

var (
	_ artifact.Driver    = (*Driver)(nil)
	_ artifact.LocalPath = (*Driver)(nil)
)

// Options are the settings of a Driver; nil and the zero value work.
type Options struct {
	// Now is the clock by which abandoned uploads are told from running ones; default time.Now.
	Now func() time.Time
}

// New opens the folder dir, which is made if it is not there, and removes uploads that were abandoned a day ago or earlier.
// Close the Driver when its readers are done.
func New(dir string, opts *Options) (*Driver, error) {
	now := time.Now
	if opts != nil && opts.Now != nil {
		now = opts.Now
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("artifact folder: %w", err)
	}
	if err := os.MkdirAll(abs, 0o750); err != nil {
		return nil, fmt.Errorf("artifact folder: %w", err)
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("artifact folder: %w", err)
	}
	d := &Driver{root: root, dir: abs}
	if err := d.sweep(now()); err != nil {
		root.Close()
		return nil, fmt.Errorf("artifact folder: remove abandoned uploads: %w", err)
	}
	return d, nil
}

// Close releases the folder. Open readers stay usable.
func (d *Driver) Close() error { return d.root.Close() }

// LocalPath returns the absolute path of a file or folder.
func (d *Driver) LocalPath(p string) string { return filepath.Join(d.dir, filepath.FromSlash(p)) }

// sweep removes temporary files that nobody writes any more.
func (d *Driver) sweep(now time.Time) error {
	entries, err := d.entries(tempDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || now.Sub(info.ModTime()) < staleAfter {
			continue
		}
		if err := d.root.RemoveAll(path.Join(tempDir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// check refuses our own folder and paths that lead over a link. A link swapped in afterwards still can't leave the root.
func (d *Driver) check(p string) error {
	if p == tempDir || strings.HasPrefix(p, tempDir+"/") {
		return fs.ErrNotExist
	}
	if p == "" {
		return nil
	}
	for i := 0; i <= len(p); i++ {
		if i < len(p) && p[i] != '/' {
			continue
		}
		info, err := d.root.Lstat(p[:i])
		switch {
		case err != nil:
			return notDir(err)
		case info.Mode()&^(fs.ModePerm|fs.ModeSetgid|fs.ModeSetuid|fs.ModeSticky)&^fs.ModeDir != 0:
			return artifact.ErrLink
		case i < len(p) && !info.IsDir():
			return artifact.ErrNotDir
		}
	}
	return nil
}

// notDir names the system's way of saying that a file stands where a folder is needed.
func notDir(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %w", artifact.ErrNotDir, err)
	}
	return err
}

// missing reports whether an error of check means that there is nothing at the path.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, artifact.ErrNotDir)
}

// List implements artifact.Reader.
func (d *Driver) List(ctx context.Context, dir string) ([]artifact.Info, error) {
	if err := d.check(dir); missing(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	entries, err := d.entries(name(dir))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := make([]artifact.Info, 0, len(entries))
	for _, e := range entries {
		full := artifact.Join(dir, e.Name())
		if full == tempDir {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, infoOf(full, info))
	}
	return list, ctx.Err()
}

// entries reads a folder without sorting it.
func (d *Driver) entries(dir string) ([]fs.DirEntry, error) {
	f, err := d.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(artifact.MaxEntries + 1)
	if err == io.EOF {
		err = nil
	}
	if len(entries) > artifact.MaxEntries {
		return nil, artifact.ErrTooMany
	}
	return entries, err
}

// Stat implements artifact.Reader.
func (d *Driver) Stat(_ context.Context, p string) (artifact.Info, error) {
	if err := d.check(p); err != nil {
		return artifact.Info{}, notThere(err)
	}
	info, err := d.root.Lstat(name(p))
	if err != nil {
		return artifact.Info{}, err
	}
	return infoOf(p, info), nil
}

// Open implements artifact.Reader.
func (d *Driver) Open(_ context.Context, p string, offset, length int64) (io.ReadCloser, artifact.Info, error) {
	if err := d.check(p); err != nil {
		return nil, artifact.Info{}, notThere(err)
	}
	f, err := d.root.OpenFile(name(p), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, artifact.Info{}, err
	}
	info, err := readable(f, offset)
	if err != nil {
		f.Close()
		return nil, artifact.Info{}, err
	}
	if length < 0 {
		return f, infoOf(p, info), nil
	}
	return &part{io.LimitReader(f, length), f}, infoOf(p, info), nil
}

// notThere makes a file in the middle of a path what it is to a reader: nothing there.
func notThere(err error) error {
	if errors.Is(err, artifact.ErrNotDir) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// readable makes sure, on the open file, that it is a regular one, and goes to offset.
func readable(f *os.File, offset int64) (fs.FileInfo, error) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, artifact.ErrIsDir
	case !info.Mode().IsRegular():
		return nil, artifact.ErrLink
	}
	if offset > 0 {
		_, err = f.Seek(offset, io.SeekStart)
	}
	return info, err
}

// part is a range of an open file.
type part struct {
	io.Reader
	io.Closer
}

// Write implements artifact.Writer.
func (d *Driver) Write(ctx context.Context, p string, r io.Reader) (int64, error) {
	if err := d.target(p); err != nil {
		return 0, err
	}
	temp, n, err := d.receive(ctx, r)
	if err != nil {
		return 0, err
	}
	if err := d.place(temp, p); err != nil {
		return 0, errors.Join(err, d.root.Remove(temp))
	}
	return n, nil
}

// target refuses a path that can't become a file, before anything is received.
func (d *Driver) target(p string) error {
	if p == tempDir || strings.HasPrefix(p, tempDir+"/") {
		return artifact.ErrLink
	}
	err := d.check(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := d.root.Lstat(name(p))
	if err == nil && info.IsDir() {
		return artifact.ErrIsDir
	}
	return err
}

// receive streams r into a temporary file, which is complete and on the disk when it returns.
func (d *Driver) receive(ctx context.Context, r io.Reader) (temp string, n int64, err error) {
	if err := d.root.Mkdir(tempDir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", 0, err
	}
	temp = tempDir + "/" + rand.Text()
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return "", 0, err
	}
	w := newEager(f)
	n, err = io.CopyBuffer(w, &cancellable{ctx, r}, make([]byte, copyBuffer))
	w.wait()
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", 0, errors.Join(err, d.root.Remove(temp))
	}
	return temp, n, nil
}

// cancellable stops reading when its context ends.
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

// place renames a complete file to its path and makes the rename durable.
func (d *Driver) place(temp, p string) error {
	dir := path.Dir(p)
	made, err := d.mkdir(dir)
	if err != nil {
		return err
	}
	if err := d.root.Rename(temp, name(p)); err != nil {
		if errors.Is(err, syscall.EISDIR) || errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: %w", artifact.ErrIsDir, err)
		}
		return notDir(err)
	}
	for {
		if err := d.syncDir(dir); err != nil {
			return err
		}
		if dir == "." || !made {
			return nil
		}
		dir = path.Dir(dir)
	}
}

// mkdir makes a folder and those above it and reports whether it made any.
func (d *Driver) mkdir(dir string) (bool, error) {
	if _, err := d.root.Lstat(dir); err == nil {
		return false, nil
	}
	return true, notDir(d.root.MkdirAll(dir, 0o750))
}

func (d *Driver) syncDir(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Delete implements artifact.Writer.
func (d *Driver) Delete(_ context.Context, p string) error {
	if err := d.check(p); err != nil {
		return notThere(err)
	}
	if err := d.root.RemoveAll(name(p)); err != nil {
		return err
	}
	return d.syncDir(path.Dir(p))
}

// name is the path as os.Root wants it.
func name(p string) string {
	if p == "" {
		return "."
	}
	return p
}

func infoOf(p string, info fs.FileInfo) artifact.Info {
	i := artifact.Info{Path: p, IsDir: info.IsDir(), Modified: info.ModTime(), Special: !info.IsDir() && !info.Mode().IsRegular()}
	if info.Mode().IsRegular() {
		i.Size = info.Size()
	}
	return i
}
