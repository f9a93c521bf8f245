package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func names(parts []part) []string {
	var out []string
	for _, p := range parts {
		out = append(out, p.name)
	}
	return out
}

func TestOnlyChoosesPartsAndHalves(t *testing.T) {
	all, err := choose("")
	if err != nil || len(all) != len(allParts()) {
		t.Fatal(names(all), err)
	}
	half, err := choose(serving)
	if err != nil || slices.Contains(names(half), tracking) || !slices.Contains(names(half), "limit") {
		t.Error(names(half), err)
	}
	some, err := choose("wide,limit")
	if err != nil || strings.Join(names(some), " ") != "limit wide" {
		t.Error(names(some), err)
	}
	if _, err := choose("limits"); err == nil {
		t.Error("an unknown part was accepted")
	}
}

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		claim claim
		want  string
	}{
		"below an upper limit": {claim{must: 2, reach: 1, most: true, measured: 1.5}, "pass"},
		"at the upper reach":   {claim{must: 2, reach: 0, most: true, measured: 0}, "pass, within reach"},
		"above":                {claim{must: 2, reach: 1, most: true, measured: 2.1}, "MISSED"},
		"below a lower limit":  {claim{must: 2, reach: 3, measured: 1.9}, "MISSED"},
		"beyond reach":         {claim{must: 2, reach: 3, measured: 3}, "pass, within reach"},
		"no reach":             {claim{must: 2, noReach: true, measured: 9}, "pass"},
		"not measured":         {claim{must: 2, missing: "no wheel"}, "not measured: no wheel"},
	} {
		if got := c.claim.verdict(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestFiguresAreOfTheSameRound(t *testing.T) {
	ours := []window{{rate: 100, cpu: 30}, {rate: 50, cpu: 60}, {rate: 200, cpu: 15}} // the machine is busy in the second round
	theirs := []window{{rate: 10, cpu: 300}, {rate: 5, cpu: 600}, {rate: 10, cpu: 300}}
	if got := ratio(ours, theirs, rateOf); got != 10 {
		t.Errorf("rates: %v, want 10", got)
	}
	floor, raw := []window{{cpu: 10}, {cpu: 20}, {cpu: 5}}, []window{{cpu: 5}, {cpu: 10}, {cpu: 2.5}}
	if got := against(ours, floor, raw); got != 2 {
		t.Errorf("against the limit: %v, want 2", got)
	}
}

func TestBodiesHaveTheRows(t *testing.T) {
	m := &model{name: "m", columns: []string{"a", "b"}}
	for i := range wide {
		n := json.Number(strconv.Itoa(i))
		m.rows = append(m.rows, []json.Number{n, "0.5"})
		m.floats = append(m.floats, float32(i), 0.5)
	}
	for _, p := range []protocol{mlflowJSON, inferJSON, inferBinary} {
		if n := len(m.requests("http://h/", p, 1)); n != wide {
			t.Errorf("protocol %d: %d requests of one row, want %d", p, n, wide)
		}
	}
	if got := string(m.mlflowBody(3, 1)); got != `{"dataframe_split":{"columns":["a","b"],"data":[[3,0.5]]}}` {
		t.Error(got)
	}
	if got := string(m.inferBody(2, 2)); !strings.Contains(got, `"shape": [2, 2]`) || !strings.Contains(got, `[2, 0.5, 3, 0.5]`) {
		t.Error(got)
	}
	body, head := m.binaryBody(0, 4)
	if !json.Valid(body[:head]) || len(body)-head != 4*2*4 || !strings.Contains(string(body[:head]), `"binary_data_size": 32`) {
		t.Errorf("%q, head %d", body, head)
	}
}
