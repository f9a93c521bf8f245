package predlog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// interleaved returns a spool of records of several Series in random order, and the index that the writer makes of it.
func interleaved(t *testing.T, rows int) (spool []byte, idx *spoolIndex) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 8))
	spool, idx = []byte(spoolMagic), newSpoolIndex()
	for i := range rows {
		at := len(spool)
		r := sample(t, i)
		r.RequestID = fmt.Sprintf("%0*d", rng.IntN(40), i)
		r.Endpoint, r.Model, r.Version = fmt.Sprintf("e%d", rng.IntN(3)), fmt.Sprintf("m%d", rng.IntN(2)), rng.IntN(3)
		if rng.IntN(3) > 0 { // some stand together
			r.Endpoint, r.Model, r.Version = "wine", "wine", 1
		}
		spool, _ = appendFrame(spool, r, r.Time.UnixNano(), 1<<20)
		sealFrames(spool[at:])
		idx.addFrames(spool[at:])
	}
	return spool, idx
}

func onDisk(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x"+spoolSuffix)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheWritersIndexIsWhatReadingFinds(t *testing.T) {
	t.Parallel()
	b, written := interleaved(t, 500)
	read, err := indexSpool(onDisk(t, b), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(written, read) {
		t.Errorf("the writer's index is\n%+v\nreading finds\n%+v", written, read)
	}
	if read.end != int64(len(b)) || read.rows != 500 {
		t.Errorf("ends at %d with %d rows, want %d and 500", read.end, read.rows, len(b))
	}
}

func TestOneSeriesIsOneSpan(t *testing.T) {
	t.Parallel()
	path, size := writeSpool(t, 1000, 4)
	idx, err := indexSpool(path, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if want := [][]span{{{int64(len(spoolMagic)), size}}}; !reflect.DeepEqual(idx.spans, want) {
		t.Errorf("spans %v, want %v", idx.spans, want)
	}
}

// What the disk does not give back as it was written is sealed as far as it goes, by the writer's index as without one.
func TestADamagedSpoolIsReadAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func([]byte) []byte{
		"a byte":    func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"a length":  func(b []byte) []byte { b[len(spoolMagic)+3] = 0xff; return b },
		"cut":       func(b []byte) []byte { return b[:len(b)-1] },
		"emptied":   func([]byte) []byte { return nil },
		"no damage": func(b []byte) []byte { return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, written := interleaved(t, 300)
			path := onDisk(t, damage(b))
			want, err := indexSpool(path, func() {})
			if err != nil {
				t.Fatal(err)
			}
			l := open(t, t.TempDir(), newMemorySink(t), nil)
			idx, segs, err := newSealer(l).segments(spool{id: "damaged", path: path, rows: written.rows, index: written})
			if err != nil {
				t.Fatal(err)
			}
			rows := int64(0)
			for _, s := range segs {
				rows += s.Rows
			}
			if idx.rows != want.rows || rows != want.rows || len(segs) != len(want.series) {
				t.Errorf("%d rows in %d segments, index of %d; want %d in %d", rows, len(segs), idx.rows, want.rows, len(want.series))
			}
		})
	}
}
