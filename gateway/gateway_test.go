package gateway_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

func TestParsePercent(t *testing.T) {
	for text, want := range map[string]gateway.Weight{
		"0": 0, "100": 10000, "90": 9000, "33.33": 3333, "0.01": 1, "0.1": 10, "100.00": 10000, "5.50000": 550, "007": 700,
	} {
		if got, err := gateway.ParsePercent(text); err != nil || got != want {
			t.Errorf("%q: got %d (%v), want %d", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "-1", "+1", "100.01", "101", "1e2", "0.001", "1.", ".5", "1,5", " 1", "NaN", `"5"`, "1000", "0x1", strings.Repeat("9", 400)} {
		if got, err := gateway.ParsePercent(bad); mlflow.CodeOf(err) != mlflow.InvalidParameterValue || len(err.Error()) > 200 {
			t.Errorf("%.40q: got %d (%v), want a refusal", bad, got, err)
		}
	}
}

func FuzzParsePercent(f *testing.F) {
	for _, s := range []string{"0", "33.33", "100.00", "-1", "1e2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := gateway.ParsePercent(text)
		if err != nil {
			return
		}
		if w < 0 || w > gateway.FullWeight {
			t.Errorf("%q gave %d", text, w)
		}
		if again, err := gateway.ParsePercent(w.String()); err != nil || again != w {
			t.Errorf("%q gave %d, which is written %q and read %d (%v)", text, w, w, again, err)
		}
	})
}

func TestDistribute(t *testing.T) {
	for _, c := range []struct{ in, want []gateway.Weight }{
		{nil, nil}, {[]gateway.Weight{0, 0}, nil},
		{[]gateway.Weight{10000}, []gateway.Weight{10000}},
		{[]gateway.Weight{1, 1, 1}, []gateway.Weight{3334, 3333, 3333}},
		{[]gateway.Weight{6000, 3000}, []gateway.Weight{6667, 3333}},
		{[]gateway.Weight{0, 5}, []gateway.Weight{0, 10000}},
		{[]gateway.Weight{9000, 1000}, []gateway.Weight{9000, 1000}},
	} {
		if got := gateway.Distribute(c.in); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.in, got, c.want)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		in := make([]gateway.Weight, 1+rnd.IntN(gateway.MaxServedEntities))
		for i := range in {
			in[i] = gateway.Weight(rnd.IntN(2) * rnd.IntN(10001))
		}
		var sum gateway.Weight
		for i, w := range gateway.Distribute(in) {
			if in[i] == 0 && w != 0 || w < 0 {
				t.Fatalf("%v: share %d is %d", in, i, w)
			}
			sum += w
		}
		if total := slices.Max(in); sum != gateway.FullWeight && total > 0 {
			t.Fatalf("%v: shares sum to %d", in, sum)
		}
	}
}

func FuzzParseSelector(f *testing.F) {
	for _, s := range []string{"1", "Production", "@champion", "none", "-1", "custom stage"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := gateway.ParseSelector(text)
		if err != nil {
			return
		}
		if again, err := gateway.ParseSelector(s.String()); err != nil || again != s {
			t.Errorf("%q gave %+v, written %q and read %+v (%v)", text, s, s, again, err)
		}
		if name := gateway.DefaultEntityName(text, s); gateway.CheckName("name", name) != nil {
			t.Errorf("%q: the default name %q is not valid", text, name)
		}
	})
}

func TestDefaultEntityName(t *testing.T) {
	for _, c := range []struct {
		model, target, want string
	}{
		{"wine", "3", "wine-3"}, {"wine", "Production", "wine-Production"}, {"wine", "@champion", "wine-champion"},
		{"my model/é", "1", "my-model-1"}, {"...", "1", "model-1"}, {strings.Repeat("x", 300), "1", strings.Repeat("x", 126) + "-1"},
	} {
		s, err := gateway.ParseSelector(c.target)
		if got := gateway.DefaultEntityName(c.model, s); err != nil || got != c.want {
			t.Errorf("%.20q %s: got %q, want %q (%v)", c.model, c.target, got, c.want, err)
		}
	}
}

func TestResolve(t *testing.T) {
	reg := &gateway.Registered{Models: map[string]gateway.Model{"wine": {
		Versions: []gateway.Version{{Number: 4, Stage: "Production"}, {Number: 9, Stage: "Production"}, {Number: 11, Stage: "None"}, {Number: 2, Stage: "Archived"}},
		Aliases:  map[string]int{"champion": 4, "ghost": 5},
	}}}
	record := func(target string, version int) *gateway.ArmRecord {
		s, _ := gateway.ParseSelector(target)
		return &gateway.ArmRecord{Model: "wine", Target: s, Version: version}
	}
	for _, c := range []struct {
		name, target string
		last         *gateway.ArmRecord
		want         int
		stale        bool
	}{
		{"highest number in the stage", "Production", nil, 9, false},
		{"alias", "@champion", nil, 4, false},
		{"version in no stage", "11", nil, 11, false},
		{"empty stage", "Staging", nil, 0, false},
		{"empty stage that served", "Staging", record("Staging", 2), 2, true},
		{"record of another target", "Staging", record("Archived", 2), 0, false},
		{"record of a deleted version", "Staging", record("Staging", 3), 0, false},
		{"alias of a deleted version", "@ghost", nil, 0, false},
		{"alias that was removed", "@old", record("@old", 9), 9, true},
		{"deleted version", "5", record("5", 5), 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := gateway.ParseSelector(c.target)
			if err != nil {
				t.Fatal(err)
			}
			got := gateway.Resolve(gateway.ServedEntity{Model: "wine", Target: s}, reg, c.last)
			if got.Version != c.want || got.Stale != c.stale || (got.Reason == "") != (got.Version > 0 && !got.Stale) {
				t.Errorf("got %+v, want version %d, stale %v", got, c.want, c.stale)
			}
		})
	}
}
