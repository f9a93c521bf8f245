package setup

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// limits bound what is unpacked: an archive that grows past them is refused while it grows.
type limits struct {
	file  int64 // bytes of one file
	tree  int64 // bytes of a whole tree, or of a tar archive up to the file that is looked for
	files int   // of a tree
}

// bounds are what the real archives stay well below: the largest has some 100 MB and 2,000 files.
var bounds = limits{file: 512 << 20, tree: 2 << 30, files: 20_000}

var (
	errNoMember = errors.New("the archive has no such file")
	errTooLarge = errors.New("the archive is larger than it may be")
)

func extractZipMember(archive, target, sum string, want func(name string) bool) error {
	return bounds.zipMember(archive, target, sum, want)
}

func extractTarMember(archive, target, sum string, want func(name string) bool) error {
	return bounds.tarMember(archive, target, sum, want)
}

func extractZipTree(archive, prefix, target string) error {
	return bounds.zipTree(archive, prefix, target)
}

// zipMember writes the first member for which want is true to target, by rename, and checks its SHA-256 (hex; empty: not checked).
func (l limits) zipMember(archive, target, sum string, want func(name string) bool) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, f := range r.File {
		if !want(f.Name) {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return err
		}
		defer in.Close()
		return l.writeVerified(in, target, sum)
	}
	return errNoMember
}

// tarMember is zipMember for a gzipped tar archive. Links are passed over: only a regular file is taken.
func (l limits) tarMember(archive, target, sum string, want func(name string) bool) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	tr := tar.NewReader(&meter{r: unzipped, left: l.tree})
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return errNoMember
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg && want(h.Name) {
			return l.writeVerified(tr, target, sum)
		}
	}
}

// meter fails once more than left bytes were read.
type meter struct {
	r    io.Reader
	left int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if m.left -= int64(n); m.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

func (l limits) writeVerified(in io.Reader, target, sum string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(target), ".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(tmp, hash), io.LimitReader(in, l.file+1))
	if err != nil {
		return err
	}
	if n > l.file {
		return fmt.Errorf("%w: %s is larger than %d bytes", errTooLarge, filepath.Base(target), l.file)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); sum != "" && got != sum {
		return fmt.Errorf("SHA-256 of %s is %s, expected %s", filepath.Base(target), got, sum)
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), target)
}

// zipTree unpacks every file below prefix into target, which appears by rename. Paths are confined by os.Root; links are refused.
func (l limits) zipTree(archive, prefix, target string) error {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(target), ".tree-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := l.unpackBelow(&r.Reader, prefix, tmp); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	return os.Rename(tmp, target)
}

func (l limits) unpackBelow(r *zip.Reader, prefix, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var files int
	var total int64
	for _, f := range r.File {
		name, below := strings.CutPrefix(f.Name, prefix)
		if !below || name == "" || strings.HasSuffix(name, "/") {
			continue
		}
		if !f.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", f.Name)
		}
		if files++; files > l.files {
			return fmt.Errorf("%w: more than %d files", errTooLarge, l.files)
		}
		n, err := unpackFile(root, name, f, l.tree-total)
		if err != nil {
			return err
		}
		total += n
	}
	if files == 0 {
		return errNoMember
	}
	return nil
}

func unpackFile(root *os.Root, name string, f *zip.File, room int64) (int64, error) {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return 0, err
	}
	in, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	n, err := io.Copy(out, io.LimitReader(in, room+1))
	if err != nil {
		return 0, err
	}
	if n > room {
		return 0, fmt.Errorf("%w: %s does not fit any more", errTooLarge, name)
	}
	return n, out.Close()
}

func fileSHA256(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
