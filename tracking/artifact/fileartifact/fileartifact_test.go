package fileartifact_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/tracking/artifact"
	"sluice/tracking/artifact/artifacttest"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/mlflow"
)

func open(t testing.TB, dir string) *fileartifact.Driver {
	t.Helper()
	d, err := fileartifact.New(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestSuite(t *testing.T) {
	t.Parallel()
	artifacttest.Run(t, func(t *testing.T) artifact.Driver { return open(t, t.TempDir()) })
}

func BenchmarkDriver(b *testing.B) {
	artifacttest.RunBenchmarks(b, func(b *testing.B) artifact.Driver { return open(b, b.TempDir()) })
}

// S10: links never lead anywhere, neither out of the folder nor inside it.
func TestLinksAreRefused(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600))
	d := open(t, dir)
	if _, err := d.Write(t.Context(), "real/file", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	must(t, os.Symlink(outside, filepath.Join(dir, "out")))
	must(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "leaf")))
	must(t, os.Symlink("real", filepath.Join(dir, "in")))
	must(t, os.Symlink("../../../../etc", filepath.Join(dir, "real", "up")))
	for _, p := range []string{"out/secret", "leaf", "in/file", "out", "real/up/passwd"} {
		if _, _, err := d.Open(t.Context(), p, 0, -1); !errors.Is(err, artifact.ErrLink) {
			t.Errorf("open %s: got %v, want ErrLink", p, err)
		}
		if _, err := d.Stat(t.Context(), p); !errors.Is(err, artifact.ErrLink) {
			t.Errorf("stat %s: got %v, want ErrLink", p, err)
		}
		if _, err := d.Write(t.Context(), p, strings.NewReader("evil")); !errors.Is(err, artifact.ErrLink) {
			t.Errorf("write %s: got %v, want ErrLink", p, err)
		}
		if err := d.Delete(t.Context(), p); !errors.Is(err, artifact.ErrLink) {
			t.Errorf("delete %s: got %v, want ErrLink", p, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(b) != "s" {
		t.Errorf("the outside file is %q, %v", b, err)
	}
	list, err := d.List(t.Context(), "")
	for _, info := range list {
		if info.Special != (info.Path != "real") || info.Special && (info.Size != 0 || info.IsDir) {
			t.Errorf("listed %+v", info)
		}
	}
	if err != nil || len(list) != 4 {
		t.Errorf("listed %v, %v; want the folder and three links", list, err)
	}
	if seen, err := artifact.NewRepo(d).List(t.Context(), ""); err != nil || len(seen) != 1 {
		t.Errorf("the Repo lists %v, %v; want the folder alone", seen, err)
	}
	if err := artifact.NewRepo(d).Walk(t.Context(), "", func(artifact.Info) error { return nil }); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
		t.Errorf("walking over links: got %v", err)
	}
	if list, err := d.List(t.Context(), "out"); err == nil {
		t.Errorf("listed the linked folder: %v", list)
	}
	must(t, d.Delete(t.Context(), "real"))
	if _, err := os.Stat(filepath.Join(outside, "secret")); err != nil {
		t.Error("deleting a tree with a link in it reached outside")
	}
}

func TestPipesAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	if _, _, err := open(t, dir).Open(t.Context(), "pipe", 0, -1); !errors.Is(err, artifact.ErrLink) {
		t.Errorf("got %v, want ErrLink", err)
	}
}

func TestUploadFolderIsInvisible(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	if _, err := d.Write(t.Context(), "a", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	list, err := d.List(t.Context(), "")
	if err != nil || len(list) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
	if _, err := d.Write(t.Context(), ".sluice-uploads/x", strings.NewReader("x")); err == nil {
		t.Error("wrote into the upload folder")
	}
	if err := d.Delete(t.Context(), ".sluice-uploads"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestAbandonedUploadsAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	temp := filepath.Join(dir, ".sluice-uploads")
	must(t, os.Mkdir(temp, 0o700))
	must(t, os.WriteFile(filepath.Join(temp, "half"), []byte("x"), 0o600))
	open(t, dir)
	if _, err := os.Stat(filepath.Join(temp, "half")); err != nil {
		t.Errorf("a young upload is gone: %v", err)
	}
	d, err := fileartifact.New(dir, &fileartifact.Options{Now: func() time.Time { return time.Now().Add(artifacttest.Age) }})
	must(t, err)
	defer d.Close()
	if _, err := os.Stat(filepath.Join(temp, "half")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an abandoned upload is still there: %v", err)
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	must(t, os.WriteFile(filepath.Join(base, "secret"), []byte("s"), 0o600))
	folders, err := fileartifact.OpenFolders([]string{filepath.Join(base, "one"), filepath.Join(base, "my store")}, nil)
	must(t, err)
	t.Cleanup(func() { must(t, folders.Close()) })
	must(t, os.MkdirAll(filepath.Join(base, "one", "1"), 0o750))
	must(t, os.WriteFile(filepath.Join(base, "one", "1", "f"), []byte("x"), 0o600))
	resolver := artifact.NewResolver(nil, map[string]artifact.Opener{"file": folders.Open})
	for _, c := range []struct {
		name, uri string
		code      mlflow.Code
	}{
		{"plain path", base + "/one/1", ""},
		{"file URI", "file://" + base + "/one/1", ""},
		{"short file URI", "file:" + base + "/one/1", ""},
		{"localhost", "file://localhost" + base + "/one/1", ""},
		{"escaped blank", "file://" + base + "/my%20store", ""},
		{"plain blank", base + "/my store", ""},
		{"the folder itself", base + "/one", ""},
		{"above", base, mlflow.PermissionDenied},
		{"elsewhere", "/etc", mlflow.PermissionDenied},
		{"elsewhere as URI", "file:///etc/", mlflow.PermissionDenied},
		{"root", "file:///", mlflow.PermissionDenied},
		{"name that begins alike", base + "/one-more", mlflow.PermissionDenied},
		{"dots", base + "/one/../secret", mlflow.InvalidParameterValue},
		{"escaped dots", "file://" + base + "/one/%2e%2e/secret", mlflow.InvalidParameterValue},
		{"twice escaped dots", "file://" + base + "/one/%252e%252e/secret", mlflow.InvalidParameterValue},
		{"other host", "file://evil" + base + "/one", mlflow.InvalidParameterValue},
		{"relative", "one/1", mlflow.InvalidParameterValue},
		{"query", "file://" + base + "/one?x", mlflow.InvalidParameterValue},
		{"fragment", "file://" + base + "/one#x", mlflow.InvalidParameterValue},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			repo, err := resolver.Resolve(c.uri)
			if mlflow.CodeOf(err) != c.code {
				t.Fatalf("got %v, want %q", err, c.code)
			}
			if err != nil || !strings.HasSuffix(c.uri, "/1") {
				return
			}
			r, _, err := repo.Open(t.Context(), "f")
			must(t, err)
			defer r.Close()
			if b, err := io.ReadAll(r); err != nil || string(b) != "x" {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
