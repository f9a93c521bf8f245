package main

import "testing"

func TestOneLimitOfAShadowIsEnough(t *testing.T) {
	for name, c := range map[string]struct {
		more, percent float64
		holds         bool
	}{
		"neither":  {0.6, 6, false},
		"ms alone": {0.4, 30, true},
		"% alone":  {2, 4, true},
		"faster":   {-1, -3, true},
	} {
		if got := shadowClaim(c.more, c.percent); got.holds(got.must) != c.holds {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTopLevel(t *testing.T) {
	got, err := topLevel("a: 1\nsignature:\n  inputs: x\n- y\nb: 2\n", "signature")
	if err != nil || got != "signature:\n  inputs: x\n- y\n" {
		t.Errorf("%q (%v)", got, err)
	}
	if _, err := topLevel("a: 1\n", "signature"); err == nil {
		t.Error("no error")
	}
}
