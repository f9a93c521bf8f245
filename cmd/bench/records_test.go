package main

import "testing"

func TestFiguresOfGoBenchmarks(t *testing.T) {
	f := figures{}
	f.read([]byte("goos: linux\nBenchmarkSeal/features=4 \t 20\t 55000000 ns/op\t 59.50 B/row\t 363636 rows/s\t 12 B/op\n--- BENCH: BenchmarkArchive\n    bench_test.go:93: 200000 rows, 4 segments\n" +
		"BenchmarkArchive/lookup \t 1000\t 1100000 ns/op\t 1.10 p50-ms\t 2.50 p99-ms\nPASS\n"))
	for _, c := range []struct {
		benchmark, unit string
		want            float64
	}{{"BenchmarkSeal/features=4", "rows/s", 363636}, {"BenchmarkSeal/features=4", "B/row", 59.5}, {"BenchmarkArchive/lookup", "p99-ms", 2.5}, {"BenchmarkArchive/lookup", "rows/s", 0}} {
		if got := f[c.benchmark][c.unit]; got != c.want {
			t.Errorf("%s %s is %v, want %v", c.benchmark, c.unit, got, c.want)
		}
	}
	if len(f) != 2 {
		t.Errorf("got %v", f)
	}
}
