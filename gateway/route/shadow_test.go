package route

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func shadowed(t testing.TB, share int) *Table {
	t.Helper()
	return mustTable(t, "", Endpoint{Name: "e", Arms: []Arm{arm("stable", 1, 7000), arm("canary", 2, 3000), arm("next", 3, 0)}, Shadows: []Shadow{{Arm: "next", Share: share}, {Arm: "gone", Share: FullWeight}, {Arm: "canary", Share: FullWeight}}})
}

// TestShadowShare: the copies are as many as the share says, for keys and for chance, in every arm alike.
func TestShadowShare(t *testing.T) {
	const n = 300_000
	for _, share := range []int{0, 10, 1234, FullWeight} {
		table, rng := shadowed(t, share), rand.New(rand.NewPCG(4, uint64(share)))
		for _, keyed := range []bool{false, true} {
			asked, copies := map[string]float64{}, map[string]float64{}
			for i := range n {
				key := ""
				if keyed {
					key = strconv.Itoa(i)
				}
				d, err := table.Pick("e", key, rng.Uint64())
				if err != nil {
					t.Fatal(err)
				}
				asked[d.Arm.Name]++
				if a := d.Shadow(0); a != nil {
					copies[d.Arm.Name]++
				}
				if d.Shadow(1) != nil {
					t.Fatal("an arm that is not there got a copy")
				}
				if a := d.Shadow(2); (a == nil) != (d.Arm.Name == "canary") {
					t.Fatalf("the canary as shadow of %s: %v", d.Arm.Name, a)
				}
			}
			for name, of := range asked {
				p := float64(share) / FullWeight
				if z := (copies[name] - of*p) / math.Sqrt(of*p*(1-p)+1e-9); math.Abs(z) > 4 {
					t.Errorf("share %d, keyed %v: %s was copied %v of %v times", share, keyed, name, copies[name], of)
				}
			}
		}
	}
}

// TestRaisedShareLeavesNobodyOut: who was copied still is when the share rises, and when weights move.
func TestRaisedShareLeavesNobodyOut(t *testing.T) {
	low, high := shadowed(t, 500), shadowed(t, 2000)
	moved := mustTable(t, "", Endpoint{Name: "e", Arms: []Arm{arm("stable", 1, 1000), arm("canary", 2, 9000), arm("next", 3, 0)}, Shadows: []Shadow{{Arm: "next", Share: 500}}})
	for i := range 20_000 {
		key := strconv.Itoa(i)
		a, _ := low.Pick("e", key, 1)
		b, _ := high.Pick("e", key, 2)
		c, _ := moved.Pick("e", key, 3)
		if a.Shadow(0) != nil && b.Shadow(0) == nil || (a.Shadow(0) == nil) != (c.Shadow(0) == nil) {
			t.Fatalf("key %s: %v %v %v", key, a.Shadow(0), b.Shadow(0), c.Shadow(0))
		}
	}
}

// TestNamedVersionsAreNotCopied: who asks for one version wants its answer alone.
func TestNamedVersionsAreNotCopied(t *testing.T) {
	table := shadowed(t, FullWeight)
	if d, err := table.ResolveArm("e", "1"); err != nil || d.Shadow(0) != nil {
		t.Errorf("got %v, %v", d.Shadow(0), err)
	}
}
