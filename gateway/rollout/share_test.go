package rollout

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sluice/gateway"
)

// TestEveryProcessCounts: one process drives, with the requests of all of them, each once, and everybody can tell.
func TestEveryProcessCounts(t *testing.T) {
	w, first, second := beginTwo(t)
	w.both(first, second, time.Second)
	for range 20 {
		first.ask(5, 0)
		second.ask(10, 0)
		w.both(first, second, 200*time.Millisecond)
	}
	for range 8 { // shares are handed over and taken in
		w.both(first, second, time.Second)
	}
	there, err := first.control.Status(t.Context(), endpointName)
	here, err2 := second.control.Status(t.Context(), endpointName)
	if err != nil || err2 != nil || w.newest().Driver != "first" {
		t.Fatalf("driven by %q (%v, %v)", w.newest().Driver, err, err2)
	}
	if there.Canary.Requests != 60 || there.Stable.Requests != 240 || there.Canary.latency().Count() != 60 {
		t.Errorf("the driver counted %d and %d requests, %d latencies, want 60, 240, 60", there.Canary.Requests, there.Stable.Requests, there.Canary.latency().Count())
	}
	if here.Canary.Requests != there.Canary.Requests || here.Verdict != there.Verdict || here.Verdict == "" {
		t.Errorf("the follower tells %d requests, %q; the driver %d, %q", here.Canary.Requests, here.Verdict, there.Canary.Requests, there.Verdict)
	}
}

// TestTheFollowersRequestsDecide: a canary that fails where the driver has no traffic is taken back, and the shares go with the rollout.
func TestTheFollowersRequestsDecide(t *testing.T) {
	w, first, second := beginTwo(t)
	w.both(first, second, time.Second)
	for range 30 {
		second.ask(50, 2)
		w.both(first, second, 200*time.Millisecond)
	}
	for range 5 {
		w.both(first, second, time.Second)
	}
	r := w.newest()
	if r.Phase != gateway.RolloutRolledBack || r.Writer != "first" || count(w.kinds(), "rollout_decided") != 1 {
		t.Errorf("%s by %q: %v", r.Phase, r.Writer, w.kinds())
	}
	if left, err := w.store.RolloutShares(t.Context(), r.ID); err != nil || len(left) != 0 {
		t.Errorf("%d shares are left (%v)", len(left), err)
	}
}

// TestNothingIsCountedTwice: whoever is killed and whenever, what another one takes in is at most what was answered, and what was handed over is not lost.
func TestNothingIsCountedTwice(t *testing.T) {
	for _, killed := range []string{"driver", "follower"} {
		t.Run(killed, func(t *testing.T) {
			w, first, second := beginTwo(t)
			w.both(first, second, time.Second)
			asked := 0
			ask := func(m *member) {
				m.ask(10, 0)
				asked += 2 // of the canary
			}
			for i := range 12 {
				ask(first)
				ask(second)
				w.both(first, second, 300*time.Millisecond)
				if i == 7 && killed == "follower" {
					second = w.member("second") // the same process, started again
				}
			}
			if killed == "driver" {
				first = nil
				for range 8 {
					ask(second)
					w.both(nil, second, time.Second)
				}
			}
			for range 6 {
				w.both(first, second, time.Second)
			}
			r := w.newest()
			if got := int(ParseEvidence(r.Evidence).Canary.Requests); got > asked || got < asked/2 {
				t.Errorf("%d requests of the canary are counted of %d, by %q", got, asked, r.Driver)
			}
		})
	}
}

// callers are what one process is asked: how often a version fails for them, and the canary's share of them.
type callers struct{ canary, stable, weight float64 }

// spread runs one rollout at several processes, whose blocks the driver takes in one after another.
func spread(rnd *rand.Rand, processes []callers, most uint64) (back bool, requests uint64) {
	analysis := gateway.Analysis{FalseRollback: gateway.DefaultFalseRollback, Metrics: []gateway.AnalysisMetric{{Name: gateway.MetricErrorRate}}}
	var e Evidence
	for e.Canary.Requests < most {
		for _, p := range processes {
			var b Block
			for range 5 + rnd.IntN(100) {
				s, rate := &b.Stable, p.stable
				if rnd.Float64() < p.weight {
					s, rate = &b.Canary, p.canary
				}
				s.Requests++
				if rnd.Float64() < rate {
					s.Errors++
				}
			}
			e = e.Join(b, analysis)
		}
		if reasons(e.Findings(analysis), Rollback) != "" {
			return true, e.Canary.Requests
		}
	}
	return false, e.Canary.Requests
}

// TestFalseRollbacksOfManyProcesses: processes with other callers, at other weights, do not make a harmless version look bad: it is where callers fail
// most that the canary gets most, and added up it fails ten times as often as stable.
func TestFalseRollbacksOfManyProcesses(t *testing.T) {
	rollouts := 1000
	if testing.Short() {
		rollouts = 200
	}
	rnd := rand.New(rand.NewPCG(5, 17))
	taken := 0
	for range rollouts {
		if back, _ := spread(rnd, []callers{{0.2, 0.2, 0.5}, {0.01, 0.01, 0.02}, {0, 0, 0.05}}, 600); back {
			taken++
		}
	}
	t.Logf("%d of %d A/A rollouts were taken back", taken, rollouts)
	if taken*100 >= rollouts {
		t.Errorf("%d of %d A/A rollouts were taken back", taken, rollouts)
	}
}

// TestPowerOfManyProcesses: a bad version is found out by the requests of all processes together, each of which has few.
func TestPowerOfManyProcesses(t *testing.T) {
	const rollouts = 200
	rnd := rand.New(rand.NewPCG(7, 23))
	found, total := 0, uint64(0)
	for range rollouts {
		processes := make([]callers, 8)
		for i := range processes {
			processes[i] = callers{0.05, 0.001, 0.1}
		}
		if back, n := spread(rnd, processes, 2000); back {
			found++
			total += n
		}
	}
	t.Logf("%d of %d taken back, after %d requests of the canary on average", found, rollouts, total/uint64(max(found, 1)))
	if found*100 < 95*rollouts {
		t.Errorf("%d of %d were taken back within 2000 requests", found, rollouts)
	}
}

// TestBlocksAreStored: what is read back is what was counted, and what cannot be read is nothing.
func TestBlocksAreStored(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := Block{Baking: true}
	for range 300 {
		typical.answer(rnd, &b.Canary)
		typical.answer(rnd, &b.Stable)
	}
	b.Canary.ClientErrors, b.Stable.Shed = 3, 4
	if got := parseBlock(b.encode(usual)); fmt.Sprint(got) != fmt.Sprint(b) {
		t.Error("a block changed on the way")
	}
	for _, text := range []string{"", "null", `{"canary":{"latency":{"":3}}}`, `{"canary":{"outputs":{"1":2}}}`, "{"} {
		if got := parseBlock(text); got.Canary.Requests+got.Stable.Requests != 0 || got.Canary.Latency.Count() != 0 {
			t.Errorf("%q is %d requests", text, got.Canary.Requests)
		}
	}
}
