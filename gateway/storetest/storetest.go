// Package storetest is the suite that every gateway.Store passes.
//
// It owns one subtest per promise of the contract. It is called by the tests of drivers only; it must not know any driver.
package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// Run checks every promise of gateway.Store. New returns an empty store that lives as long as the test.
func Run(t *testing.T, New func(t *testing.T) gateway.Store) {
	for name, f := range map[string]func(*testing.T, gateway.Store){
		"create and read":                createAndRead,
		"create twice":                   createTwice,
		"unknown endpoint":               unknownEndpoint,
		"update config":                  updateConfig,
		"compare and set":                compareAndSet,
		"one of many writers wins":       oneWinner,
		"tags":                           tags,
		"too many tags":                  tooManyTags,
		"delete takes arms and tags":     deleteAll,
		"arms are replaced":              arms,
		"events newest first":            events,
		"events are bounded and clipped": eventBounds,
	} {
		t.Run(name, func(t *testing.T) { f(t, New(t)) })
	}
}

// Config is a valid configuration with every field in use.
func Config() gateway.Config {
	return gateway.Config{ServedEntities: []gateway.ServedEntity{
		{Name: "a", Model: "wine", Target: gateway.Selector{Stage: "Production"}, Weight: 8999, WorkloadSize: "Small", ScaleToZero: true, Backend: "python", Batching: "never"},
		{Name: "b", Model: "wine", Target: gateway.Selector{Alias: "challenger"}, Weight: 1001},
		{Name: "c", Model: "bread & wine", Target: gateway.Selector{Version: 7}},
	}, Sticky: gateway.Sticky{Source: gateway.FromField, Name: "/params/user", Salt: "2026"}, Rules: []gateway.Rule{
		{Name: "testers", When: []gateway.Condition{{Source: gateway.FromHeader, Name: "X-Group", Values: []string{"beta", "ümläut"}}, {Source: gateway.FromQuery, Name: "t", Values: []string{"1"}}}, Arm: "b"},
		{Name: "pin", When: []gateway.Condition{{Source: gateway.FromCookie, Name: "pin", Values: []string{"2"}}}, Model: "wine", Version: 2, Permission: "manage"},
	}, Fallbacks: []gateway.Fallback{
		{From: "b", On: []gateway.Cause{gateway.CauseTimeout, gateway.CauseError}, Arm: "a", Timeout: 250 * time.Millisecond},
		{From: "a", On: []gateway.Cause{gateway.CauseBreaker}, Previous: true}, {On: gateway.Causes, Answer: `{"predictions":[0]}`},
	}, Shadows: []gateway.Shadow{{Arm: "c", Share: 1234}, {Arm: "b", Share: gateway.FullWeight}}, RateLimits: []gateway.RateLimit{{Calls: 600}, {Calls: 60, ByUser: true}},
		SamplingFraction: 0.1,
		Redaction:        []gateway.RedactedColumn{{Column: "ssn", Action: gateway.RedactDrop}, {Column: "städt", Action: gateway.RedactTruncate, Length: 3}},
		GroundTruth:      gateway.GroundTruth{Key: "order", Output: "é", Task: gateway.TaskRegression, Tolerance: 0.25, Lookback: time.Hour},
		Cache:            gateway.Cache{TTL: 1500 * time.Millisecond, Store: gateway.CacheRedis, MaxEntry: 4096},
		Drift:            gateway.Drift{Off: true, Window: time.Hour, MinRows: 60, BaselineRows: 600, MaxPSI: 0.25, MaxKS: 0.125}}
}

func sample(name string) gateway.Endpoint {
	return gateway.Endpoint{
		Name: name, Description: "grapes – 'quoted'", Tags: []gateway.Tag{{Key: "team", Value: "cellar"}},
		Config: Config(), ConfigVersion: 1, CreatedMS: 10, UpdatedMS: 11, Creator: "ann",
	}
}

func mustCreate(t *testing.T, s gateway.Store, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := s.CreateEndpoint(t.Context(), sample(n)); err != nil {
			t.Fatal(err)
		}
	}
}

func wantCode(t *testing.T, err error, want mlflow.Code) {
	t.Helper()
	if got := mlflow.CodeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

func same(a, b gateway.Endpoint) bool { return fmt.Sprintf("%+v", a) == fmt.Sprintf("%+v", b) }

func createAndRead(t *testing.T, s gateway.Store) {
	mustCreate(t, s, "wine", "beer")
	got, err := s.Endpoint(t.Context(), "wine")
	if err != nil || !same(got, sample("wine")) {
		t.Errorf("got %+v (%v), want %+v", got, err, sample("wine"))
	}
	all, err := s.Endpoints(t.Context())
	if err != nil || len(all) != 2 || !same(all[0], sample("beer")) || !same(all[1], sample("wine")) {
		t.Errorf("got %+v (%v), want beer, wine", all, err)
	}
}

func createTwice(t *testing.T, s gateway.Store) {
	mustCreate(t, s, "wine")
	wantCode(t, s.CreateEndpoint(t.Context(), sample("wine")), mlflow.ResourceAlreadyExists)
}

func unknownEndpoint(t *testing.T, s gateway.Store) {
	_, err := s.Endpoint(t.Context(), "wine")
	wantCode(t, err, mlflow.ResourceDoesNotExist)
	_, err = s.UpdateConfig(t.Context(), "wine", Config(), 0, 1)
	wantCode(t, err, mlflow.ResourceDoesNotExist)
	_, err = s.UpdateTags(t.Context(), "wine", nil, nil, 1)
	wantCode(t, err, mlflow.ResourceDoesNotExist)
	wantCode(t, s.DeleteEndpoint(t.Context(), "wine"), mlflow.ResourceDoesNotExist)
}

func updateConfig(t *testing.T, s gateway.Store) {
	mustCreate(t, s, "wine")
	must(t, s.PutArms(t.Context(), []gateway.ArmRecord{record("wine", "a", 1), record("wine", "b", 1), record("beer", "b", 1)}))
	c := gateway.Config{ServedEntities: Config().ServedEntities[:1]}
	got, err := s.UpdateConfig(t.Context(), "wine", c, 0, 99)
	want := sample("wine")
	want.Config, want.ConfigVersion, want.UpdatedMS = c, 2, 99
	if err != nil || !same(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	if got, err = s.Endpoint(t.Context(), "wine"); err != nil || !same(got, want) {
		t.Errorf("read %+v (%v), want %+v", got, err, want)
	}
	left, err := s.Arms(t.Context())
	if want := []gateway.ArmRecord{record("beer", "b", 1), record("wine", "a", 1)}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left arms %+v (%v), want %+v", left, err, want)
	}
}

func compareAndSet(t *testing.T, s gateway.Store) {
	mustCreate(t, s, "wine")
	if _, err := s.UpdateConfig(t.Context(), "wine", Config(), 1, 2); err != nil {
		t.Fatal(err)
	}
	_, err := s.UpdateConfig(t.Context(), "wine", Config(), 1, 3)
	wantCode(t, err, mlflow.ResourceConflict)
	if err == nil || !strings.Contains(err.Error(), "config_version is 2") {
		t.Errorf("got %v, want the current version named", err)
	}
}

func oneWinner(t *testing.T, s gateway.Store) {
	mustCreate(t, s, "wine")
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.UpdateConfig(t.Context(), "wine", Config(), 1, 2) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantCode(t, err, mlflow.ResourceConflict)
		}
	}
	if won != 1 {
		t.Errorf("%d writers won, want 1", won)
	}
}

func tags(t *testing.T, s gateway.Store) {
	mustCreate(t, s, "wine")
	got, err := s.UpdateTags(t.Context(), "wine", []gateway.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}, {Key: "team", Value: "new"}}, []string{"b", "absent"}, 5)
	want := []gateway.Tag{{Key: "a", Value: "1"}, {Key: "team", Value: "new"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
	e, err := s.Endpoint(t.Context(), "wine")
	if err != nil || !slices.Equal(e.Tags, want) || e.UpdatedMS != 5 {
		t.Errorf("read %v, updated %d (%v)", e.Tags, e.UpdatedMS, err)
	}
}

func tooManyTags(t *testing.T, s gateway.Store) {
	mustCreate(t, s, "wine")
	many := make([]gateway.Tag, gateway.MaxTags)
	for i := range many {
		many[i].Key = fmt.Sprint(i)
	}
	_, err := s.UpdateTags(t.Context(), "wine", many, nil, 5)
	wantCode(t, err, mlflow.InvalidParameterValue)
	if e, _ := s.Endpoint(t.Context(), "wine"); len(e.Tags) != 1 {
		t.Errorf("a refused update left %d tags, want 1", len(e.Tags))
	}
}

func deleteAll(t *testing.T, s gateway.Store) {
	mustCreate(t, s, "wine", "beer")
	must(t, s.PutArms(t.Context(), []gateway.ArmRecord{record("wine", "a", 1), record("beer", "a", 1)}))
	must(t, s.DeleteEndpoint(t.Context(), "wine"))
	got, err := s.Arms(t.Context())
	if err != nil || len(got) != 1 || got[0].Endpoint != "beer" {
		t.Errorf("left arms %+v (%v), want beer's", got, err)
	}
	e := sample("wine")
	e.Tags = nil
	must(t, s.CreateEndpoint(t.Context(), e))
	if e, _ := s.Endpoint(t.Context(), "wine"); len(e.Tags) != 0 {
		t.Errorf("a new endpoint inherited tags %v", e.Tags)
	}
}

func record(endpoint, arm string, version int) gateway.ArmRecord {
	return gateway.ArmRecord{Endpoint: endpoint, Arm: arm, Model: "wine", Target: gateway.Selector{Stage: "Production"}, Version: version, UpdatedMS: 1}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func arms(t *testing.T, s gateway.Store) {
	alias := record("wine", "b", 2)
	alias.Target = gateway.Selector{Alias: "x"}
	must(t, s.PutArms(t.Context(), []gateway.ArmRecord{record("wine", "a", 1), alias, record("beer", "z", 9)}))
	must(t, s.PutArms(t.Context(), []gateway.ArmRecord{record("wine", "a", 3)}))
	must(t, s.PutArms(t.Context(), nil))
	got, err := s.Arms(t.Context())
	if want := []gateway.ArmRecord{record("beer", "z", 9), record("wine", "a", 3), alias}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	must(t, s.DeleteArms(t.Context(), "wine"))
	must(t, s.DeleteArms(t.Context(), "wine"))
	if got, err = s.Arms(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("left %+v (%v), want beer's", got, err)
	}
}

func events(t *testing.T, s gateway.Store) {
	first := gateway.Event{Endpoint: "wine", Kind: gateway.EventStale, Arm: "a", Version: 3, Reason: "why", TimeMS: 5}
	second := gateway.Event{Endpoint: "wine", Kind: gateway.EventReady, TimeMS: 5}
	must(t, s.AddEvents(t.Context(), []gateway.Event{first, second, {Endpoint: "beer", Kind: gateway.EventCreated}}))
	got, err := s.Events(t.Context(), "wine", 10)
	if want := []gateway.Event{second, first}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	if got, err = s.Events(t.Context(), "wine", 1); err != nil || len(got) != 1 || got[0] != second {
		t.Errorf("got %+v (%v), want the newest", got, err)
	}
	if got, err = s.Events(t.Context(), "nobody", 1); err != nil || len(got) != 0 {
		t.Errorf("got %+v (%v), want none", got, err)
	}
}

func eventBounds(t *testing.T, s gateway.Store) {
	batch := make([]gateway.Event, gateway.MaxEvents+5)
	for i := range batch {
		batch[i] = gateway.Event{Endpoint: "wine", Kind: gateway.EventServing, Version: i, Reason: strings.Repeat("ä", gateway.MaxEventReasonLength)}
	}
	must(t, s.AddEvents(t.Context(), batch))
	got, err := s.Events(t.Context(), "wine", 2*gateway.MaxEvents)
	if err != nil || len(got) != gateway.MaxEvents || got[0].Version != len(batch)-1 || got[len(got)-1].Version != 5 {
		t.Fatalf("got %d events (%v), want the newest %d", len(got), err, gateway.MaxEvents)
	}
	if n := len(got[0].Reason); n > gateway.MaxEventReasonLength {
		t.Errorf("a reason kept %d bytes", n)
	}
}
