package route

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// asking is a request of headers alone, as a list: the look-up must cost nothing of its own.
type asking struct{ name, value string }

func (a *asking) Value(p *Part) (string, error) {
	if p.Source == Header && p.Name == a.name {
		return a.value, nil
	}
	return "", nil
}
func (*asking) May(string) bool { return true }

// thousand is a table of 1,000 endpoints, each with two arms, a sticky header and two rules.
func thousand(t testing.TB) *Table {
	t.Helper()
	endpoints := make([]Endpoint, 1000)
	for i := range endpoints {
		endpoints[i] = Endpoint{
			Name: fmt.Sprintf("endpoint-%03d", i), Sticky: Part{Source: Header, Name: "X-User"},
			Arms: []Arm{arm("stable", 1, 9000), arm("canary", 2, 1000)},
			Rules: []Rule{
				{Name: "staff", Arm: "canary", When: []Condition{{Part{Source: Header, Name: "X-Group"}, []string{"staff", "beta"}}, {Part{Source: Query, Name: "v"}, []string{"2"}}}},
				{Name: "testers", Arm: "canary", When: []Condition{{Part{Source: Header, Name: "X-Test"}, []string{"1"}}}},
			},
		}
	}
	return mustTable(t, "", endpoints...)
}

func TestPickForAllocatesNothing(t *testing.T) {
	table, rule, key := thousand(t), &asking{"X-Test", "1"}, &asking{"X-User", "ann"}
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = table.PickFor("endpoint-500", rule, "", 0)
		_, _ = table.PickFor("endpoint-501", key, "", 0)
		_, _ = table.PickFor("endpoint-502", key, "customer-4711", 0)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// BenchmarkPickFor picks from 1,000 endpoints with rules.
func BenchmarkPickFor(b *testing.B) {
	table := thousand(b)
	names := make([]string, 1024)
	for i := range names {
		names[i] = fmt.Sprintf("endpoint-%03d", rand.IntN(1000))
	}
	for name, req := range map[string]*asking{"weights": {}, "sticky": {"X-User", "customer-4711"}, "rule": {"X-Test", "1"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := table.PickFor(names[i&1023], req, "", rand.Uint64()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
