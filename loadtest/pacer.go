package loadtest

import (
	"math"
	"math/rand/v2"
	"time"
)

// Pacer says when the requests of an open loop are due.
type Pacer interface {
	// Next returns when the next request is due, from the start of the run; it never goes back. Calls do not overlap.
	Next() time.Duration
}

// Constant spaces requests evenly at rate requests per second; rate > 0.
func Constant(rate float64) Pacer {
	return &schedule{rate: func(time.Duration) float64 { return rate }}
}

// Poisson draws the gaps between requests from the exponential distribution of mean 1/rate seconds, as independent callers make them; rate is
// requests per second, > 0. Equal seeds give equal schedules.
func Poisson(rate float64, seed uint64) Pacer {
	random := rand.New(rand.NewPCG(seed, 0))
	return &schedule{rate: func(time.Duration) float64 { return rate }, gap: random.ExpFloat64}
}

// Ramp goes from one rate to another within a time, and stays there; rates are requests per second, ≥ 0 and not both 0.
func Ramp(from, to float64, within time.Duration) Pacer {
	return &schedule{rate: func(at time.Duration) float64 {
		if at >= within {
			return to
		}
		return from + (to-from)*at.Seconds()/within.Seconds()
	}}
}

// Sine swings around mean requests per second by ± amplitude (≤ mean) with a period:
//
//	rate(t) = mean + amplitude · sin(2π · t / period)      t, period in s; mean, amplitude in 1/s
func Sine(mean, amplitude float64, period time.Duration) Pacer {
	return &schedule{rate: func(at time.Duration) float64 {
		return mean + amplitude*math.Sin(2*math.Pi*at.Seconds()/period.Seconds())
	}}
}

// At sends requests at the given times from the start, ascending, and then no more.
func At(due []time.Duration) Pacer { return &listed{due: due} }

type listed struct {
	due  []time.Duration
	next int
}

func (l *listed) Next() time.Duration {
	if l.next == len(l.due) {
		return math.MaxInt64
	}
	l.next++
	return l.due[l.next-1]
}

// schedule steps from request to request by gap/rate(now).
type schedule struct {
	rate func(at time.Duration) float64 // requests per second
	gap  func() float64                 // mean 1; nil means always 1
	at   float64                        // s, of the next request
}

// slowest is the rate below which a schedule is stepped in time instead, so that a rate near 0 does not put the next request beyond the
// moment at which the rate has risen again.
const slowest = 10.0

func (s *schedule) Next() time.Duration {
	due := time.Duration(s.at * float64(time.Second))
	left := 1.0
	if s.gap != nil {
		left = s.gap()
	}
	for left > 0 {
		rate := math.Max(s.rate(time.Duration(s.at*float64(time.Second))), 0)
		if rate >= slowest {
			s.at += left / rate
			break
		}
		const step = 0.01 // s
		if left <= rate*step {
			s.at += left / rate
			break
		}
		left -= rate * step
		s.at += step
		if s.at > 1e6 { // a schedule whose rate stays 0 ends
			break
		}
	}
	return due
}
