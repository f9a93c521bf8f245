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

// maxFileBytes bounds one unpacked file, maxTreeBytes a whole tree: an archive that grows past them is refused.
const (
	maxFileBytes = 512 << 20
	maxTreeBytes = 512 << 20
	maxTreeFiles = 20_000
)

var errNoMember = errors.New("the archive has no such file")

// extractZipMember writes the first member for which want is true to target, by rename, and checks its SHA-256 (hex; empty: not checked).
func extractZipMember(archive, target, sum string, want func(name string) bool) error {
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
		return writeVerified(in, target, sum)
	}
	return errNoMember
}

// extractTarMember is extractZipMember for a gzipped tar archive. Links are passed over: only a regular file is taken.
func extractTarMember(archive, target, sum string, want func(name string) bool) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	tr := tar.NewReader(unzipped)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return errNoMember
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg && want(h.Name) {
			return writeVerified(tr, target, sum)
		}
	}
}

func writeVerified(in io.Reader, target, sum string) error {
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
	n, err := io.Copy(io.MultiWriter(tmp, hash), io.LimitReader(in, maxFileBytes+1))
	if err != nil {
		return err
	}
	if n > maxFileBytes {
		return fmt.Errorf("%s is larger than %d bytes", filepath.Base(target), maxFileBytes)
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

// extractZipTree unpacks every file below prefix into target, which appears by rename. Paths are confined by os.Root; links are refused.
func extractZipTree(archive, prefix, target string) error {
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
	if err := unpackBelow(&r.Reader, prefix, tmp); err != nil {
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

func unpackBelow(r *zip.Reader, prefix, dir string) error {
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
		if files++; files > maxTreeFiles {
			return fmt.Errorf("more than %d files", maxTreeFiles)
		}
		n, err := unpackFile(root, name, f, maxTreeBytes-total)
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
		return 0, fmt.Errorf("the archive unpacks to more than %d bytes", int64(maxTreeBytes))
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
