package outcome

import (
	"math"
	"testing"
	"time"
)

func TestFineBucketsHoldWhatIsBelowTheirBound(t *testing.T) {
	last := -1
	for d := time.Duration(0); d < 200*time.Second; d += d/37 + time.Microsecond {
		i := fineOf(d)
		if i < last || i >= FineCount {
			t.Fatalf("%v: bucket %d after %d", d, i, last)
		}
		if i < FineCount-1 && d >= FineBound(i) || i > 0 && d < FineBound(i-1) {
			t.Fatalf("%v is in bucket %d, from %v to %v", d, i, FineBound(i-1), FineBound(i))
		}
		last = i
	}
	if last != FineCount-1 {
		t.Errorf("the last bucket is not reached: %d", last)
	}
	for i := 2; i < FineCount; i++ {
		if ratio := float64(FineBound(i)) / float64(FineBound(i-1)); ratio > 1.126 {
			t.Errorf("bucket %d is %.3f wide", i, ratio)
		}
	}
}

func TestFineQuantileAndAbove(t *testing.T) {
	var f Fine
	if f.Quantile(0.5) != 0 || f.Above(0) != 0 {
		t.Error("an empty histogram answers something")
	}
	for i := 1; i <= 100; i++ {
		f[fineOf(time.Duration(i)*time.Millisecond)]++
	}
	for _, q := range []float64{0.01, 0.5, 0.95, 1} {
		exact := time.Duration(q*100) * time.Millisecond
		if got := f.Quantile(q); got < exact || float64(got) > 1.126*float64(exact)+float64(time.Millisecond) {
			t.Errorf("quantile %v: got %v, want %v or a little above", q, got, exact)
		}
	}
	if got := f.Above(f.Quantile(0.9)); got > 10 {
		t.Errorf("%d of 100 lie above the 0.9 quantile", got)
	}
	if got := f.Above(0); got != 100 {
		t.Errorf("%d of 100 lie above zero", got)
	}
}

func TestOutputsKeepTheOrderOfNumbers(t *testing.T) {
	last := -1
	for _, x := range []float64{math.Inf(-1), -1e30, -5, -1, -0.5, -1e-3, -1e-9, 0, 1e-9, 1e-3, 0.5, 0.6, 0.97, 1, 2, 3, 1e6, 1e30, math.Inf(1)} {
		i := outputOf(x)
		if i < last || i < 0 || i >= outputNaN {
			t.Errorf("%v: bucket %d after %d", x, i, last)
		}
		last = i
	}
	if i := outputOf(math.NaN()); i != outputNaN {
		t.Errorf("NaN is in bucket %d", i)
	}
	for a, b := 1.0, 2.0; b <= 16; a, b = b, b+1 {
		if outputOf(a) == outputOf(b) {
			t.Errorf("the classes %v and %v share a bucket", a, b)
		}
	}
}

func TestOnlyWatchedEndpointsCountFinely(t *testing.T) {
	b := NewBook(nil)
	early := b.Series(Key{Endpoint: "wine", Code: 200})
	other := b.Series(Key{Endpoint: "beer", Code: 200})
	early.Record(time.Millisecond)
	early.Output(1)
	if early.Watched() {
		t.Error("a series is watched before anybody asked")
	}
	b.Watch([]string{"wine"})
	late := b.Series(Key{Endpoint: "wine", Code: 500})
	for _, s := range []*Series{early, late, other} {
		s.Record(time.Millisecond)
		s.Output(2)
		s.OutputText("red")
	}
	got := b.Observe("wine")
	if len(got) != 2 || got[0].Code != 200 || got[0].Count != 2 || got[0].Latency.Count() != 1 || got[0].Outputs.Count() != 2 || got[1].Count != 1 || got[1].Latency.Count() != 1 {
		t.Errorf("got %d series, %+v", len(got), got[0].Key)
	}
	if beer := b.Observe("beer"); beer[0].Latency.Count() != 0 || other.Watched() {
		t.Error("an endpoint that nobody watches counts finely")
	}
	b.Watch(nil)
	if early.Watched() || late.Watched() {
		t.Error("a series is watched after the end")
	}
}

func BenchmarkRecordWatched(b *testing.B) {
	book := NewBook(nil)
	book.Watch([]string{"wine"})
	s := book.Series(Key{Endpoint: "wine", Code: 200})
	b.ReportAllocs()
	for b.Loop() {
		s.Record(time.Millisecond)
		s.Output(0.5)
	}
}
