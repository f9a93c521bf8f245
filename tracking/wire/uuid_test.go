package wire

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestAppendUUID(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []uint64{0, 1, 0x0123456789abcdef, 0xfedcba9876543210, 0x9a9a9a9aa9a9a9a9, ^uint64(0)}
	for range 1000 {
		words = append(words, r.Uint64())
	}
	for i, hi := range words {
		lo := words[(i*7+3)%len(words)]
		want := fmt.Sprintf("id: %08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&(1<<48-1))
		if got := string(AppendUUID([]byte("id: "), hi, lo)); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func BenchmarkAppendUUID(b *testing.B) {
	text := make([]byte, 0, 36)
	b.ReportAllocs()
	for hi := uint64(0x0123456789abcdef); b.Loop(); hi++ {
		text = AppendUUID(text[:0], hi, hi)
	}
}
