package route

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// pick returns the name of the arm that the key falls into.
func pick(t testing.TB, table *Table, key string) string {
	t.Helper()
	d, err := table.Pick("e", key, 0)
	if err != nil {
		t.Fatal(err)
	}
	return d.Arm.Name
}

func split(t testing.TB, salt string, arms ...Arm) *Table {
	t.Helper()
	return mustTable(t, "", Endpoint{Name: "e", Salt: salt, Arms: arms})
}

// TestSplitAccuracy: R30. The 0.999 quantile of chi-square with one degree of freedom is 10.83.
func TestSplitAccuracy(t *testing.T) {
	const n = 1_000_000
	for _, canary := range []int{1000, 100, 10} {
		t.Run(fmt.Sprintf("%v percent", float64(canary)/100), func(t *testing.T) {
			table := split(t, "", arm("stable", 1, FullWeight-canary), arm("canary", 2, canary))
			rng := rand.New(rand.NewPCG(1, uint64(canary)))
			sources := map[string]func(i int) (string, uint64){
				"keys":   func(i int) (string, uint64) { return "user-" + strconv.Itoa(i), 0 },
				"random": func(int) (string, uint64) { return "", rng.Uint64() },
			}
			for name, next := range sources {
				got := 0
				for i := range n {
					key, rnd := next(i)
					d, err := table.Pick("e", key, rnd)
					if err != nil {
						t.Fatal(err)
					}
					if d.Arm.Name == "canary" {
						got++
					}
				}
				want := float64(n) * float64(canary) / FullWeight
				chi2 := math.Pow(float64(got)-want, 2) * (1/want + 1/(n-want))
				if chi2 > 10.83 {
					t.Errorf("%s: canary got %d of %d, want about %.0f (chi-square %.1f)", name, got, n, want, chi2)
				}
			}
		})
	}
}

func TestZeroIsExactlyZero(t *testing.T) {
	table := split(t, "", arm("stable", 1, FullWeight), arm("canary", 2, 0))
	for i := range 200_000 {
		if got := pick(t, table, strconv.Itoa(i)); got != "stable" {
			t.Fatalf("key %d fell into %s", i, got)
		}
	}
	for bucket := range uint64(FullWeight) {
		if d, _ := table.Pick("e", "", bucket); d.Arm.Name != "stable" {
			t.Fatalf("bucket %d fell into %s", bucket, d.Arm.Name)
		}
	}
}

func TestEveryBucketHasItsShare(t *testing.T) {
	arms := []Arm{arm("s", 1, 4321), arm("a", 2, 1), arm("b", 3, 2678), arm("c", 4, 0), arm("d", 5, 3000)}
	table := split(t, "", arms...)
	count := map[string]int{}
	for bucket := range uint64(FullWeight) {
		d, err := table.Pick("e", "", bucket)
		if err != nil {
			t.Fatal(err)
		}
		if d.Bucket != int(bucket) {
			t.Fatalf("bucket %d is told as %d", bucket, d.Bucket)
		}
		count[d.Arm.Name]++
	}
	for _, a := range arms {
		if count[a.Name] != a.Weight {
			t.Errorf("arm %s owns %d buckets, want %d", a.Name, count[a.Name], a.Weight)
		}
	}
}

// TestRaisingMovesNobodyOut: R31, over random configurations of up to five arms.
func TestRaisingMovesNobodyOut(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 31))
	for range 300 {
		n := 2 + rng.IntN(4)
		before := make([]Arm, n)
		left := FullWeight
		for i := 1; i < n; i++ {
			w := rng.IntN(left/2 + 1)
			before[i] = arm("canary-"+strconv.Itoa(rng.IntN(1000))+"-"+strconv.Itoa(i), i+1, w)
			left -= w
		}
		before[0] = arm("stable", 1, left)
		raised := 1 + rng.IntN(n-1)
		after := append([]Arm(nil), before...)
		delta := rng.IntN(after[0].Weight + 1)
		after[0].Weight -= delta
		after[raised].Weight += delta

		old, new := split(t, "", before...), split(t, "", after...)
		for k := range 500 {
			key := strconv.Itoa(k)
			was, is := pick(t, old, key), pick(t, new, key)
			if was == before[raised].Name && is != was {
				t.Fatalf("key %s left %s for %s when its weight rose by %d:\n%v\n%v", key, was, is, delta, before, after)
			}
			if n <= 3 && was != is && (was != "stable" || is != before[raised].Name) {
				t.Fatalf("key %s moved from %s to %s, though only %s rose:\n%v\n%v", key, was, is, before[raised].Name, before, after)
			}
		}
	}
}

func TestSaltReshuffles(t *testing.T) {
	a := split(t, "one", arm("stable", 1, 5000), arm("canary", 2, 5000))
	b := split(t, "two", arm("stable", 1, 5000), arm("canary", 2, 5000))
	moved := 0
	const n = 10_000
	for i := range n {
		if pick(t, a, strconv.Itoa(i)) != pick(t, b, strconv.Itoa(i)) {
			moved++
		}
	}
	if moved < n*45/100 || moved > n*55/100 {
		t.Errorf("a new salt moved %d of %d keys, want about half", moved, n)
	}
}

func TestSameKeySameArm(t *testing.T) {
	table := split(t, "s", arm("stable", 1, 5000), arm("canary", 2, 5000))
	for i := range 1000 {
		key := strconv.Itoa(i)
		a, _ := table.Pick("e", key, 1)
		b, _ := table.Pick("e", key, math.MaxUint64)
		if a.Arm != b.Arm {
			t.Fatalf("key %s: the random number was read although there is a key", key)
		}
	}
}

// TestBucketsArePinned keeps keys where they are across releases: a changed hash would reshuffle every canary at an upgrade.
func TestBucketsArePinned(t *testing.T) {
	table := mustTable(t, "", Endpoint{Name: "wine", Salt: "s1", Arms: []Arm{arm("stable", 1, FullWeight)}})
	for key, want := range map[string]int{"customer-4711": 5311, "a": 9898, "ümläut": 9751} {
		d, err := table.Pick("wine", key, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d.Bucket != want {
			t.Errorf("key %q is in bucket %d, want %d", key, d.Bucket, want)
		}
	}
}
