package drift

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// normal are n quantiles of the normal distribution, in an order by chance.
func normal(n int, mean, deviation float64) *Sketch {
	s := NewSketch()
	for _, i := range rand.New(rand.NewPCG(7, uint64(n))).Perm(n) {
		s.AddNumber(mean + deviation*math.Sqrt2*math.Erfinv(2*(float64(i)+0.5)/float64(n)-1))
	}
	return s
}

func close(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > tolerance {
		t.Errorf("%s: got %.5f, want %.5f", what, got, want)
	}
}

// The numbers are those of scipy 1.17 (ks_2samp) and NumPy on the same samples: b = norm.ppf((arange(1, 2001) − ½)/2000), w likewise of 1500,
// moved and stretched; PSI by the formula of the package comment with exact tenths.
func TestCompareNumbers(t *testing.T) {
	t.Parallel()
	b := normal(2000, 0, 1)
	for _, c := range []struct {
		name    string
		window  *Sketch
		ks, psi float64
	}{
		{"same", normal(1500, 0, 1), 0.0005, 0.00002},
		{"moved by half", normal(1500, 0.5, 1), 0.19783, 0.23659},
		{"wider", normal(1500, 0, 1.2), 0.0445, 0.04342},
		{"far away", normal(1500, 3, 1), 0.86683, 5.54415},
	} {
		got := Compare(b, c.window)
		close(t, c.name+" KS", got.KS, c.ks, 0.006)
		close(t, c.name+" PSI", got.PSI, c.psi, 0.001+0.03*c.psi)
	}
}

func TestCompareTextsAndMissing(t *testing.T) {
	t.Parallel()
	texts := func(counts map[string]int, missing uint64) *Sketch {
		s := NewSketch()
		for text, n := range counts {
			for range n {
				s.AddText(text)
			}
		}
		s.Missing = missing
		return s
	}
	b := texts(map[string]int{"a": 500, "b": 300, "c": 200}, 0)
	if got := Compare(b, texts(map[string]int{"a": 50, "b": 30, "c": 20}, 0)); got.PSI > 0.01 || got.KS != 0 {
		t.Errorf("the same: got %+v", got)
	}
	// By hand: shares (n + ½)/(N + 2) of a, b, c, others; nothing is missing on either side.
	want := 0.0
	for _, n := range [][2]float64{{500, 20}, {300, 30}, {200, 20}, {0, 30}} {
		p, q := (n[0]+0.5)/1002, (n[1]+0.5)/102
		want += (q - p) * math.Log(q/p)
	}
	close(t, "another mix with a new text", Compare(b, texts(map[string]int{"a": 20, "b": 30, "c": 20, "new": 30}, 0)).PSI, want, 1e-12)
	if got := Compare(b, texts(map[string]int{"a": 50, "b": 30}, 20)); got.PSI < 0.2 {
		t.Errorf("missing values: got %+v", got)
	}
	numbers := normal(1000, 0, 1)
	gone := NewSketch()
	gone.Missing = 1000
	if got := Compare(numbers, gone); got.PSI < 1 {
		t.Errorf("numbers that are missing: got %+v", got)
	}
	if got := Compare(numbers, texts(map[string]int{"x": 1000}, 0)); got.PSI < 1 {
		t.Errorf("texts for numbers: got %+v", got)
	}
}

// Chance alone is far below the defaults' limits.
func TestChanceDoesNotDrift(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	sample := func(n int) *Sketch {
		s := NewSketch()
		for range n {
			s.AddNumber(random.NormFloat64())
		}
		return s
	}
	b := sample(5000)
	for range 200 {
		if got := Compare(b, sample(500)); got.PSI > 0.1 || got.KS > 0.15 {
			t.Fatalf("got %+v", got)
		}
	}
}

// Sketches of parts add up to the sketch of the whole, also after they were stored.
func TestSketchesMerge(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		whole := NewSketch()
		parts := []*Sketch{NewSketch(), NewSketch(), NewSketch()}
		for range 2000 {
			p := parts[random.IntN(3)]
			switch random.IntN(4) {
			case 0:
				text := fmt.Sprint(random.IntN(50))
				p.AddText(text)
				whole.AddText(text)
			case 1:
				p.AddNumber(math.NaN())
				whole.AddNumber(math.Inf(1))
			default:
				x := math.Round(random.NormFloat64() * 8)
				p.AddNumber(x)
				whole.AddNumber(x)
			}
		}
		sum := NewSketch()
		for _, p := range parts {
			text, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			back := NewSketch()
			if err := json.Unmarshal(text, back); err != nil {
				t.Fatal(err)
			}
			if err := sum.Merge(back); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(sum.bins(), whole.bins()) || !reflect.DeepEqual(sum.texts, whole.texts) || sum.Missing != whole.Missing || sum.Count() != 2000 || sum.Distinct() != whole.Distinct() {
			t.Fatalf("got %+v, want %+v", sum, whole)
		}
		close(t, "mean", sum.Mean(), whole.Mean(), 1e-9)
	}
}

// What is frequent stays counted however many rare texts come by, within Space-Saving's bound.
func TestFrequentTexts(t *testing.T) {
	t.Parallel()
	s := NewSketch()
	for i := range 20000 {
		s.AddText(fmt.Sprint("rare ", i))
		if i%4 == 0 {
			s.AddText("often")
		}
	}
	top := s.Top(1)
	if len(s.texts) > maxTexts || top[0].Text != "often" || top[0].Count < 5000 || top[0].Count > 5000+25000/maxTexts || s.Texts() != 25000 {
		t.Errorf("got %v of %d", top, s.Texts())
	}
	if d := float64(s.Distinct()); math.Abs(d-20001) > 2500 {
		t.Errorf("%v distinct texts", d)
	}
}

func FuzzSketchDecode(f *testing.F) {
	s := normal(50, 0, 1)
	s.AddText("a")
	seed, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"numbers":"AAAA","distinct":"AQ=="}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		s := NewSketch()
		if json.Unmarshal(text, s) == nil {
			s.AddNumber(1)
			Compare(s, s)
		}
	})
}

func BenchmarkAddNumber(b *testing.B) {
	s := NewSketch()
	b.ReportAllocs()
	x := 1.0
	for b.Loop() {
		x = math.Mod(x*1.7+0.3, 1000)
		s.AddNumber(x)
	}
}

// Columns of names, ids or free texts, which no two rows share, are no drift; nor is one of more categories than are counted. What is frequent
// among them still is.
func TestManyDifferentTexts(t *testing.T) {
	t.Parallel()
	column := func(n int, text func(i int) string) *Sketch {
		s := NewSketch()
		for i := range n {
			s.AddText(text(i))
		}
		var read Sketch
		stored, err := json.Marshal(s)
		if err == nil {
			err = json.Unmarshal(stored, &read)
		}
		if err != nil {
			t.Fatal(err)
		}
		return &read
	}
	unique := func(from int) func(int) string { return func(i int) string { return fmt.Sprintf("order %d", from+i) } }
	for _, n := range []int{100, 500, 5000} {
		if got := Compare(column(n, unique(0)), column(n, unique(n))); got.PSI > 0.1 {
			t.Errorf("%d ids: PSI %v", n, got.PSI)
		}
	}
	category := func(step int) func(int) string {
		return func(i int) string { return fmt.Sprintf("category %d", i*step%300) }
	}
	if got := Compare(column(5000, category(7919)), column(5000, category(104729))); got.PSI > 0.1 {
		t.Errorf("300 categories: PSI %v", got.PSI)
	}
	often := func(share, from int) func(int) string {
		return func(i int) string {
			if i%10 < share {
				return "often"
			}
			return unique(from)(i)
		}
	}
	if got := Compare(column(5000, often(3, 0)), column(5000, often(3, 5000))); got.PSI > 0.02 {
		t.Errorf("as often as before: PSI %v", got.PSI)
	}
	if got := Compare(column(5000, often(7, 0)), column(5000, often(2, 5000))); got.PSI < 0.5 {
		t.Errorf("rarer than before: PSI %v", got.PSI)
	}
	long := func(i int) string { return fmt.Sprintf("%c%s", 'a'+i%3, strings.Repeat("ü", 40)) }
	if got := Compare(column(300, long), column(300, long)); got.PSI > 0.001 {
		t.Errorf("long texts: PSI %v", got.PSI)
	}
	merged := column(300, long)
	if err := merged.Merge(column(300, long)); err != nil || len(merged.texts) != 3 {
		t.Errorf("long texts, stored and counted on: %d, %v", len(merged.texts), err)
	}
}
