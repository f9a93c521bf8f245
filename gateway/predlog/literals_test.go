package predlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// numbers is n bytes of requests of 784 random numbers.
func numbers(n int) []byte {
	rng := rand.New(rand.NewPCG(9, 10))
	var b []byte
	for len(b) < n {
		b = append(b, `{"inputs":[[`...)
		for range 784 {
			b = fmt.Appendf(b, "%.5f,", rng.Float64())
		}
		b = append(b[:len(b)-1], `]]}`...)
	}
	return b[:n]
}

func noise(n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(11, 12))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// Whatever the page, any zstd decoder reads it back.
func TestLiteralsFrame(t *testing.T) {
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var l literals
	for _, page := range [][]byte{
		nil, []byte("a"), []byte("ab"), bytes.Repeat([]byte("x"), 63), bytes.Repeat([]byte("x"), 64), bytes.Repeat([]byte("x"), 300_000),
		numbers(100), numbers(1000), numbers(64 << 10), numbers(literalsBlock - 1), numbers(literalsBlock), numbers(literalsBlock + 1), numbers(1 << 20),
		noise(100), noise(200_000), []byte(strings.Repeat("ab", 70_000)),
		append(numbers(literalsBlock), noise(literalsBlock)...), append(bytes.Repeat([]byte{0}, literalsBlock), 1),
	} {
		frame, err := l.frame(nil, page)
		if err != nil {
			t.Fatalf("%d bytes: %v", len(page), err)
		}
		got, err := dec.DecodeAll(frame, nil)
		if err != nil || !bytes.Equal(got, page) {
			t.Errorf("%d bytes came back as %d: %v", len(page), len(got), err)
		}
		if most := len(page) + 9 + 3*(len(page)/literalsBlock+1); len(frame) > most {
			t.Errorf("%d bytes became %d", len(page), len(frame))
		}
	}
}

// Pages of numbers are coded without a search, within half of their size; texts that repeat themselves, and small pages, are searched.
func TestSearchOnlyWhereItFinds(t *testing.T) {
	c, err := newPageCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	rng := rand.New(rand.NewPCG(1, 2))
	var named []byte
	for len(named) < 256<<10 {
		named = append(named, features(rng, 13)...)
	}
	for _, tc := range []struct {
		name    string
		page    []byte
		search  bool
		atMost  float64
		atLeast float64
	}{
		{"numbers", numbers(256 << 10), false, 0.5, 0.4},
		{"named columns", named, true, 0.25, 0},
		{"noise", noise(256 << 10), false, 1.01, 1},
		{"a small page", numbers(32 << 10), true, 0.5, 0},
	} {
		enough, _ := c.plain.enough(c.enc, tc.page, nil)
		out, err := c.Encode(nil, tc.page)
		if err != nil {
			t.Fatal(err)
		}
		back, err := c.Decode(nil, out)
		if err != nil || !bytes.Equal(back, tc.page) {
			t.Errorf("%s: came back as %d bytes, %v", tc.name, len(back), err)
		}
		if ratio := float64(len(out)) / float64(len(tc.page)); enough == tc.search || ratio > tc.atMost || ratio < tc.atLeast {
			t.Errorf("%s: searched %v, %.2f of its size", tc.name, !enough, ratio)
		}
	}
}

// FuzzLiteralsFrame: any page comes back.
func FuzzLiteralsFrame(f *testing.F) {
	f.Add([]byte("0.123,0.456"), 1000)
	f.Add([]byte{0}, 200_000)
	dec, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	var l literals
	f.Fuzz(func(t *testing.T, piece []byte, size int) {
		size = min(max(size, len(piece)), 300_000)
		page := append(make([]byte, 0, size), piece...)
		for i := len(page); i < size && len(piece) > 0; i++ {
			page = append(page, piece[i*i%len(piece)])
		}
		frame, err := l.frame(nil, page)
		if err != nil {
			t.Fatal(err)
		}
		got, err := dec.DecodeAll(frame, nil)
		if err != nil || !bytes.Equal(got, page) {
			t.Fatalf("%d bytes: %v", len(page), err)
		}
	})
}
