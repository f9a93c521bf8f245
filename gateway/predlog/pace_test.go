package predlog

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceRestsInProportionAndNotInAHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hurried := false
		p := pace{hurry: func() bool { return hurried }, sleep: time.Sleep}
		seal := func(frames int, each time.Duration) time.Duration {
			began := time.Now()
			for range frames {
				time.Sleep(each) // the work
				p.frame()
			}
			return time.Since(began)
		}
		seal(paceStride, 10*time.Microsecond)
		if took := seal(100*paceStride, 10*time.Microsecond); took != 256*time.Millisecond {
			t.Errorf("64 ms of work took %v, want 4 times as long", took)
		}
		if took := seal(paceStride, 10*time.Millisecond); took != 640*time.Millisecond+maxRest {
			t.Errorf("640 ms of work in one go took %v, want one longest rest", took)
		}
		hurried = true
		if took := seal(100*paceStride, 10*time.Microsecond); took != 64*time.Millisecond {
			t.Errorf("64 ms of work took %v in a hurry", took)
		}
	})
}
