package setup

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// S11: archives come from package registries or from the user; whatever is in them, nothing is written outside the target, links are
// neither made nor followed, and what unpacks to more than the bounds is refused while it unpacks.

// zipped writes a zip archive with the members, in their order, and returns its path.
func zipped(t *testing.T, members ...*zip.FileHeader) string {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, m := range members {
		f, err := w.CreateHeader(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, "evil"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, buf.Bytes())
}

func writeFile(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func member(name string, mode fs.FileMode) *zip.FileHeader {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(mode)
	return h
}

// alone fails the test if anything but want lies below dir.
func alone(t *testing.T, dir string, want ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		for _, w := range want {
			if p == filepath.Join(dir, w) {
				return nil
			}
		}
		t.Errorf("%s was made", p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestS11TreeMembersThatLeadOut(t *testing.T) {
	for name, members := range map[string][]*zip.FileHeader{
		"parent":             {member("ui/../../evil", 0o644)},
		"deep parent":        {member("ui/a/b/../../../../../evil", 0o644)},
		"absolute":           {member("ui//etc/evil", 0o644), member("ui//tmp/evil", 0o644)},
		"link":               {member("ui/link", fs.ModeSymlink|0o777)},
		"link, then through": {member("ui/link", fs.ModeSymlink|0o777), member("ui/link/evil", 0o644)},
		"device":             {member("ui/dev", fs.ModeDevice|0o644)},
		"pipe":               {member("ui/pipe", fs.ModeNamedPipe|0o644)},
		"twice":              {member("ui/a", 0o644), member("ui/a", 0o644)},
		"file as a folder":   {member("ui/a", 0o644), member("ui/a/evil", 0o644)},
		"NUL":                {member("ui/a\x00b", 0o644)},
		"nothing":            {member("other/a", 0o644)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target := filepath.Join(dir, "deep", "out")
			if err := extractZipTree(zipped(t, members...), "ui/", target); err == nil {
				t.Error("unpacked")
			}
			alone(t, dir)
			if left, _ := filepath.Glob(filepath.Join(dir, "deep", ".tree-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A backslash is a letter like any other here: the file stays inside.
func TestS11BackslashesStayInside(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "out")
	if err := extractZipTree(zipped(t, member(`ui/..\..\evil`, 0o644)), "ui/", target); err != nil {
		return // refused is fine too
	}
	alone(t, dir, filepath.Join("out", `..\..\evil`))
}

func TestS11SetuidIsNotKept(t *testing.T) {
	target := filepath.Join(t.TempDir(), "out")
	if err := extractZipTree(zipped(t, member("ui/tool", fs.ModeSetuid|0o777)), "ui/", target); err != nil {
		return
	}
	info, err := os.Stat(filepath.Join(target, "tool"))
	if err != nil || info.Mode()&(fs.ModeSetuid|0o111) != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestS11TooManyMembers(t *testing.T) {
	var members []*zip.FileHeader
	for i := range 11 {
		members = append(members, member(fmt.Sprintf("ui/%d", i), 0o644))
	}
	dir := t.TempDir()
	if err := (limits{file: 100, tree: 1000, files: 10}).zipTree(zipped(t, members...), "ui/", filepath.Join(dir, "out")); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
	alone(t, dir)
}

// bomb returns a gzip stream of size zeros.
func bomb(t *testing.T, head []byte, size int64) []byte {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	if _, err := gz.Write(head); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(gz, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func tarHeader(t *testing.T, h tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := tar.NewWriter(&buf).WriteHeader(&h); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestS11Bombs(t *testing.T) {
	const most = 1 << 20
	anything := func(string) bool { return true }
	dir := t.TempDir()
	target := filepath.Join(dir, "lib")

	tarball := writeFile(t, bomb(t, tarHeader(t, tar.Header{Name: "lib", Typeflag: tar.TypeReg, Mode: 0o644, Size: 8 << 20}), 8<<20))
	if err := (limits{file: most, tree: most, files: 10}).tarMember(tarball, target, "", anything); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("tar: got %v", err)
	}
	// One that is passed over costs no more than the bound either.
	skipped := writeFile(t, bomb(t, tarHeader(t, tar.Header{Name: "other", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1 << 40}), 16<<20))
	if err := (limits{file: most, tree: most, files: 10}).tarMember(skipped, target, "", func(name string) bool { return name == "lib" }); !errors.Is(err, errTooLarge) {
		t.Errorf("passed over: got %v", err)
	}

	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, name := range []string{"ui/a", "ui/b"} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(f, zeros{}, 700<<10); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	archive := writeFile(t, buf.Bytes())
	if err := (limits{file: most, tree: most, files: 10}).zipTree(archive, "ui/", filepath.Join(dir, "tree")); !errors.Is(err, errTooLarge) {
		t.Errorf("tree: got %v", err)
	}
	if err := (limits{file: 100 << 10, tree: most, files: 10}).zipMember(archive, target, "", anything); !errors.Is(err, errTooLarge) {
		t.Errorf("zip member: got %v", err)
	}
	alone(t, dir)
}

func TestS11LinksInATarball(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []byte{tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeFifo, tar.TypeDir} {
		tarball := writeFile(t, bomb(t, tarHeader(t, tar.Header{Name: "lib", Typeflag: kind, Linkname: secret, Mode: 0o644}), 1024))
		if err := extractTarMember(tarball, filepath.Join(dir, "lib"), "", func(string) bool { return true }); !errors.Is(err, errNoMember) {
			t.Errorf("%c: got %v", kind, err)
		}
	}
	alone(t, dir, "secret")
}

func TestS11BrokenArchives(t *testing.T) {
	dir := t.TempDir()
	for name, b := range map[string][]byte{"empty": {}, "noise": []byte("not an archive"), "cut": bomb(t, tarHeader(t, tar.Header{Name: "lib", Typeflag: tar.TypeReg, Size: 100}), 10)} {
		archive := writeFile(t, b)
		anything := func(string) bool { return true }
		if err := extractTarMember(archive, filepath.Join(dir, "lib"), "", anything); err == nil {
			t.Errorf("tar, %s: unpacked", name)
		}
		if err := extractZipMember(archive, filepath.Join(dir, "lib"), "", anything); err == nil {
			t.Errorf("zip, %s: unpacked", name)
		}
		if err := extractZipTree(archive, "", filepath.Join(dir, "out")); err == nil {
			t.Errorf("tree, %s: unpacked", name)
		}
	}
	alone(t, dir)
}
