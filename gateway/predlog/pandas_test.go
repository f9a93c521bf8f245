package predlog

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// venvPython finds the project's Python, upwards from the test's folder.
func venvPython(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if p := filepath.Join(dir, ".venv", "bin", "python"); executable(p) {
			return p
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no .venv/bin/python upwards of this folder: run `make setup`")
		}
		dir = up
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// The documented line of pandas reads segments, with the documented types and values.
func TestPandasReadsSegments(t *testing.T) {
	t.Parallel()
	sink := newMemorySink(t)
	l := open(t, t.TempDir(), sink, nil)
	for i := range 1000 {
		r := sample(t, i)
		if i == 7 {
			r.Status, r.ErrorCode, r.Stage, r.Response = 400, "INVALID_PARAMETER_VALUE", "", nil
			r.Request, r.ContentType = []byte{0xff, 0xfe, 0}, "application/octet-stream"
		}
		l.Record(r)
	}
	if err := l.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(soon(t), venvPython(t), filepath.Join("testdata", "read_segments.py"), sink.dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
