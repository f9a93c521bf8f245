package plan

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/gateway"
	"sluice/gateway/route"
	"sluice/gateway/sqlstore"
	"sluice/runtime/servable"
	"sluice/tracking/sqldb/sqldbtest"
)

// fakeManager loads what is aspired when the test says so, or at once.
type fakeManager struct {
	mu      sync.Mutex
	status  map[servable.ID]servable.Status
	aspired []servable.ID
	auto    bool
	changed func()
}

func (m *fakeManager) Aspire(ids []servable.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.aspired = slices.Clone(ids)
	for id := range m.status {
		if !slices.Contains(ids, id) {
			delete(m.status, id)
		}
	}
	for _, id := range ids {
		if _, ok := m.status[id]; !ok {
			m.status[id] = servable.Status{State: servable.Loading}
			if m.auto {
				m.status[id] = servable.Status{State: servable.Ready}
				go m.changed()
			}
		}
	}
}

func (m *fakeManager) Status(id servable.ID) servable.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status[id]
}

func (m *fakeManager) finish(id servable.ID, s servable.Status) {
	m.mu.Lock()
	m.status[id] = s
	m.mu.Unlock()
	m.changed()
}

func (m *fakeManager) list() []servable.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.aspired)
}

// memoryStore is a Store that can be broken.
type memoryStore struct {
	mu        sync.Mutex
	broken    bool
	endpoints []gateway.Endpoint
	arms      map[armKey]gateway.ArmRecord
	events    []gateway.Event
	writes    int
}

var errBroken = errors.New("disk on fire")

func (m *memoryStore) do(f func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return errBroken
	}
	f()
	return nil
}

func (m *memoryStore) Endpoints(context.Context) (out []gateway.Endpoint, err error) {
	err = m.do(func() { out = slices.Clone(m.endpoints) })
	return out, err
}

func (m *memoryStore) Arms(context.Context) (out []gateway.ArmRecord, err error) {
	err = m.do(func() {
		for _, r := range m.arms {
			out = append(out, r)
		}
	})
	return out, err
}

func (m *memoryStore) PutArms(_ context.Context, records []gateway.ArmRecord) error {
	return m.do(func() {
		for _, r := range records {
			m.arms[armKey{r.Endpoint, r.Arm}] = r
			m.writes++
		}
	})
}

func (m *memoryStore) DeleteArms(_ context.Context, endpoint string) error {
	return m.do(func() {
		for k := range m.arms {
			if k.endpoint == endpoint {
				delete(m.arms, k)
			}
		}
	})
}

func (m *memoryStore) AddEvents(_ context.Context, events []gateway.Event) error {
	return m.do(func() { m.events = append(m.events, events...) })
}

func (m *memoryStore) setBroken(b bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = b
}

// bench is a Syncer with everything around it.
type bench struct {
	t       *testing.T
	store   *memoryStore
	manager *fakeManager
	syncer  *Syncer
	log     bytes.Buffer

	mu     sync.Mutex
	reg    *gateway.Registered
	tables []*route.Table
}

func newBench(t *testing.T, opts *Options) *bench {
	b := &bench{
		t: t, reg: &gateway.Registered{},
		store:   &memoryStore{arms: map[armKey]gateway.ArmRecord{}},
		manager: &fakeManager{status: map[servable.ID]servable.Status{}, changed: func() {}},
	}
	if opts == nil {
		opts = &Options{}
	}
	opts.Log = slog.New(slog.NewTextHandler(&b.log, nil))
	b.syncer = NewSyncer(Deps{Store: b.store, Registry: b.registry, Servables: b.manager, Publish: b.publish}, opts)
	b.manager.changed = b.syncer.PokeStatus
	return b
}

func (b *bench) registry(context.Context) (*gateway.Registered, error) {
	if err := b.store.do(func() {}); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reg, nil
}

func (b *bench) publish(t *route.Table) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tables = append(b.tables, t)
}

func (b *bench) stages(stages ...string) {
	w := newWorld(b.t)
	w.stages("wine", stages...)
	b.mu.Lock()
	b.reg = w.reg
	b.mu.Unlock()
	b.syncer.Poke()
}

// run starts the loop; the returned function ends it.
func (b *bench) run() func() {
	done := make(chan error, 1)
	go func() { done <- b.syncer.Run(b.t.Context()) }()
	return func() {
		if err := b.syncer.Close(); err != nil {
			b.t.Error(err)
		}
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	}
}

// serving is the version of the last table's only arm; 0 if none answers.
func (b *bench) serving() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.tables) == 0 {
		return 0
	}
	d, err := b.tables[len(b.tables)-1].Pick("", "", 0)
	if err != nil {
		return 0
	}
	return d.Arm.Servable.Version
}

func wine(v int) servable.ID { return servable.ID{Model: "wine", Version: v} }

var readyNow = servable.Status{State: servable.Ready}

func TestSyncerSwapsThenLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		if ok, why := b.syncer.Ready(); ok || len(why) != 1 {
			t.Errorf("ready %v %v before the first turn", ok, why)
		}
		b.stages("Production")
		defer b.run()()
		synctest.Wait()
		if ok, why := b.syncer.Ready(); ok || !strings.Contains(why[0], "version 1 is being loaded") {
			t.Errorf("ready %v %v while loading", ok, why)
		}
		b.manager.finish(wine(1), readyNow)
		synctest.Wait()
		if ok, why := b.syncer.Ready(); !ok || len(why) != 0 || b.serving() != 1 {
			t.Fatalf("ready %v %v, serves %d", ok, why, b.serving())
		}

		b.stages("Archived", "Production")
		synctest.Wait()
		if !slices.Equal(b.manager.list(), []servable.ID{wine(1), wine(2)}) || b.serving() != 1 {
			t.Errorf("aspires %v and serves %d while loading", b.manager.list(), b.serving())
		}
		b.manager.finish(wine(2), readyNow)
		synctest.Wait()
		if !slices.Equal(b.manager.list(), []servable.ID{wine(1), wine(2)}) || b.serving() != 2 {
			t.Errorf("aspires %v and serves %d just after the swap", b.manager.list(), b.serving())
		}
		if b.syncer.RoutedVersion("wine", 1) || !b.syncer.RoutedVersion("wine", 2) {
			t.Error("the old version still counts as routed")
		}
		time.Sleep(2100 * time.Millisecond) // synthetic time: past Linger
		synctest.Wait()
		if !slices.Equal(b.manager.list(), []servable.ID{wine(2)}) {
			t.Errorf("aspires %v after the linger", b.manager.list())
		}
		if st, ok := b.syncer.State("wine"); !ok || st.Arms[0].Serving != 2 {
			t.Errorf("state %+v", st)
		}
	})
}

// What is loaded of a version that was deleted answers for no other one of its number, however soon that comes.
func TestSyncerRenewsVersions(t *testing.T) {
	register := func(b *bench, versions ...gateway.Version) {
		b.mu.Lock()
		b.reg = &gateway.Registered{Models: map[string]gateway.Model{"wine": {Versions: versions}}}
		b.mu.Unlock()
		b.syncer.Poke()
	}
	for name, between := range map[string]func(b *bench){
		"seen without it": func(b *bench) { register(b); synctest.Wait() },
		"never seen":      func(*bench) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, nil)
				register(b, gateway.Version{Number: 1, Stage: "Production", CreatedMS: 5}, gateway.Version{Number: 2, Stage: "None", CreatedMS: 6})
				defer b.run()()
				synctest.Wait()
				b.manager.finish(wine(1), readyNow)
				synctest.Wait()
				between(b)
				register(b, gateway.Version{Number: 1, Stage: "Production", CreatedMS: 7})
				synctest.Wait()
				if status := b.manager.Status(wine(1)); b.serving() != 0 || status.State != servable.Loading {
					t.Fatalf("version %d answers, the new one is %v", b.serving(), status.State)
				}
				b.manager.finish(wine(1), readyNow)
				synctest.Wait()
				if b.serving() != 1 {
					t.Error("the new version does not answer")
				}
			})
		})
	}
}

func TestSyncerReadinessIsNotLostToLaterEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		synctest.Wait()
		if ok, _ := b.syncer.Ready(); !ok {
			t.Error("an empty server is not ready")
		}
		b.stages("Production")
		synctest.Wait()
		b.manager.finish(wine(1), servable.Status{State: servable.Failed, Reason: "broken"})
		synctest.Wait()
		if ok, why := b.syncer.Ready(); !ok || len(why) != 1 || !strings.Contains(why[0], "version 1 could not be loaded") {
			t.Errorf("ready %v %v, want ready with a reason", ok, why)
		}
	})
}

func TestSyncerWithoutDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.stages("Production")
		end := b.run()
		synctest.Wait()
		b.manager.finish(wine(1), readyNow)
		synctest.Wait()
		b.stages("Archived", "Production")
		synctest.Wait()

		b.store.setBroken(true)
		b.syncer.Poke()
		synctest.Wait()
		if b.serving() != 1 {
			t.Errorf("serves %d without a database, want the last good table", b.serving())
		}
		b.manager.finish(wine(2), readyNow)
		synctest.Wait()
		if b.serving() != 2 {
			t.Errorf("serves %d, want a version that became ready to take over without a database", b.serving())
		}
		time.Sleep(time.Minute)
		if n := strings.Count(b.log.String(), "desired state cannot be read"); n != 1 {
			t.Errorf("the failure was logged %d times, want once", n)
		}

		b.store.setBroken(false)
		time.Sleep(maxBackoff + time.Second)
		synctest.Wait()
		if r := b.store.arms[armKey{"wine", "wine-Production"}]; r.Version != 2 {
			t.Errorf("record %+v, want what was served meanwhile", r)
		}
		b.stages("Production", "Archived")
		synctest.Wait()
		b.manager.finish(wine(1), readyNow)
		synctest.Wait()
		if b.serving() != 1 {
			t.Errorf("serves %d after the database came back", b.serving())
		}
		end()
	})
}

func TestSyncerSeesWhatOthersWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.manager.auto = true
		defer b.run()()
		synctest.Wait()
		b.mu.Lock()
		b.reg = &gateway.Registered{Models: map[string]gateway.Model{"wine": {Versions: []gateway.Version{{Number: 4, Stage: "Production"}}}}}
		b.mu.Unlock()
		time.Sleep(5100 * time.Millisecond) // synthetic time: past Resync, without a poke
		synctest.Wait()
		if b.serving() != 4 {
			t.Errorf("serves %d, want what another process promoted", b.serving())
		}
	})
}

func TestSyncerRunsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		end := b.run()
		synctest.Wait()
		if err := b.syncer.Run(t.Context()); err == nil {
			t.Error("a second Run was accepted")
		}
		end()
		if err := b.syncer.Close(); err != nil {
			t.Error(err)
		}
		b.syncer.Poke()
		b.syncer.Poke()
	})
	if err := newBench(t, nil).syncer.Close(); err != nil {
		t.Error(err)
	}
}

// TestSyncerOnSQLite restarts over a real database: what an arm served last survives, and a change reaches the table at once.
func TestSyncerOnSQLite(t *testing.T) {
	store, err := sqlstore.New(t.Context(), sqldbtest.OpenFile(t, filepath.Join(t.TempDir(), "s.db"), nil))
	if err != nil {
		t.Fatal(err)
	}
	start := func(b *bench) func() {
		b.syncer = NewSyncer(Deps{Store: store, Registry: b.registry, Servables: b.manager, Publish: b.publish}, nil)
		b.manager.changed = b.syncer.PokeStatus
		b.manager.auto = true
		return b.run()
	}
	b := newBench(t, nil)
	end := start(b)
	b.stages("Production")
	until(t, func() bool { return b.serving() == 1 })
	changed := time.Now()
	b.stages("Archived", "Production")
	until(t, func() bool { return b.serving() == 2 })
	t.Logf("stage change to swapped table, without loading: %v", time.Since(changed))
	b.stages("Archived", "None")
	until(t, func() bool { s, _ := b.syncer.State("wine"); return len(s.Arms) == 1 && s.Arms[0].Stale })
	end()

	again := newBench(t, nil)
	again.stages("Archived", "None")
	end = start(again)
	until(t, func() bool { return again.serving() == 2 })
	end()
	events, err := store.Events(t.Context(), "wine", 100)
	if err != nil || !slices.ContainsFunc(events, func(e gateway.Event) bool { return e.Kind == gateway.EventStale && e.TimeMS > 0 }) {
		t.Errorf("events %+v (%v), want the stale arm among them", events, err)
	}
}

// until polls for at most ten seconds.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in time")
		}
		time.Sleep(time.Millisecond)
	}
}
