package rollout

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/gateway/outcome"
)

// arm is how one version behaves in a simulation.
type arm struct {
	errors  float64       // share of requests
	median  time.Duration // of a lognormal latency
	classes []float64     // shares of the predicted classes 0, 1, …

	buckets *[4096]int // of equally likely latencies; made by ready
}

// ready looks the latencies' buckets up, so that drawing one is quick.
func (a arm) ready() arm {
	a.buckets = new([4096]int)
	for i := range a.buckets {
		z := math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/float64(len(a.buckets))-1)
		a.buckets[i] = fineBucket(time.Duration(float64(a.median) * math.Exp(0.5*z)))
	}
	return a
}

// answer draws one request.
func (a arm) answer(rnd *rand.Rand, s *Sample) {
	s.Requests++
	if rnd.Float64() < a.errors {
		s.Errors++
		return
	}
	s.Latency[a.buckets[rnd.Uint32()%uint32(len(a.buckets))]]++
	u := rnd.Float64()
	for class, p := range a.classes {
		if u -= p; u < 0 || class == len(a.classes)-1 {
			book.output(s, float64(class))
			return
		}
	}
}

// book finds the buckets of values by asking a real Book once for each.
var book = newBuckets()

type buckets struct {
	series  *outcome.Series
	book    *outcome.Book
	outputs map[float64]int
	seen    outcome.Outputs
}

func newBuckets() *buckets {
	b := &buckets{book: outcome.NewBook(nil), outputs: map[float64]int{}}
	b.book.Watch([]string{"e"})
	b.series = b.book.Series(outcome.Key{Endpoint: "e", Code: 200})
	return b
}

// fineBucket is the bucket of a latency.
func fineBucket(d time.Duration) int {
	low, high := 0, outcome.FineCount-1
	for low < high {
		if mid := (low + high) / 2; d < outcome.FineBound(mid) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

func (b *buckets) output(s *Sample, x float64) {
	i, ok := b.outputs[x]
	if !ok {
		b.series.Output(x)
		now := b.book.Observe("e")[0].Outputs
		for j := range now {
			if now[j] != b.seen[j] {
				i = j
			}
		}
		b.seen, b.outputs[x] = now, i
	}
	s.Outputs[i]++
}

// simulate runs one rollout at a weight until it is decided or the canary answered most requests; it returns how it ended and after how
// many requests of the canary.
func simulate(rnd *rand.Rand, canary, stable arm, weight float64, block, most int, analysis gateway.Analysis) (Verdict, uint64) {
	r := gateway.Rollout{
		Phase: gateway.RolloutRunning, Stable: 1, Canary: 2, Weight: gateway.Weight(weight * 10000),
		Plan: gateway.RolloutPlan{
			Steps:    []gateway.RolloutStep{{Kind: gateway.StepAnalyse, MinRequests: int64(most)}},
			Analysis: analysis,
		},
	}
	facts := Facts{Known: true, Loaded: true, Means: 1}
	now := time.UnixMilli(0)
	var e Evidence
	for {
		var b Block
		for range 1 + rnd.IntN(2*block) {
			if rnd.Float64() < weight {
				canary.answer(rnd, &b.Canary)
			} else {
				stable.answer(rnd, &b.Stable)
			}
		}
		e = e.Add(b, analysis)
		now = now.Add(time.Second)
		d := Next(r, e, facts, now)
		switch {
		case d.Rollout.Phase == gateway.RolloutRollingBack:
			return Rollback, e.Canary.Requests
		case d.Rollout.Phase == gateway.RolloutPromoting:
			return Promote, e.Canary.Requests
		case e.Canary.Requests > uint64(4*most):
			return d.Verdict, e.Canary.Requests
		}
	}
}

var typical = arm{errors: 0.001, median: 5 * time.Millisecond, classes: []float64{0.5, 0.3, 0.2}}.ready()

var usual = gateway.Analysis{FalseRollback: gateway.DefaultFalseRollback, Metrics: []gateway.AnalysisMetric{
	gateway.DefaultMetric(gateway.MetricErrorRate), gateway.DefaultMetric(gateway.MetricLatencyRatio), gateway.DefaultMetric(gateway.MetricDrift),
}}

// strict allows nothing: the canary is exactly on the edge of the hypothesis, where false rollbacks are likeliest.
var strict = gateway.Analysis{FalseRollback: gateway.DefaultFalseRollback, Metrics: []gateway.AnalysisMetric{
	{Name: gateway.MetricErrorRate}, {Name: gateway.MetricLatencyRatio, Quantile: 0.95, Ratio: 1}, {Name: gateway.MetricDrift},
}}

func TestFalseRollbacks(t *testing.T) {
	rollouts := 2000
	if testing.Short() {
		rollouts = 200
	}
	rnd := rand.New(rand.NewPCG(7, 11))
	rates := []float64{0.001, 0.01, 0.05, 0.3}
	weights := []float64{0.05, 0.1, 0.25, 0.5}
	taken := 0
	shares := strict
	shares.Metrics = strict.Metrics[:2] // predictions are many buckets: every eighth rollout compares them too
	for i := range rollouts {
		same := typical
		same.errors = rates[i%4]
		weight, block := weights[i/4%4], 10+rnd.IntN(200)
		analysis := shares
		if i%8 == 0 {
			analysis = strict
		}
		if v, _ := simulate(rnd, same, same, weight, block, 500, analysis); v == Rollback {
			taken++
		}
	}
	t.Logf("%d of %d A/A rollouts were taken back", taken, rollouts)
	if taken*100 >= rollouts {
		t.Errorf("%d of %d A/A rollouts were taken back", taken, rollouts)
	}
}

func TestPower(t *testing.T) {
	good := typical
	for _, c := range []struct {
		name     string
		bad      func(*arm)
		rollouts int
	}{
		{"5 % errors against 0.1 %", func(a *arm) { a.errors = 0.05 }, 500},
		{"twice as slow", func(a *arm) { a.median *= 2 }, 500},
		{"a class moved by 20 %", func(a *arm) { a.classes = []float64{0.3, 0.5, 0.2} }, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			rollouts := c.rollouts
			if testing.Short() {
				rollouts = 100
			}
			rnd := rand.New(rand.NewPCG(3, 5))
			bad := good
			c.bad(&bad)
			bad = bad.ready()
			found, total := 0, uint64(0)
			for i := range rollouts {
				weight := []float64{0.05, 0.1, 0.5}[i%3]
				v, n := simulate(rnd, bad, good, weight, 10+rnd.IntN(200), 2000, usual)
				if v == Rollback && n <= 2000 {
					found++
					total += n
				}
			}
			t.Logf("%d of %d taken back, after %d requests of the canary on average", found, rollouts, total/uint64(max(found, 1)))
			if found*100 < 95*rollouts {
				t.Errorf("%d of %d were taken back within 2000 requests", found, rollouts)
			}
		})
	}
}
