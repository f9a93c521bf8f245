package predlog

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// A joined file holds the rows of its parts in order, whether they were copied or written anew, and is read as a segment is, but for the
// ids of one.
func TestJoiner(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	j, err := NewJoiner(&out)
	if err != nil {
		t.Fatal(err)
	}
	var want []Row
	for part := range 4 {
		seg, _ := sealedSegment(t, 700, func(i int, r *Record) { r.Cached, r.Shadow = i%3 == 0, i%2 == 0 })
		f, err := os.Open(seg.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		file, err := OpenSegment(f, seg.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if part%2 == 0 {
			if err := j.Segment(f, file); err != nil {
				t.Fatal(err)
			}
		}
		for r, err := range file.Rows(0) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, r)
			if part%2 == 1 {
				if err := j.Row(&r); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "joined.parquet")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	joined, err := parquet.ReadFile[row](path)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]Row, len(joined))
	for i := range joined {
		if got[i], err = joined[i].record(); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("row %d:\n%+v\n%+v", i, got[i], want[i])
		}
	}
}
