package invoke

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadlineContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(deadline).begin(context.Background(), time.Now().Add(time.Second))
		if d.Err() != nil {
			t.Fatal("ended at once")
		}
		began := time.Now()
		<-d.Done()
		if time.Since(began) != time.Second || !errors.Is(d.Err(), context.DeadlineExceeded) {
			t.Errorf("ended after %v with %v", time.Since(began), d.Err())
		}
		d.stop(context.Canceled)
		if !errors.Is(d.Err(), context.DeadlineExceeded) {
			t.Error("the reason changed")
		}
	})
}

func TestDeadlineIsSeenWithoutATimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(deadline).begin(context.Background(), time.Now().Add(time.Second))
		time.Sleep(2 * time.Second)
		if !errors.Is(d.Err(), context.DeadlineExceeded) {
			t.Errorf("error %v", d.Err())
		}
		select {
		case <-d.Done():
		default:
			t.Error("Err says that it ended, Done does not")
		}
	})
}

func TestDeadlineFollowsItsParent(t *testing.T) {
	type keyType struct{}
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(context.WithValue(context.Background(), keyType{}, "v"))
		d := new(deadline).begin(parent, time.Now().Add(time.Hour))
		if d.Value(keyType{}) != "v" {
			t.Error("the parent's values are lost")
		}
		done := d.Done()
		cancel()
		<-done
		if !errors.Is(d.Err(), context.Canceled) {
			t.Errorf("error %v", d.Err())
		}
		short, cancel := context.WithDeadline(context.Background(), time.Now().Add(time.Second))
		defer cancel()
		if at, _ := new(deadline).begin(short, time.Now().Add(time.Hour)).Deadline(); time.Until(at) != time.Second {
			t.Errorf("deadline in %v, want the parent's 1s", time.Until(at))
		}
	})
}

func TestDeadlineChildrenEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(deadline).begin(context.Background(), time.Now().Add(time.Hour))
		child, cancel := context.WithCancel(d)
		defer cancel()
		d.stop(context.Canceled)
		<-child.Done()
		if child.Err() == nil {
			t.Error("the child goes on after its parent ended")
		}
	})
}

func TestDeadlineBeginsAgainOnlyIfNobodyWaits(t *testing.T) {
	d := new(deadline).begin(context.Background(), time.Now().Add(time.Hour))
	if d.Err() != nil || !d.finish() {
		t.Fatal("a deadline that nobody waits for could not begin again")
	}
	d.begin(context.Background(), time.Now().Add(-time.Hour))
	if !errors.Is(d.Err(), context.DeadlineExceeded) {
		t.Errorf("error %v of a deadline that began after its time", d.Err())
	}
	if d = new(deadline).begin(context.Background(), time.Now().Add(time.Hour)); d.Done() == nil || d.finish() {
		t.Fatal("a deadline that somebody waits for would begin again")
	}
	if <-d.Done(); !errors.Is(d.Err(), context.Canceled) {
		t.Errorf("error %v after the request", d.Err())
	}
}

// A caller who leaves is looked for only while the request waits, and every tenth of a second.
func TestDeadlineEndsWhenTheCallerLeaves(t *testing.T) {
	caller, _ := net.Pipe()
	for name, wait := range map[string]func(d *deadline){
		"asked": func(d *deadline) {
			for d.Err() == nil {
				time.Sleep(time.Millisecond)
			}
		},
		"waiting": func(d *deadline) { <-d.Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, looks := time.Now(), 0
				d := new(deadline).begin(context.Background(), began.Add(time.Minute))
				d.watch(caller, func(who net.Conn) bool {
					looks++
					return who == caller && time.Since(began) > time.Second
				})
				wait(d)
				if took := time.Since(began); took > 1200*time.Millisecond || !errors.Is(d.Err(), context.Canceled) {
					t.Errorf("ended after %v with %v", took, d.Err())
				}
				if looks > 12 {
					t.Errorf("%d looks", looks)
				}
				if d.finish() && name == "waiting" {
					t.Error("a deadline that somebody waited for would begin again")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		d := new(deadline).begin(context.Background(), time.Now().Add(time.Minute))
		d.watch(caller, func(net.Conn) bool { t.Error("a request that is answered at once is looked after"); return true })
		for range 100 {
			if d.Err() != nil {
				t.Fatal(d.Err())
			}
		}
		if !d.finish() {
			t.Fatal("it cannot begin again")
		}
		d.begin(context.Background(), time.Now().Add(time.Second)) // with nobody to look after
		<-d.Done()
		if !errors.Is(d.Err(), context.DeadlineExceeded) {
			t.Errorf("ended with %v", d.Err())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := new(deadline).begin(context.Background(), time.Now().Add(time.Second))
		d.watch(caller, func(net.Conn) bool { return false })
		began := time.Now()
		<-d.Done()
		if took := time.Since(began); took != time.Second || !errors.Is(d.Err(), context.DeadlineExceeded) {
			t.Errorf("ended after %v with %v", took, d.Err())
		}
	})
}
