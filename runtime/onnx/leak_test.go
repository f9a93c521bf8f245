package onnx_test

import (
	"context"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"sluice/runtime/tensor"
)

// resident is the process's resident memory in bytes.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// Loading, predicting and closing again and again leaves nothing behind: neither sessions nor bound tensors.
func TestLoadAndCloseDoesNotLeak(t *testing.T) {
	all, _, _ := wineRows(t)
	cycle := func() {
		b := loadUnowned(t, "wine")
		var out tensor.Batch
		for rows := 1; rows < 9; rows++ {
			var in tensor.Batch
			if err := in.CopyRows(all, 0, rows); err != nil {
				t.Fatal(err)
			}
			if err := b.Predict(context.Background(), &in, nil, &out); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 { // 1,000 in all
		cycle()
	}
	before := resident(t)
	const cycles = 950
	for range cycles {
		cycle()
	}
	if grown := resident(t) - before; grown > cycles*16<<10 { // a session of this model holds some 200 KiB
		t.Errorf("%d KiB more after %d cycles", grown>>10, cycles)
	}
}

// What an unusually large batch needed is given back: ONNX Runtime keeps no arena, and runners keep no large tensors.
func TestHugeBatchLeavesNoMemoryBehind(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector shadows what Go allocates: memory is measured without it")
		return
	}
	b := load(t, "mlp")
	run := func(rows int) {
		in := batchOf(tensor.Bare, "", shaped(tensor.Float32, make([]float32, rows*784), int64(rows), 784))
		var out tensor.Batch
		if err := b.Predict(context.Background(), in, nil, &out); err != nil {
			t.Fatal(err)
		}
	}
	run(1)
	before := resident(t)
	run(8000) // 24 MiB of input, 32 MiB between its layers
	if grown := resident(t) - before; grown > 12<<20 {
		t.Errorf("%d MiB more after a batch of 8,000 rows", grown>>20)
	}
}

func BenchmarkHandle(b *testing.B) {
	m := manager(b, nil)
	id := ids("wine")[0]
	m.Aspire(ids("wine"))
	if err := m.WaitReady(b.Context(), id); err != nil {
		b.Fatal(err)
	}
	all, _, _ := wineRows(b)
	var in, out tensor.Batch
	if err := in.CopyRows(all, 0, 1); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		h, err := m.Acquire(id)
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Predict(context.Background(), &in, nil, &out, nil); err != nil {
			b.Fatal(err)
		}
		h.Release()
	}
}
