package predlog

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
)

// Whatever happened to a segment's bytes, reading it ends, with an error or with rows.
func TestDamagedSegmentsEndNothing(t *testing.T) {
	t.Parallel()
	seg, ids := sealedSegment(t, 300, nil)
	whole, err := os.ReadFile(seg.Path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(7, 7))
	refused, unbearable := 0, 0
	for range 400 {
		damaged := bytes.Clone(whole)
		for range 1 + random.IntN(4) {
			at := random.IntN(len(damaged))
			if random.IntN(2) == 0 {
				at = len(damaged) - 1 - random.IntN(min(len(damaged), 4000)) // the footer
			}
			damaged[at] = byte(random.UintN(256))
		}
		if random.IntN(8) == 0 {
			damaged = damaged[:random.IntN(len(damaged))]
		}
		if err := readAll(damaged, ids[150]); err != nil {
			refused++
			if errors.Is(err, ErrDamaged) {
				unbearable++
			}
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
	t.Logf("%d refused, %d of them for what the Parquet library could not bear", refused, unbearable)
}

func readAll(b []byte, id [16]byte) error {
	f, err := OpenSegment(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	for _, err := range f.Rows(0) {
		if err != nil {
			return err
		}
	}
	for _, err := range f.RowsBackwards(f.Segment.Rows - 1) {
		if err != nil {
			return err
		}
	}
	_, _, err = f.ByID(id)
	return err
}
