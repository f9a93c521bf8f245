// Package breaker keeps requests away from a model version that keeps failing, for a while, and then tries again with a few.
//
// It owns one circuit breaker (github.com/sony/gobreaker) per (endpoint, version), the rule when it opens, and the Group that keeps
// breakers for the arms of the published table and forgets the others. It is called by invoke around every execution; it must not know
// HTTP, routes, or how a prediction is made. Everything is safe for concurrent use.
//
//	closed ──(failures reach the threshold)──► open ──(OpenFor passes)──► half-open
//	   ▲                                         ▲                           │
//	   └──(HalfOpenRequests successes)───────────┼───────────────────────────┤
//	                                             └────────(one failure)──────┘
//
// A failure is the model's: an error of the backend, or a deadline that passed during execution. What the caller did wrong is a success (the
// model answered), and what never reached the model (queue full, not loaded, the caller's time ran out while queued) is not counted at all.
package breaker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"sluice/runtime/batch"
	"sluice/runtime/servable"
)

// ErrOpen is returned instead of calling a version whose breaker is open, or half-open with its trial requests under way.
var ErrOpen = errors.New("circuit breaker is open")

// State of a breaker.
type State uint8

const (
	Closed   State = iota // requests pass
	HalfOpen              // a few requests pass, as a trial
	Open                  // no request passes
)

func (s State) String() string {
	switch s {
	case HalfOpen:
		return "half-open"
	case Open:
		return "open"
	default:
		return "closed"
	}
}

// Verdict is what an execution's error says about the model.
type Verdict uint8

const (
	Success Verdict = iota // the model works, whether or not the caller got what he wanted
	Failure                // the model is at fault
	Ignored                // the model was not asked
)

// Key names a breaker.
type Key struct {
	Endpoint string
	Servable servable.ID
}

// Options of a Group. Nil and the zero value work.
type Options struct {
	// ConsecutiveFailures opens the breaker; default 10.
	ConsecutiveFailures uint32
	// FailureRatio opens the breaker when at least MinRequests of Window were seen and this share of them failed; default 0.5. Above 1: never.
	FailureRatio float64
	// MinRequests is the least number of requests in Window that FailureRatio is judged on; default 20.
	MinRequests uint32
	// Window is the sliding time over which failures count, in steps of a tenth; default 10 s.
	Window time.Duration
	// OpenFor is how long an open breaker stays open; default 5 s.
	OpenFor time.Duration
	// HalfOpenRequests is how many trial requests run at once when half-open, and how many must succeed in a row; default 3.
	HalfOpenRequests uint32
	// Judge says what an execution's error means; default Judge of this package. err is not nil.
	Judge func(err error) Verdict
	// OnChange is told of every change of state, under the breaker's lock: it must be quick and must not ask the breaker. May be nil.
	OnChange func(key Key, from, to State)
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	setDefault(&out.ConsecutiveFailures, 10)
	setDefault(&out.FailureRatio, 0.5)
	setDefault(&out.MinRequests, 20)
	setDefault(&out.Window, 10*time.Second)
	setDefault(&out.OpenFor, 5*time.Second)
	setDefault(&out.HalfOpenRequests, 3)
	if out.Judge == nil {
		out.Judge = Judge
	}
	return out
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Judge is the rule of the package comment over the sentinels of runtime. A deadline counts as a failure; a caller that knows that it passed
// before execution began, or before the model had a fair time, returns ErrNotExecuted or ErrCutShort (wrapped) to the breaker.
func Judge(err error) Verdict {
	switch {
	case err == nil, errors.Is(err, servable.ErrBadInput):
		return Success
	case errors.Is(err, ErrNotExecuted), errors.Is(err, ErrCutShort), errors.Is(err, batch.ErrQueueFull), errors.Is(err, batch.ErrClosed),
		errors.Is(err, servable.ErrNotAvailable), errors.Is(err, context.Canceled):
		return Ignored
	default:
		return Failure
	}
}

// ErrNotExecuted marks, in an error chain, that the model was never asked.
var ErrNotExecuted = errors.New("not executed")

// ErrCutShort marks, in an error chain, that the caller's impatience ended the execution, not the model's slowness.
var ErrCutShort = errors.New("cut short")

// Breaker guards one version behind one endpoint.
//
// A closed breaker that only sees successes takes no lock: they are counted in a window of our own, and gobreaker, which has one lock and
// reads the clock twice per execution, is told of the failures alone. What it decides by (ReadyToTrip) is the same sum either way.
type Breaker struct {
	key    Key
	judge  func(error) Verdict
	cb     *gobreaker.CircuitBreaker[struct{}]
	closed atomic.Bool
	streak atomic.Uint32 // failures since the last success, while closed
	passed successes     // of the window, while closed
}

func newBreaker(key Key, o *Options) *Breaker {
	b := &Breaker{key: key, judge: o.Judge}
	b.closed.Store(true)
	b.passed.period = max(o.Window/windowSteps, 1)
	st := gobreaker.Settings{
		Name:         key.Endpoint,
		MaxRequests:  o.HalfOpenRequests,
		Interval:     o.Window,
		BucketPeriod: o.Window / windowSteps,
		Timeout:      o.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			if b.streak.Load() >= o.ConsecutiveFailures {
				return true
			}
			judged := b.passed.sum(time.Now()) + c.TotalFailures
			return judged >= o.MinRequests && float64(c.TotalFailures) >= o.FailureRatio*float64(judged)
		},
		IsSuccessful: func(err error) bool { return err == nil || o.Judge(err) == Success },
		IsExcluded:   func(err error) bool { return err != nil && o.Judge(err) == Ignored },
	}
	st.OnStateChange = func(_ string, from, to gobreaker.State) {
		if to == gobreaker.StateClosed {
			b.streak.Store(0)
			b.passed.clear()
		}
		b.closed.Store(to == gobreaker.StateClosed)
		if o.OnChange != nil {
			o.OnChange(key, stateOf(from), stateOf(to))
		}
	}
	b.cb = gobreaker.NewCircuitBreaker[struct{}](st)
	return b
}

// errPanicked is what a panicking execution is counted as.
var errPanicked = errors.New("panicked")

// Do calls call and counts its error, or returns ErrOpen without calling it. now is the time at which the request came, which need not be exact. The odd
// type of call is gobreaker's: a caller that keeps the function value spares an allocation per request. A panic in call counts as a
// failure and goes on.
func (b *Breaker) Do(now time.Time, call func() (struct{}, error)) error {
	if b.closed.Load() {
		return b.watch(now, call)
	}
	_, err := b.cb.Execute(call)
	if err == gobreaker.ErrOpenState || err == gobreaker.ErrTooManyRequests { // returned as they are, by Execute alone
		return ErrOpen
	}
	return err
}

// watch is Do of a closed breaker.
func (b *Breaker) watch(now time.Time, call func() (struct{}, error)) (err error) {
	err = errPanicked // until call returned
	defer func() {
		if err != nil {
			b.settle(now, err)
		}
	}()
	if _, err = call(); err == nil {
		b.succeeded(now)
	}
	return err
}

// settle counts an execution that returned an error.
func (b *Breaker) settle(now time.Time, err error) {
	switch b.judge(err) {
	case Success:
		b.succeeded(now)
	case Failure:
		if !b.closed.Load() {
			return // it opened meanwhile: a late failure is no trial
		}
		b.streak.Add(1)
		b.cb.Execute(func() (struct{}, error) { return struct{}{}, err }) // returns err again, or that it has just opened
	}
}

func (b *Breaker) succeeded(now time.Time) {
	b.passed.add(now)
	if b.streak.Load() != 0 { // a look is cheaper than a write to what all cores share
		b.streak.Store(0)
	}
}

// Key returns what the breaker guards.
func (b *Breaker) Key() Key { return b.key }

// State returns the present state.
func (b *Breaker) State() State { return stateOf(b.cb.State()) }

func stateOf(s gobreaker.State) State {
	switch s {
	case gobreaker.StateOpen:
		return Open
	case gobreaker.StateHalfOpen:
		return HalfOpen
	default:
		return Closed
	}
}
