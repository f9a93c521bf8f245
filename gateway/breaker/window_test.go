package breaker

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Successes of the window weigh against failures, and no others do.
func TestRatioSlides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := one(&Options{ConsecutiveFailures: 1000, FailureRatio: 0.5, MinRequests: 10, Window: 10 * time.Second})
		for range 100 {
			call(b, nil)
		}
		for range 50 {
			call(b, errModel)
		}
		if b.State() != Closed {
			t.Fatalf("state %v at 50 failures of 150, want closed", b.State())
		}
		time.Sleep(11 * time.Second) // all of them are forgotten
		for range 9 {
			call(b, errModel)
		}
		if b.State() != Closed {
			t.Fatalf("state %v at 9 failures of 9 in the window, want closed: too few", b.State())
		}
		call(b, errModel)
		if b.State() != Open {
			t.Errorf("state %v at 10 failures of 10 in the window, want open", b.State())
		}
	})
}

// A failure that began before the breaker opened is no trial afterwards.
func TestLateFailureIsNoTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := one(&Options{ConsecutiveFailures: 2, OpenFor: time.Second, HalfOpenRequests: 2})
		release, done := make(chan struct{}), make(chan error)
		go func() {
			done <- b.Do(time.Now(), func() (struct{}, error) {
				<-release
				return struct{}{}, errModel
			})
		}()
		synctest.Wait()
		call(b, errModel)
		call(b, errModel)
		time.Sleep(2 * time.Second)
		if b.State() != HalfOpen {
			t.Fatalf("state %v, want half-open", b.State())
		}
		close(release)
		<-done
		if b.State() != HalfOpen {
			t.Errorf("state %v after a late failure, want half-open still", b.State())
		}
	})
}

func TestSuccessesOfManyGoroutines(t *testing.T) {
	s := successes{period: time.Second}
	now := time.Unix(1_000_000, 0)
	s.add(now) // the period is entered
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				s.add(now)
			}
		})
	}
	wg.Wait()
	if got := s.sum(now.Add(9 * time.Second)); got != 8001 {
		t.Errorf("sum in the window's last period is %d, want 8001", got)
	}
	if got := s.sum(now.Add(10 * time.Second)); got != 0 {
		t.Errorf("sum after the window is %d, want 0", got)
	}
}
