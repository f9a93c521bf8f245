package pyenv

import (
	"context"
	"os"
	"testing"
)

// BenchmarkEnsureCached is what a cached environment adds to the start of a worker: the look for the interpreter is over, the key, the lock and the
// manifest are not.
func BenchmarkEnsureCached(b *testing.B) {
	p, err := New(b.TempDir(), &Options{Environ: os.Environ(), UV: uvAt(b)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	env, err := p.Ensure(context.Background(), Spec{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	env.Release()
	b.ReportAllocs()
	for b.Loop() {
		env, err := p.Ensure(context.Background(), Spec{}, nil)
		if err != nil {
			b.Fatal(err)
		}
		env.Release()
	}
}
