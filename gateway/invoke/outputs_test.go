package invoke

import (
	"testing"

	"sluice/gateway/outcome"
	"sluice/runtime/tensor"
)

// TestPredictionsOfWatchedEndpointsAreCounted: one value for each answer, however many rows it has, and none while nobody watches.
func TestPredictionsOfWatchedEndpointsAreCounted(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish(t, "", only("wine"))
	const rows = `{"inputs":{"a":[1,2],"b":[3,4]}}`
	count := func() (n uint64) {
		for _, o := range r.book.Observe("wine") {
			n += o.Outputs.Count()
		}
		return n
	}
	r.ask(t, "POST", "/endpoints/wine/invocations", rows)
	if n := count(); n != 0 {
		t.Errorf("%d predictions are counted, and nobody watches", n)
	}
	r.book.Watch([]string{"wine"})
	for range 3 {
		if a := r.ask(t, "POST", "/endpoints/wine/invocations", rows); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	r.ask(t, "POST", "/endpoints/wine/invocations", `{"inputs":{"a":["x"],"b":[3]}}`)
	if n := count(); n != 3 {
		t.Errorf("%d predictions are counted of 3", n)
	}
}

func TestPredictedTakesTheFirstValue(t *testing.T) {
	book := outcome.NewBook(nil)
	book.Watch([]string{"e"})
	s := book.Series(outcome.Key{Endpoint: "e", Code: 200})
	var numbers, texts, nothing tensor.Batch
	numbers.Reset(tensor.Table)
	numbers.AddColumn("y").Reset(tensor.Float32, 0)
	tensor.Append(&numbers.Columns[0].Tensor, float32(3))
	texts.Reset(tensor.Table)
	texts.AddColumn("y").Reset(tensor.String, 0)
	texts.Columns[0].Tensor.AppendString("red")
	nothing.Reset(tensor.Table)
	nothing.AddColumn("y").Reset(tensor.Float32, 0)
	for _, b := range []*tensor.Batch{&numbers, &texts, &nothing, {}} {
		predicted(s, b)
	}
	if n := book.Observe("e")[0].Outputs.Count(); n != 2 {
		t.Errorf("%d predictions are counted, want 2", n)
	}
}
