package route

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sluice/runtime/servable"
)

func arm(name string, version, weight int) Arm {
	return Arm{Name: name, Servable: servable.ID{Model: "wine", Version: version}, Weight: weight}
}

func mustTable(t testing.TB, defaultName string, endpoints ...Endpoint) *Table {
	t.Helper()
	table, err := NewTable(7, endpoints, defaultName)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestNewTableRefuses(t *testing.T) {
	full := []Arm{arm("a", 1, FullWeight)}
	cases := []struct {
		name      string
		endpoints []Endpoint
		def       string
		want      string
	}{
		{"weights below 100 %", []Endpoint{{Name: "e", Arms: []Arm{arm("a", 1, 9000), arm("b", 2, 999)}}}, "", "9999"},
		{"weights above 100 %", []Endpoint{{Name: "e", Arms: []Arm{arm("a", 1, 9000), arm("b", 2, 1001)}}}, "", "10001"},
		{"a negative weight", []Endpoint{{Name: "e", Arms: []Arm{arm("a", 1, -1), arm("b", 2, 10001)}}}, "", "-1"},
		{"an arm twice", []Endpoint{{Name: "e", Arms: []Arm{arm("a", 1, 5000), arm("a", 2, 5000)}}}, "", "twice"},
		{"an endpoint twice", []Endpoint{{Name: "e", Arms: full}, {Name: "e", Arms: full}}, "", "twice"},
		{"an endpoint without name", []Endpoint{{Arms: full}}, "", "empty"},
		{"an arm without name", []Endpoint{{Name: "e", Arms: []Arm{arm("", 1, FullWeight)}}}, "", "empty"},
		{"a name that is too long", []Endpoint{{Name: strings.Repeat("x", 257), Arms: full}}, "", "longer"},
		{"an arm without model", []Endpoint{{Name: "e", Arms: []Arm{{Name: "a", Weight: FullWeight, Servable: servable.ID{Version: 1}}}}}, "", "model"},
		{"version 0", []Endpoint{{Name: "e", Arms: []Arm{arm("a", 0, FullWeight)}}}, "", "version"},
		{"a negative timeout", []Endpoint{{Name: "e", Arms: full, Timeout: -1}}, "", "negative"},
		{"too many arms", []Endpoint{{Name: "e", Arms: make([]Arm, MaxArms+1)}}, "", "more than"},
		{"a default that is not there", []Endpoint{{Name: "e", Arms: full}}, "f", `"f"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := NewTable(1, c.endpoints, c.def)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestTableIsACopy(t *testing.T) {
	in := []Endpoint{{Name: "e", Arms: []Arm{arm("a", 1, FullWeight)}}}
	table := mustTable(t, "", in...)
	in[0].Arms[0].Servable.Version = 9
	in[0].Name = "changed"
	d, err := table.Pick("e", "", 1)
	if err != nil || d.Arm.Servable.Version != 1 {
		t.Errorf("picked %+v, %v after the caller changed its slices", d.Arm, err)
	}
}

func TestPickEndpoint(t *testing.T) {
	a := Endpoint{Name: "a", Arms: []Arm{arm("only", 1, FullWeight)}}
	b := Endpoint{Name: "b", Arms: []Arm{arm("only", 2, FullWeight)}}
	empty := Endpoint{Name: "empty", Reason: "version 3 failed to load"}
	idle := Endpoint{Name: "idle", Arms: []Arm{arm("only", 3, 0)}}
	cases := []struct {
		name     string
		table    *Table
		endpoint string
		want     string
		wantErr  error
		wantText []string
	}{
		{name: "by name", table: mustTable(t, "", a, b), endpoint: "b", want: "b"},
		{name: "the default", table: mustTable(t, "b", a, b), want: "b"},
		{name: "a name beats the default", table: mustTable(t, "b", a, b), endpoint: "a", want: "a"},
		{name: "the only one", table: mustTable(t, "", a), want: "a"},
		{name: "none named of two", table: mustTable(t, "", a, b), wantErr: ErrNoEndpointNamed, wantText: []string{`"a"`, `"b"`}},
		{name: "none named of none", table: mustTable(t, ""), wantErr: ErrNoEndpointNamed, wantText: []string{"none"}},
		{name: "unknown", table: mustTable(t, "", a), endpoint: "x", wantErr: ErrUnknownEndpoint, wantText: []string{`"x"`, `"a"`}},
		{name: "names are case-sensitive", table: mustTable(t, "", a), endpoint: "A", wantErr: ErrUnknownEndpoint},
		{name: "nothing ready", table: mustTable(t, "", empty), wantErr: ErrNoArms, wantText: []string{"empty", "failed to load"}},
		{name: "only weight 0", table: mustTable(t, "", idle), wantErr: ErrNoArms, wantText: []string{"idle"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, err := c.table.Pick(c.endpoint, "key", 0)
			if !errors.Is(err, c.wantErr) {
				t.Fatalf("error %v, want %v", err, c.wantErr)
			}
			if err != nil {
				for _, text := range c.wantText {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("error %q does not tell %s", err, text)
					}
				}
				if (d.Endpoint != nil) != errors.Is(err, ErrNoArms) || d.Arm != nil {
					t.Errorf("with %v the decision is %+v", err, d)
				}
				return
			}
			if d.Endpoint.Name != c.want || d.Revision != 7 {
				t.Errorf("picked %s of revision %d, want %s of 7", d.Endpoint.Name, d.Revision, c.want)
			}
		})
	}
}

func TestErrorListsAtMostTenNames(t *testing.T) {
	var many []Endpoint
	for i := range 40 {
		many = append(many, Endpoint{Name: fmt.Sprintf("e%02d", i)})
	}
	_, err := mustTable(t, "", many...).Pick("", "", 0)
	if err == nil || !strings.Contains(err.Error(), "30 more") || strings.Contains(err.Error(), "e15") {
		t.Errorf("error %v, want ten names and how many more", err)
	}
}

func TestOrdinals(t *testing.T) {
	table := mustTable(t, "",
		Endpoint{Name: "b", Arms: []Arm{arm("x", 1, 5000), arm("y", 2, 5000)}},
		Endpoint{Name: "a", Arms: []Arm{arm("z", 3, FullWeight)}})
	for i, a := range table.Arms() {
		if a.Ordinal() != i {
			t.Errorf("arm %s at %d has ordinal %d", a.Name, i, a.Ordinal())
		}
	}
	if got := len(table.Servables()); got != 3 {
		t.Errorf("%d servables, want 3", got)
	}
}

func TestResolve(t *testing.T) {
	prod, staging := arm("prod", 3, 9000), arm("staging", 5, 1000)
	prod.Stage, prod.Aliases = "Production", []string{"champion"}
	staging.Stage = "Staging"
	stale := arm("old", 1, 0)
	stale.Stage, stale.Stale = "Archived", true
	other := arm("prod", 3, FullWeight)
	other.Stage = "Production"
	table := mustTable(t, "",
		Endpoint{Name: "another", Arms: []Arm{other}},
		Endpoint{Name: "wine", Arms: []Arm{prod, staging, stale}, Coming: []Arm{
			{Name: "staging", Servable: servable.ID{Model: "wine", Version: 6}, Stage: "Staging", Reason: "version 6 is being loaded"},
			{Name: "next", Servable: servable.ID{Model: "cider", Version: 1}, Stage: "Production", Aliases: []string{"fresh"}, Reason: "a long story"},
		}})
	cases := []struct {
		model    string
		by       By
		x        string
		want     int
		endpoint string
		wantErr  error
	}{
		{"wine", ByVersion, "3", 3, "wine", nil},
		{"wine", ByVersion, "1", 1, "wine", nil},
		{"wine", ByStage, "Production", 3, "wine", nil},
		{"wine", ByStage, "staging", 5, "wine", nil},
		{"wine", ByAlias, "champion", 3, "wine", nil},
		{"wine", ByStage, "Archived", 0, "", ErrNotRouted},
		{"wine", ByVersion, "4", 0, "", ErrNotRouted},
		{"wine", ByVersion, "03", 0, "", ErrNotRouted},
		{"wine", ByVersion, "-3", 0, "", ErrNotRouted},
		{"wine", ByVersion, "99999999999999999999", 0, "", ErrNotRouted},
		{"wine", ByAlias, "Champion", 0, "", ErrNotRouted},
		{"beer", ByVersion, "3", 0, "", ErrUnknownModel},
		{"wine", ByVersion, "6", 0, "", ErrComing},
		{"cider", ByVersion, "1", 0, "", ErrComing},
		{"cider", ByStage, "production", 0, "", ErrComing},
		{"cider", ByAlias, "fresh", 0, "", ErrComing},
		{"cider", ByStage, "Staging", 0, "", ErrUnknownModel},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s %v %s", c.model, c.by, c.x), func(t *testing.T) {
			d, err := table.Resolve(c.model, c.by, c.x)
			if !errors.Is(err, c.wantErr) {
				t.Fatalf("error %v, want %v", err, c.wantErr)
			}
			if err == nil && (d.Arm.Servable.Version != c.want || d.Endpoint.Name != c.endpoint || d.Bucket != -1) {
				t.Errorf("resolved version %d of endpoint %s, want %d of %s", d.Arm.Servable.Version, d.Endpoint.Name, c.want, c.endpoint)
			}
			if errors.Is(err, ErrComing) && c.model == "cider" && !strings.Contains(err.Error(), "a long story") {
				t.Errorf("%v does not say why", err)
			}
		})
	}
	if _, err := table.ResolveArm("wine", "6"); !errors.Is(err, ErrComing) {
		t.Errorf("by endpoint and version: %v", err)
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	table := mustTable(t, "", Endpoint{Name: "wine", Arms: []Arm{arm("a", 1, 9000), arm("b", 2, 1000)}})
	if n := testing.AllocsPerRun(1000, func() {
		_, _ = table.Pick("wine", "customer-4711", 0)
		_, _ = table.Pick("", "", 12345)
		_, _ = table.Resolve("wine", ByVersion, "2")
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkPick(b *testing.B) {
	table := mustTable(b, "", Endpoint{Name: "wine", Arms: []Arm{arm("a", 1, 9000), arm("b", 2, 1000)}})
	for _, key := range []string{"", "customer-4711"} {
		b.Run("key="+key, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := table.Pick("wine", key, rand.Uint64()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
