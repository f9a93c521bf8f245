// Package artifacttest is the suite that every artifact.Driver passes.
//
// It owns one case for each promise of the contract. It is called by the drivers' tests; it must not know any driver.
package artifacttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/tracking/artifact"
)

// Run runs the suite; open returns an empty driver, whose cleanup it registers with t.
func Run(t *testing.T, open func(t *testing.T) artifact.Driver) {
	for _, c := range []struct {
		name string
		test func(*testing.T, artifact.Driver)
	}{
		{"write then read", writeThenRead},
		{"empty file", emptyFile},
		{"ranges", ranges},
		{"list", list},
		{"list of nothing is empty", listNothing},
		{"stat", stat},
		{"reading what is not there", readMissing},
		{"a folder is no file", folderIsNoFile},
		{"a file is no folder", fileIsNoFolder},
		{"a failed write leaves nothing", failedWrite},
		{"a failed overwrite leaves the old file", failedOverwrite},
		{"a cancelled write leaves nothing", cancelledWrite},
		{"an overwrite does not touch open readers", overwriteKeepsReaders},
		{"writers of one path: one wins whole", racingWriters},
		{"delete", deletes},
		{"odd names", oddNames},
		{"a large file streams", largeFile},
		{"staged files appear together, or not at all", staged},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

func write(t *testing.T, d artifact.Driver, p, content string) {
	t.Helper()
	n, err := d.Write(t.Context(), p, strings.NewReader(content))
	if err != nil || n != int64(len(content)) {
		t.Fatalf("write %s: %d bytes, %v", p, n, err)
	}
}

func read(t *testing.T, d artifact.Driver, p string, offset, length int64) string {
	t.Helper()
	r, _, err := d.Open(t.Context(), p, offset, length)
	if err != nil {
		t.Fatalf("open %s: %v", p, err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %s: %v", p, err)
	}
	return string(b)
}

func paths(t *testing.T, d artifact.Driver, dir string) []string {
	t.Helper()
	entries, err := d.List(t.Context(), dir)
	if err != nil {
		t.Fatalf("list %s: %v", dir, err)
	}
	got := []string{}
	for _, e := range entries {
		kind := ""
		if e.IsDir {
			kind = "/"
		}
		got = append(got, fmt.Sprintf("%s%s %d", e.Path, kind, e.Size))
	}
	slices.Sort(got)
	return got
}

func writeThenRead(t *testing.T, d artifact.Driver) {
	write(t, d, "a/b/c.txt", "hello")
	r, info, err := d.Open(t.Context(), "a/b/c.txt", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if info.Path != "a/b/c.txt" || info.Size != 5 || info.IsDir {
		t.Errorf("got %+v", info)
	}
	write(t, d, "a/b/c.txt", "other")
	if got := read(t, d, "a/b/c.txt", 0, -1); got != "other" {
		t.Errorf("got %q after overwriting", got)
	}
}

func emptyFile(t *testing.T, d artifact.Driver) {
	write(t, d, "empty", "")
	if got := read(t, d, "empty", 0, -1); got != "" {
		t.Errorf("got %q", got)
	}
}

func ranges(t *testing.T, d artifact.Driver) {
	write(t, d, "f", "0123456789")
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, 4, "0123"}, {3, 4, "3456"}, {8, 10, "89"}, {3, -1, "3456789"}, {10, -1, ""}, {2, 0, ""}} {
		if got := read(t, d, "f", c.offset, c.length); got != c.want {
			t.Errorf("%d+%d: got %q, want %q", c.offset, c.length, got, c.want)
		}
	}
}

func list(t *testing.T, d artifact.Driver) {
	write(t, d, "run/model/MLmodel", "m")
	write(t, d, "run/model/data/x", "xx")
	write(t, d, "run/notes.txt", "notes")
	for dir, want := range map[string][]string{
		"": {"run/ 0"}, "run": {"run/model/ 0", "run/notes.txt 5"}, "run/model": {"run/model/MLmodel 1", "run/model/data/ 0"},
	} {
		if got := paths(t, d, dir); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", dir, got, want)
		}
	}
}

func listNothing(t *testing.T, d artifact.Driver) {
	write(t, d, "a/file", "x")
	for _, dir := range []string{"", "b", "a/b/c", "a/file", "a/file/below"} {
		if got := paths(t, d, dir); dir != "" && len(got) != 0 {
			t.Errorf("%q: got %q", dir, got)
		}
	}
}

func stat(t *testing.T, d artifact.Driver) {
	write(t, d, "a/file", "xyz")
	info, err := d.Stat(t.Context(), "a/file")
	if err != nil || info.Size != 3 || info.IsDir || info.Path != "a/file" {
		t.Errorf("got %+v, %v", info, err)
	}
	if info, err = d.Stat(t.Context(), "a"); err != nil || !info.IsDir {
		t.Errorf("got %+v, %v", info, err)
	}
	if _, err = d.Stat(t.Context(), "b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func readMissing(t *testing.T, d artifact.Driver) {
	write(t, d, "a", "x")
	for _, p := range []string{"b", "b/c", "a/b"} {
		if _, _, err := d.Open(t.Context(), p, 0, -1); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want fs.ErrNotExist", p, err)
		}
	}
}

func folderIsNoFile(t *testing.T, d artifact.Driver) {
	write(t, d, "a/b", "x")
	if _, _, err := d.Open(t.Context(), "a", 0, -1); !errors.Is(err, artifact.ErrIsDir) {
		t.Errorf("open: got %v, want ErrIsDir", err)
	}
	if _, err := d.Write(t.Context(), "a", strings.NewReader("y")); !errors.Is(err, artifact.ErrIsDir) {
		t.Errorf("write: got %v, want ErrIsDir", err)
	}
	if got := read(t, d, "a/b", 0, -1); got != "x" {
		t.Errorf("the folder's file is %q now", got)
	}
}

func fileIsNoFolder(t *testing.T, d artifact.Driver) {
	write(t, d, "a", "x")
	if _, err := d.Write(t.Context(), "a/b", strings.NewReader("y")); !errors.Is(err, artifact.ErrNotDir) {
		t.Errorf("got %v, want ErrNotDir", err)
	}
}

var errBroken = errors.New("source broke")

func failedWrite(t *testing.T, d artifact.Driver) {
	_, err := d.Write(t.Context(), "a/b", io.MultiReader(strings.NewReader("half"), failing{}))
	if !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the source's error", err)
	}
	if _, _, err := d.Open(t.Context(), "a/b", 0, -1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the half file is there: %v", err)
	}
	if got := paths(t, d, ""); slices.Contains(got, "a/b 4") {
		t.Errorf("listed: %q", got)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

func failedOverwrite(t *testing.T, d artifact.Driver) {
	write(t, d, "f", "old")
	if _, err := d.Write(t.Context(), "f", io.MultiReader(strings.NewReader("newer"), failing{})); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the source's error", err)
	}
	if got := read(t, d, "f", 0, -1); got != "old" {
		t.Errorf("got %q, want the old content", got)
	}
}

func cancelledWrite(t *testing.T, d artifact.Driver) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Write(ctx, "f", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := d.Stat(t.Context(), "f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func overwriteKeepsReaders(t *testing.T, d artifact.Driver) {
	old := strings.Repeat("old ", 100_000)
	write(t, d, "f", old)
	r, _, err := d.Open(t.Context(), "f", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	write(t, d, "f", "new")
	if b, err := io.ReadAll(r); err != nil || string(b) != old {
		t.Errorf("the open reader saw %d bytes, %v", len(b), err)
	}
}

func racingWriters(t *testing.T, d artifact.Driver) {
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			content := strings.Repeat(string(rune('a'+i)), 50_000)
			if _, err := d.Write(t.Context(), "same/file", strings.NewReader(content)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := read(t, d, "same/file", 0, -1)
	if len(got) != 50_000 || strings.Count(got, got[:1]) != len(got) {
		t.Errorf("got a mixture of %d bytes", len(got))
	}
}

func deletes(t *testing.T, d artifact.Driver) {
	write(t, d, "a/b/c", "x")
	write(t, d, "a/d", "y")
	if err := d.Delete(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	if got := paths(t, d, "a"); !slices.Equal(got, []string{"a/d 1"}) {
		t.Errorf("left: %q", got)
	}
	if err := d.Delete(t.Context(), "a/d"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"a/d", "zz", "a/b/c"} {
		if err := d.Delete(t.Context(), p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s again: got %v, want fs.ErrNotExist", p, err)
		}
	}
}

func oddNames(t *testing.T, d artifact.Driver) {
	for _, p := range []string{"with blank", "é/日本語.txt", "50% off", "a+b", "%41", "semi;colon", "q?x=1", "..a", "a..", ".hidden/x", "C", "-rf", strings.Repeat("n", 255)} {
		write(t, d, p, p)
		if got := read(t, d, p, 0, -1); got != p {
			t.Errorf("%q: got %q", p, got)
		}
	}
	entries, err := d.List(t.Context(), "é")
	if err != nil || len(entries) != 1 || entries[0].Path != "é/日本語.txt" {
		t.Errorf("got %v, %v", entries, err)
	}
}

func largeFile(t *testing.T, d artifact.Driver) {
	const size = 20 << 20
	if n, err := d.Write(t.Context(), "large", io.LimitReader(&pattern{}, size)); err != nil || n != size {
		t.Fatalf("got %d, %v", n, err)
	}
	r, info, err := d.Open(t.Context(), "large", 0, -1)
	if err != nil || info.Size != size {
		t.Fatalf("got %+v, %v", info, err)
	}
	defer r.Close()
	want, got := &pattern{}, make([]byte, 64<<10)
	expect := make([]byte, len(got))
	for total := 0; total < size; {
		n, err := io.ReadFull(r, got)
		if err != nil {
			t.Fatalf("after %d bytes: %v", total, err)
		}
		_, _ = want.Read(expect[:n])
		if !bytes.Equal(got[:n], expect[:n]) {
			t.Fatalf("differs after %d bytes", total)
		}
		total += n
	}
}

// pattern gives bytes that tell their position.
type pattern struct{ at uint32 }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(p.at ^ p.at>>8 ^ p.at>>16)
		p.at++
	}
	return len(b), nil
}

// RunBenchmarks measures a driver's writes, reads and listings.
func RunBenchmarks(b *testing.B, open func(b *testing.B) artifact.Driver) {
	ctx := context.Background()
	b.Run("write 1 MiB", func(b *testing.B) {
		d, content := open(b), make([]byte, 1<<20)
		b.SetBytes(1 << 20)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Write(ctx, "f", bytes.NewReader(content)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list 100", func(b *testing.B) {
		d := open(b)
		for i := range 100 {
			if _, err := d.Write(ctx, fmt.Sprintf("d/%03d", i), strings.NewReader("x")); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.List(ctx, "d"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// Age is how far in the future a clock must be for a driver to take uploads of now for abandoned.
const Age = 25 * time.Hour

// staged tests the optional power of a Stager, through the Batch that uses it.
func staged(t *testing.T, d artifact.Driver) {
	if _, ok := d.(artifact.Stager); !ok {
		return
	}
	ctx, repo := t.Context(), artifact.NewRepo(d)
	visible := func() (paths []string) {
		t.Helper()
		if err := repo.Walk(ctx, "", func(i artifact.Info) error { paths = append(paths, i.Path); return nil }); err != nil {
			t.Fatal(err)
		}
		return paths
	}
	fill := func(paths ...string) *artifact.Batch {
		t.Helper()
		b := artifact.NewBatch()
		for _, p := range paths {
			s, err := b.Stage(ctx, repo, strings.NewReader(p))
			if err == nil && s.Bytes == int64(len(p)) {
				err = b.Add(s, repo, p)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	write(t, d, "old/file", "x")
	before := visible()
	b := fill("new/a", "new/deep/b", "old/c")
	if got := visible(); !slices.Equal(got, before) {
		t.Errorf("staged files are seen: %v", got)
	}
	if err := b.Place(ctx); err != nil || len(visible()) != 4 {
		t.Errorf("placed: %v, %v", visible(), err)
	}
	if err := b.Discard(ctx); err != nil || !slices.Equal(visible(), before) {
		t.Errorf("discarded after placing: %v, %v", visible(), err)
	}
	if list, err := repo.List(ctx, ""); err != nil || len(list) != 1 {
		t.Errorf("folders stayed: %v, %v", list, err)
	}
	b = fill("new/a", "old/file/below") // the second has no place
	if err := b.Place(ctx); err == nil {
		t.Error("a file was placed below a file")
	}
	if err := b.Discard(ctx); err != nil || !slices.Equal(visible(), before) {
		t.Errorf("discarded after a failure: %v, %v", visible(), err)
	}
	b = fill("new/a")
	if err := b.Place(ctx); err != nil {
		t.Error(err)
	}
	b.Commit()
	if err := b.Discard(ctx); err != nil || len(visible()) != 2 {
		t.Errorf("committed: %v, %v", visible(), err)
	}
}
