package setup

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeZip(t *testing.T, name string, members map[string]string) {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for member, text := range members {
		f, err := w.Create(member)
		if err != nil {
			t.Fatal(err)
		}
		f.Write([]byte(text))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func TestClientsAreTriedInOrderAndErrorsAreTold(t *testing.T) {
	var ran []string
	o := Options{CacheDir: t.TempDir(), OS: "linux", Arch: "amd64", Run: func(_ context.Context, dir, name string, args ...string) ([]byte, error) {
		ran = append(ran, name)
		return []byte("noise\nno network"), errors.New("exit status 1")
	}}
	_, err := OnnxRuntime(t.Context(), o)
	if err == nil {
		t.Fatal("no client works, but no error")
	}
	if got, want := strings.Join(ran, " "), "pip pip3 python3 uvx mvn npm"; got != want {
		t.Errorf("clients ran as %q, want %q", got, want)
	}
	for _, want := range []string{"mvn: ", "npm: ", "no network"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not tell %q", err, want)
		}
	}
	left, _ := filepath.Glob(filepath.Join(o.CacheDir, ".fetch-*"))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestWrongSumIsRefused(t *testing.T) {
	o := Options{CacheDir: t.TempDir(), OS: "linux", Arch: "amd64", Run: func(_ context.Context, dir, name string, args ...string) ([]byte, error) {
		if name != "pip" {
			return nil, errors.New("absent")
		}
		writeZip(t, filepath.Join(dir, "onnxruntime-1.whl"), map[string]string{"onnxruntime/capi/libonnxruntime.so.1.32.0": "not the library"})
		return nil, nil
	}}
	_, err := OnnxRuntime(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Fatalf("got %v, want a complaint about the sum", err)
	}
	if _, err := FindOnnxRuntime(o); err == nil {
		t.Error("a library with a wrong sum was kept")
	}
}

func TestTarballOfTheUsersOwn(t *testing.T) {
	dir := t.TempDir()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for _, h := range []tar.Header{
		{Name: "onnxruntime-linux-x64-1.32.0/lib/libonnxruntime.so", Typeflag: tar.TypeSymlink, Linkname: "libonnxruntime.so.1"},
		{Name: "onnxruntime-linux-x64-1.32.0/lib/libonnxruntime_providers_shared.so", Typeflag: tar.TypeReg, Size: 4, Mode: 0o644},
		{Name: "onnxruntime-linux-x64-1.32.0/lib/libonnxruntime.so.1.32.0", Typeflag: tar.TypeReg, Size: 4, Mode: 0o644},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write([]byte(h.Name[len(h.Name)-4:]))
		}
	}
	w.Close()
	gz.Close()
	tarball := filepath.Join(dir, "ort.tgz")
	if err := os.WriteFile(tarball, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	o := Options{CacheDir: filepath.Join(dir, "cache"), OS: "linux", Arch: "amd64", Tarball: tarball}
	lib, err := OnnxRuntime(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(lib); string(got) != "32.0" {
		t.Errorf("took %q out of the tarball, want the versioned library", got)
	}
}

func TestUnknownPlatformNamesTheWayOut(t *testing.T) {
	_, err := OnnxRuntime(t.Context(), Options{CacheDir: t.TempDir(), OS: "plan9", Arch: "mips"})
	if err == nil || !strings.Contains(err.Error(), "ORT_LIB") {
		t.Errorf("got %v, want a hint at ORT_LIB", err)
	}
}

func TestTreeIsConfined(t *testing.T) {
	for _, member := range []string{"ui/../../evil", "ui//../../../evil"} {
		dir := t.TempDir()
		archive := filepath.Join(dir, "a.zip")
		writeZip(t, archive, map[string]string{"ui/index.html": "ok", member: "evil"})
		if err := extractZipTree(archive, "ui/", filepath.Join(dir, "deep", "out")); err == nil {
			t.Errorf("%s was unpacked", member)
		}
		if _, err := os.Stat(filepath.Join(dir, "evil")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s escaped", member)
		}
	}
}

func TestMemberWithRightSumIsTaken(t *testing.T) {
	dir := t.TempDir()
	archive := filepath.Join(dir, "a.zip")
	writeZip(t, archive, map[string]string{"x/lib": "bytes", "y/other": "no"})
	target := filepath.Join(dir, "out", "lib")
	if err := extractZipMember(archive, target, sum("bytes"), func(name string) bool { return name == "x/lib" }); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(target); string(got) != "bytes" {
		t.Errorf("got %q", got)
	}
	if err := extractZipMember(archive, target, "", func(string) bool { return false }); !errors.Is(err, errNoMember) {
		t.Errorf("absent member: got %v", err)
	}
}
