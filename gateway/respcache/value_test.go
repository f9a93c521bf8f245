package respcache

import (
	"math/rand/v2"
	"testing"
	"time"

	"sluice/runtime/tensor"
)

func TestValuesAreReadBack(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 2))}
	k := &Key{Owner: 3}
	at := time.UnixMilli(1_700_000_000_123)
	out := new(tensor.Batch) // used again and again, as invoke does
	for range 5000 {
		b := m.batch()
		value := string(appendValue(nil, k, at, b))
		when, ok := computed(value, k)
		if !ok || !when.Equal(at) {
			t.Fatalf("computed at %v, %v", when, ok)
		}
		if err := readAnswer(value, out); err != nil || !equalBatches(b, out) {
			t.Fatalf("%+v is read back as %+v, %v", b, out, err)
		}
	}
}

func TestForeignBytesAreNoValue(t *testing.T) {
	k := &Key{Owner: 3}
	value := string(appendValue(nil, k, time.UnixMilli(5), numbers(tensor.Float64, "y", 1, 2)))
	for i := range value {
		broken := []byte(value)
		broken[i] ^= 0x40
		if _, ok := computed(string(broken), k); ok {
			t.Fatalf("taken with byte %d changed", i)
		}
		if _, ok := computed(value[:i], k); ok {
			t.Fatalf("taken with %d of %d bytes", i, len(value))
		}
	}
	other := &Key{Owner: 3}
	other.Sum[0] = 1
	if _, ok := computed(value, other); ok {
		t.Error("taken under another key")
	}
}

func FuzzReadAnswer(f *testing.F) {
	m := maker{rand.New(rand.NewPCG(3, 4))}
	for range 20 {
		f.Add(string(appendBatch(nil, m.batch(), false)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		b := new(tensor.Batch)
		if readAnswer(string(make([]byte, valueHeader))+text, b) != nil {
			return
		}
		if again := string(appendBatch(nil, b, false)); again != text {
			t.Errorf("%q is read, and written as %q", text, again)
		}
	})
}
