package route

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func sampled(t testing.TB, fraction float64, stable, canary int) *Table {
	t.Helper()
	return mustTable(t, "", Endpoint{Name: "e", SamplingFraction: fraction, Arms: []Arm{arm("stable", 1, stable), arm("canary", 2, canary)}})
}

// TestSampledShare (R43): a tenth of the keys, and of the ids where there are no keys, in every arm alike; counts weighted by the share are right
// within 3σ.
func TestSampledShare(t *testing.T) {
	const n, fraction = 200_000, 0.1
	table, rng := sampled(t, fraction, 7000, 3000), rand.New(rand.NewPCG(8, 43))
	for _, keyed := range []bool{true, false} {
		asked, kept := map[string]float64{}, map[string]float64{}
		for i := range n {
			key, id := "user "+strconv.Itoa(i), "request "+strconv.Itoa(i)
			if !keyed {
				key = ""
			}
			d, err := table.Pick("e", key, rng.Uint64())
			if err != nil {
				t.Fatal(err)
			}
			asked[d.Arm.Name]++
			if d.Sampled(id) {
				kept[d.Arm.Name]++
			}
			if keyed && d.Sampled(id) != d.Sampled("another") {
				t.Fatal("the id has a part in who is logged though there is a key")
			}
		}
		for name, of := range asked {
			weighted, sigma := kept[name]/fraction, math.Sqrt(of*fraction*(1-fraction))/fraction
			if math.Abs(weighted-of) > 3*sigma {
				t.Errorf("keyed %v: %s was asked %v times, its records weigh %v, σ is %v", keyed, name, of, weighted, sigma)
			}
		}
	}
}

// TestSampledTogether: the arm, a retry and the weights have no part in who is logged, and a share that grows keeps whom it has.
func TestSampledTogether(t *testing.T) {
	low, high, moved := sampled(t, 0.05, 7000, 3000), sampled(t, 0.2, 7000, 3000), sampled(t, 0.05, 0, 10_000)
	all := sampled(t, 0, 7000, 3000)
	for i := range 20_000 {
		key := strconv.Itoa(i % 2 * i) // every other request has none
		if key == "0" {
			key = ""
		}
		id := "r" + strconv.Itoa(i)
		a, _ := low.Pick("e", key, 1)
		b, _ := high.Pick("e", key, 2)
		c, _ := moved.Pick("e", key, 3)
		again, _ := low.Pick("e", key, 4)
		if a.Sampled(id) && !b.Sampled(id) {
			t.Fatalf("key %q, id %q: logged at 5 %%, not at 20 %%", key, id)
		}
		if a.Sampled(id) != c.Sampled(id) || a.Sampled(id) != again.Sampled(id) {
			t.Fatalf("key %q, id %q: the arm decides who is logged", key, id)
		}
		if d, _ := all.Pick("e", key, 5); !d.Sampled(id) {
			t.Fatal("not logged, without a share")
		}
	}
}

func TestBadSamplingFraction(t *testing.T) {
	for _, f := range []float64{-0.1, 1.01, math.NaN(), math.Inf(1)} {
		if _, err := NewTable(1, []Endpoint{{Name: "e", SamplingFraction: f, Arms: []Arm{arm("stable", 1, FullWeight)}}}, ""); err == nil {
			t.Errorf("%v: no error", f)
		}
	}
}
