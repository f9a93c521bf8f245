package modelcache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/registry/modelcache"
	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/mlflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tree is a Source in memory that counts its walks and can be held up, fail, or lie about sizes.
type tree struct {
	files map[string]string
	walks atomic.Int32
	gate  chan struct{} // if set, Open waits for it
	began chan struct{} // if set, closed by the first Open
	once  sync.Once
	fail  error
	lie   int64 // added to the sizes that Walk tells
}

func (s *tree) Walk(_ context.Context, _ string, visit func(artifact.Info) error) error {
	s.walks.Add(1)
	for p, content := range s.files {
		if err := visit(artifact.Info{Path: p, Size: int64(len(content)) + s.lie}); err != nil {
			return err
		}
	}
	return nil
}

func (s *tree) Open(ctx context.Context, p string) (io.ReadCloser, artifact.Info, error) {
	if s.began != nil {
		s.once.Do(func() { close(s.began) })
	}
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, artifact.Info{}, ctx.Err()
		}
	}
	if s.fail != nil {
		return nil, artifact.Info{}, s.fail
	}
	return io.NopCloser(strings.NewReader(s.files[p])), artifact.Info{Path: p}, nil
}

func model(content string) *tree {
	return &tree{files: map[string]string{"MLmodel": "flavors", "data/model.onnx": content}}
}

func open(t *testing.T, dir string, opts *modelcache.Options) *modelcache.Cache {
	t.Helper()
	c, err := modelcache.New(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func fetch(t *testing.T, c *modelcache.Cache, key string, src modelcache.Source) (modelcache.Local, func()) {
	t.Helper()
	local, release, err := c.Fetch(t.Context(), key, src)
	if err != nil {
		t.Fatalf("fetch %s: %v", key, err)
	}
	return local, release
}

func content(t *testing.T, local modelcache.Local) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(local.Dir, "data", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFetchOnce(t *testing.T) {
	t.Parallel()
	c, src := open(t, t.TempDir(), nil), model("abc")
	first, release := fetch(t, c, "wine/1", src)
	defer release()
	again, release2 := fetch(t, c, "wine/1", src)
	defer release2()
	if first != again || src.walks.Load() != 1 {
		t.Errorf("got %+v and %+v after %d walks", first, again, src.walks.Load())
	}
	if content(t, first) != "abc" || first.Bytes != 10 {
		t.Errorf("got %q, %d bytes", content(t, first), first.Bytes)
	}
	other, release3 := fetch(t, c, "wine/2", model("abc"))
	defer release3()
	if other.Digest != first.Digest || other.Dir == first.Dir {
		t.Errorf("equal trees under two keys: %+v and %+v", first, other)
	}
	changed, release4 := fetch(t, c, "wine/3", model("abd"))
	defer release4()
	if changed.Digest == first.Digest {
		t.Error("different trees have one digest")
	}
	for _, dir := range []string{first.Dir, filepath.Dir(first.Dir)} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, %v; want 0700", dir, info.Mode(), err)
		}
	}
}

func TestConcurrentFetchesShareOneDownload(t *testing.T) {
	t.Parallel()
	c, src := open(t, t.TempDir(), nil), model("abc")
	src.gate, src.began = make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			local, release, err := c.Fetch(t.Context(), "k", src)
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			if content(t, local) != "abc" {
				t.Error("wrong content")
			}
		})
	}
	<-src.began
	close(src.gate)
	wg.Wait()
	if n := src.walks.Load(); n != 1 {
		t.Errorf("downloaded %d times", n)
	}
	if s := c.Stats(); s.Pinned != 0 || s.Trees != 1 || s.Bytes != 10 {
		t.Errorf("afterwards: %+v", s)
	}
}

func TestDownloadOutlivesOneWaiterButNotAll(t *testing.T) {
	t.Parallel()
	c, src := open(t, t.TempDir(), nil), model("abc")
	src.gate, src.began = make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	impatient := make(chan error, 1)
	go func() {
		_, _, err := c.Fetch(ctx, "k", src)
		impatient <- err
	}()
	<-src.began
	patient := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		_, release, err := c.Fetch(t.Context(), "k", src)
		if err == nil {
			release()
		}
		patient <- err
	}()
	<-started
	cancel()
	if err := <-impatient; !errors.Is(err, context.Canceled) {
		t.Errorf("the impatient got %v", err)
	}
	close(src.gate)
	if err := <-patient; err != nil {
		t.Errorf("the patient got %v", err)
	}

	stuck := model("x")
	stuck.gate, stuck.began = make(chan struct{}), make(chan struct{})
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		<-stuck.began
		cancel()
	}()
	if _, _, err := c.Fetch(ctx, "stuck", stuck); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	_, release := fetch(t, c, "stuck", model("fresh")) // waits until the abandoned one has stopped
	release()
}

func TestFailuresAreNotRemembered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, &modelcache.Options{MaxFiles: 3})
	broken := errors.New("no route to storage")
	bad := model("abc")
	bad.fail = broken
	if _, _, err := c.Fetch(t.Context(), "k", bad); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	short := model("abc")
	short.lie = 1
	if _, _, err := c.Fetch(t.Context(), "k", short); mlflow.CodeOf(err) != mlflow.Aborted {
		t.Errorf("a file of another size: got %v", err)
	}
	if _, _, err := c.Fetch(t.Context(), "k", &tree{}); mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		t.Errorf("an empty tree: got %v", err)
	}
	many := &tree{files: map[string]string{"a": "", "b": "", "c": "", "d": ""}}
	if _, _, err := c.Fetch(t.Context(), "k", many); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
		t.Errorf("too many files: got %v", err)
	}
	evil := &tree{files: map[string]string{"../evil": "x"}}
	if _, _, err := c.Fetch(t.Context(), "k", evil); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
		t.Errorf("an unsafe path: got %v", err)
	}
	if s := c.Stats(); s != (modelcache.Stats{}) {
		t.Errorf("left behind: %+v", s)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "work")); err != nil || len(left) != 0 {
		t.Errorf("left in work: %v, %v", left, err)
	}
	_, release := fetch(t, c, "k", model("abc"))
	release()
}

func TestEviction(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), &modelcache.Options{MaxBytes: 35})
	get := func(key string) (modelcache.Local, func()) { return fetch(t, c, key, model("abc")) } // 10 bytes each
	a, releaseA := get("a")
	b, releaseB := get("b")
	_, releaseC := get("c")
	releaseB()
	releaseC()
	_, again := get("b") // b was used after c now
	again()
	_, releaseD := get("d")
	defer releaseD()
	if exists(t, filepath.Join(a.Dir, "MLmodel")) != true || exists(t, filepath.Join(b.Dir, "MLmodel")) != true {
		t.Error("a tree in use, or one used lately, was thrown away")
	}
	if s := c.Stats(); s.Trees != 3 || s.Bytes != 30 || s.Pinned != 2 {
		t.Errorf("got %+v", s)
	}
	if _, _, err := c.Fetch(t.Context(), "big", model(strings.Repeat("x", 20))); mlflow.CodeOf(err) != mlflow.ResourceExhausted {
		t.Errorf("a tree that does not fit: got %v", err)
	}
	if !exists(t, b.Dir) {
		t.Error("an idle tree was thrown away for one that did not fit anyway")
	}
	releaseA()
	releaseA() // a second call does nothing
	big, releaseBig := fetch(t, c, "big", model(strings.Repeat("x", 18)))
	defer releaseBig()
	if exists(t, a.Dir) || exists(t, b.Dir) || !exists(t, big.Dir) {
		t.Error("the idle trees should have made room")
	}
}

func exists(t *testing.T, p string) bool {
	t.Helper()
	_, err := os.Stat(p)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, nil)
	good, _ := fetch(t, c, "good", model("abc"))
	spoiled, _ := fetch(t, c, "spoiled", model("abc"))
	grown, _ := fetch(t, c, "grown", model("abc"))
	if _, err := modelcache.New(dir, nil); err == nil {
		t.Error("two caches own one folder")
	}
	must(t, c.Close())
	if _, _, err := c.Fetch(t.Context(), "good", model("abc")); mlflow.CodeOf(err) != mlflow.TemporarilyUnavailable {
		t.Errorf("after Close: got %v", err)
	}

	// What a process that was killed, or a meddler, leaves behind.
	must(t, os.MkdirAll(filepath.Join(dir, "work", "half", "files"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "trees", "nomanifest", "files"), 0o700))
	must(t, os.WriteFile(filepath.Join(spoiled.Dir, "data", "model.onnx"), []byte("abX"), 0o600))
	must(t, os.WriteFile(filepath.Join(grown.Dir, "extra"), []byte("x"), 0o600))

	c = open(t, dir, nil)
	if s := c.Stats(); s.Trees != 3 || s.Bytes != 30 {
		t.Errorf("taken up: %+v", s)
	}
	if exists(t, filepath.Join(dir, "work", "half")) || exists(t, filepath.Join(dir, "trees", "nomanifest")) {
		t.Error("rubbish is still there")
	}
	for key, walks := range map[string]int32{"good": 0, "spoiled": 1, "grown": 1} {
		src := model("abc")
		local, release := fetch(t, c, key, src)
		if content(t, local) != "abc" || local.Digest != good.Digest || src.walks.Load() != walks {
			t.Errorf("%s: content %q after %d downloads", key, content(t, local), src.walks.Load())
		}
		release()
	}
	if s := c.Stats(); s.Trees != 3 || s.Bytes != 30 {
		t.Errorf("afterwards: %+v", s)
	}
}

func TestFromArtifacts(t *testing.T) {
	t.Parallel()
	store := t.TempDir()
	driver, err := fileartifact.New(store, nil)
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	repo, err := artifact.NewRepo(driver).Sub("1/run/artifacts/model")
	must(t, err)
	for p, text := range map[string]string{"MLmodel": "flavors", "data/model.onnx": "abc"} {
		_, err := repo.Write(t.Context(), p, strings.NewReader(text))
		must(t, err)
	}
	c := open(t, t.TempDir(), nil)
	local, release := fetch(t, c, "wine/1", repo)
	defer release()

	// Later changes of the artifact do not reach the cached files, whether by us or in place by somebody else.
	_, err = repo.Write(t.Context(), "data/model.onnx", strings.NewReader("new"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(store, "1/run/artifacts/model/MLmodel"), []byte("evil"), 0o600))
	if got := content(t, local); got != "abc" {
		t.Errorf("got %q", got)
	}

	// A link in the tree is refused.
	must(t, os.Symlink("/etc/passwd", filepath.Join(store, "1/run/artifacts/model/link")))
	if _, _, err := c.Fetch(t.Context(), "wine/2", repo); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
		t.Errorf("got %v, want INVALID_PARAMETER_VALUE", err)
	}
}

func TestCloseStopsDownloads(t *testing.T) {
	t.Parallel()
	c, err := modelcache.New(t.TempDir(), nil)
	must(t, err)
	src := model("abc")
	src.gate, src.began = make(chan struct{}), make(chan struct{})
	got := make(chan error, 1)
	go func() {
		_, _, err := c.Fetch(context.Background(), "k", src)
		got <- err
	}()
	<-src.began
	must(t, c.Close())
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	must(t, c.Close())
}

func TestManyKeysUnderPressure(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), &modelcache.Options{MaxBytes: 60})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 50 {
				key := fmt.Sprintf("k%d", (i*7+worker)%9)
				local, release, err := c.Fetch(ctx, key, model(key[1:]+"bc"))
				if err != nil {
					t.Error(err)
					return
				}
				if got := content(t, local); got != key[1:]+"bc" {
					t.Errorf("%s: got %q", key, got)
				}
				release()
			}
		})
	}
	wg.Wait()
	if s := c.Stats(); s.Bytes > 60 || s.Pinned != 0 || int64(s.Trees)*10 != s.Bytes {
		t.Errorf("afterwards: %+v", s)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
