package plan

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/gateway"
)

// A canary that is taken back is out of the table when Override returns, also while the loop waits for a database that does not answer.
func TestOverrideWaitsForNoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		w := newWorld(t)
		w.configure("wine", entity("stable wine Production 100"))
		b.store.endpoints = w.explicit
		row := gateway.Rollout{
			ID: "r", Endpoint: "wine", Arm: "stable", CanaryArm: "stable~canary", Model: "wine", Stable: 1, Canary: 2,
			Phase: gateway.RolloutRunning, Weight: 2000, Revision: 5,
		}
		var hangs atomic.Bool
		var stored atomic.Pointer[gateway.Rollout]
		stored.Store(&row)
		b.syncer.deps.Rollouts = func(ctx context.Context) ([]gateway.Rollout, error) {
			if hangs.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return []gateway.Rollout{*stored.Load()}, nil
		}
		b.manager.auto = true
		b.stages("Production", "None")
		end := b.run()
		defer end()
		synctest.Wait()
		if got := b.shares(); got != "1@8000 2@2000 " {
			t.Fatalf("before: %s", got)
		}

		hangs.Store(true)
		b.syncer.Poke()
		synctest.Wait() // the loop waits for the database
		before := time.Now()
		back := row
		back.Phase, back.Weight, back.Revision = gateway.RolloutRollingBack, 0, 6
		b.syncer.Override(back)
		if got := b.shares(); got != "1@10000 " || time.Since(before) != 0 {
			t.Errorf("after %v: %s", time.Since(before), got)
		}

		hangs.Store(false) // what is read from now on is older than the decision
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := b.shares(); got != "1@10000 " {
			t.Errorf("after an older row was read: %s", got)
		}
		anew := row // somebody decided anew
		anew.Revision, anew.Weight = 7, 5000
		stored.Store(&anew)
		b.syncer.Poke()
		synctest.Wait()
		if got := b.shares(); got != "1@5000 2@5000 " {
			t.Errorf("after a newer row was read: %s", got)
		}
	})
}

// shares writes the arms of the last table as "version@basispoints".
func (b *bench) shares() (out string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.tables[len(b.tables)-1].Endpoint("wine").Arms {
		out += fmt.Sprintf("%d@%d ", a.Servable.Version, a.Weight)
	}
	return out
}
