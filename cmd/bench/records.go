package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// recordBenchmarks are Go benchmarks of the prediction log: they need no server, and are run here so that their figures stand beside the others.
var recordBenchmarks = []struct{ folder, name string }{
	{"./gateway/predlog", "^BenchmarkSeal$/^features=4$"},
	{"./gateway/predictions", "^BenchmarkArchive$"},
}

// records measures what a logged row costs and how soon it is found, among b.logRows of them.
func (b *bench) records(ctx context.Context) error {
	measured := figures{}
	for _, r := range recordBenchmarks {
		cmd := exec.CommandContext(ctx, "go", "test", "-timeout", "60m", "-cpu", "1", "-run", "^$", "-bench", r.name, r.folder)
		cmd.Env = append(os.Environ(), "SLUICE_BENCH_ROWS="+strconv.Itoa(b.logRows))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
		}
		measured.read(out)
	}
	million := fmt.Sprintf("%.1f million logged rows", float64(b.logRows)/1e6)
	for _, c := range []struct {
		claim           claim
		benchmark, unit string
		scale           float64
	}{
		{claim{work: "4 features: rows/s into Parquet on one core", must: 100_000}, "BenchmarkSeal/features=4", "rows/s", 1},
		{claim{work: "4 features: bytes a logged row, request and response included", must: 120, most: true, digits: 1}, "BenchmarkSeal/features=4", "B/row", 1},
		{claim{work: million + ": lookup by id, p50", must: 50, most: true, unit: " ms", digits: 2}, "BenchmarkArchive/lookup", "p50-ms", 1},
		{claim{work: million + ": lookup by id, p99", must: 50, most: true, unit: " ms", digits: 2}, "BenchmarkArchive/lookup", "p99-ms", 1},
		{claim{work: million + ": a version's day as Parquet, million rows/s", must: 1, digits: 1}, "BenchmarkArchive/export/parquet", "rows/s", 1e-6},
	} {
		c.claim.noReach = true
		v, ok := measured[c.benchmark][c.unit]
		if c.claim.measured = v * c.scale; !ok {
			c.claim.missing = c.benchmark + " told no " + c.unit
		}
		b.claim(c.claim)
	}
	for _, c := range []struct{ what, benchmark string }{ // not claimed: every row is decoded
		{"as an Arrow stream", "BenchmarkArchive/export/arrow"}, {"as JSON lines", "BenchmarkArchive/export/jsonl"},
		{"as Parquet, those of half the latencies", "BenchmarkArchive/export/parquet-filtered"},
	} {
		if v, ok := measured[c.benchmark]["rows/s"]; ok {
			b.say("  %s: a version's day %s: %.2f million rows/s", million, c.what, v*1e-6)
		}
	}
	return nil
}

// figures are what Go benchmarks printed, by benchmark and unit.
type figures map[string]map[string]float64

// read adds the lines of benchmarks that stand in the output of go test.
func (f figures) read(out []byte) {
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		of := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				of[fields[i+1]] = v
			}
		}
		f[fields[0]] = of
	}
}
