// Package storetest is the suite that every registry.Store passes.
//
// It owns the promises of registry.Store as tests and benchmarks. It is called by the tests of drivers only, and must not know
// any of them.
//
// To add a driver: implement registry.Store in a package named after the product, call Run and RunBenchmarks from its test with
// a function that opens an empty store, and add its scheme where cmd chooses the store. A new promise starts as a case here.
package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"sluice/registry"
	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
)

// Run tests the promises of registry.Store, one subtest each. New returns an empty Store that lives until the test ends.
func Run(t *testing.T, New func(t testing.TB) registry.Store) {
	for _, c := range []struct {
		name string
		test func(s *suite)
	}{
		{"models", testModels}, {"rename", testRename}, {"delete model", testDeleteModel}, {"model tags", testModelTags},
		{"versions", testVersions}, {"stages", testStages}, {"stages and aliases from", testPreconditions}, {"latest versions", testLatest}, {"delete version", testDeleteVersion},
		{"version tags", testVersionTags}, {"aliases", testAliases}, {"unknown things", testUnknown}, {"events", testEvents},
		{"search models", testSearchModels}, {"search versions", testSearchVersions}, {"prompts are hidden", testPrompts},
		{"snapshot", testSnapshot}, {"concurrent writers", testConcurrent}, {"odd text", testOddText},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(&suite{T: t, store: New(t), clock: 1000})
		})
	}
}

type suite struct {
	*testing.T
	store registry.Store
	clock int64
}

// tick returns a new time, later than the ones before.
func (s *suite) tick() int64 {
	s.clock += 10
	return s.clock
}

func (s *suite) model(name string, tags ...registry.Tag) registry.Model {
	s.Helper()
	m, _, err := s.store.CreateModel(s.Context(), registry.ModelSpec{Name: name, Description: "about " + name, Tags: tags}, s.tick())
	s.ok(err)
	return m
}

func (s *suite) version(name string, tags ...registry.Tag) registry.Version {
	s.Helper()
	source := "s3://bucket/" + name
	v, _, err := s.store.CreateVersion(s.Context(), registry.Version{Name: name, Source: source, StorageLocation: source, Tags: tags}, s.tick())
	s.ok(err)
	return v
}

func (s *suite) stage(name string, version int, stage registry.Stage, archive bool) registry.Version {
	s.Helper()
	v, _, err := s.store.SetStage(s.Context(), name, version, stage, archive, s.tick())
	s.ok(err)
	return v
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) code(err error, want mlflow.Code) {
	s.Helper()
	if got := mlflow.CodeOf(err); got != want {
		s.Errorf("error %v, want code %s", err, want)
	}
}

func equal[T any](s *suite, what string, got, want T) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Errorf("%s:\ngot  %+v\nwant %+v", what, got, want)
	}
}

func testModels(s *suite) {
	made := s.model("wine", registry.Tag{Key: "a", Value: "1"}, registry.Tag{Key: "b", Value: ""})
	equal(s, "created", made, registry.Model{Name: "wine", CreatedMS: 1010, UpdatedMS: 1010, Description: "about wine", Tags: []registry.Tag{{Key: "a", Value: "1"}, {Key: "b", Value: ""}}})
	read, err := s.store.Model(s.Context(), "wine")
	s.ok(err)
	equal(s, "read", read, made)
	_, _, err = s.store.CreateModel(s.Context(), registry.ModelSpec{Name: "wine"}, s.tick())
	equal(s, "taken", fmt.Sprint(err), fmt.Sprint(registry.ModelExists("wine", false, false)))
	_, _, err = s.store.CreateModel(s.Context(), registry.ModelSpec{Name: "wine", Tags: []registry.Tag{{Key: registry.PromptTag, Value: "true"}}}, s.tick())
	equal(s, "taken by a model", fmt.Sprint(err), fmt.Sprint(registry.ModelExists("wine", false, true)))
	changed, _, err := s.store.SetModelDescription(s.Context(), "wine", "new", 5000)
	s.ok(err)
	made.Description, made.UpdatedMS = "new", 5000
	equal(s, "described", changed, made)
	s.model("Wine") // letter case counts
}

func testRename(s *suite) {
	s.model("a", registry.Tag{Key: "k", Value: "v"})
	s.model("taken")
	s.version("a", registry.Tag{Key: "vk", Value: "vv"})
	_, err := s.store.SetAlias(s.Context(), "a", "champ", 1, s.tick())
	s.ok(err)
	_, _, err = s.store.RenameModel(s.Context(), "a", "taken", s.tick())
	s.code(err, mlflow.ResourceAlreadyExists)
	m, _, err := s.store.RenameModel(s.Context(), "a", "b", 9000)
	s.ok(err)
	equal(s, "name", m.Name, "b")
	equal(s, "time", m.UpdatedMS, 9000)
	equal(s, "tags", m.Tags, []registry.Tag{{Key: "k", Value: "v"}})
	equal(s, "aliases", m.Aliases, []registry.Alias{{Name: "champ", Version: 1}})
	v, err := s.store.Version(s.Context(), "b", 1)
	s.ok(err)
	equal(s, "version's tags", v.Tags, []registry.Tag{{Key: "vk", Value: "vv"}})
	equal(s, "version's time", v.UpdatedMS, 9000)
	_, err = s.store.Model(s.Context(), "a")
	s.code(err, mlflow.ResourceDoesNotExist)
	_, _, err = s.store.RenameModel(s.Context(), "b", "b", s.tick())
	s.ok(err)
}

func testDeleteModel(s *suite) {
	s.model("a", registry.Tag{Key: "k", Value: "v"})
	s.version("a", registry.Tag{Key: "k", Value: "v"})
	s.version("a")
	_, err := s.store.DeleteVersion(s.Context(), "a", 2, s.tick())
	s.ok(err)
	_, err = s.store.SetAlias(s.Context(), "a", "champ", 1, s.tick())
	s.ok(err)
	_, err = s.store.DeleteModel(s.Context(), "a", s.tick())
	s.ok(err)
	_, err = s.store.DeleteModel(s.Context(), "a", s.tick())
	s.code(err, mlflow.ResourceDoesNotExist)
	m := s.model("a")
	equal(s, "tags of the new one", len(m.Tags)+len(m.Aliases)+len(m.Latest), 0)
	equal(s, "numbers begin again", s.version("a").Version, 1)
}

func testModelTags(s *suite) {
	s.model("a")
	ctx := s.Context()
	for _, value := range []string{"1", "2"} {
		_, err := s.store.SetModelTag(ctx, "a", registry.Tag{Key: "k", Value: value}, s.tick())
		s.ok(err)
	}
	for range 2 {
		m, err := s.store.Model(ctx, "a")
		s.ok(err)
		equal(s, "tags", m.Tags, []registry.Tag{{Key: "k", Value: "2"}})
		events, err := s.store.DeleteModelTag(ctx, "a", "absent", s.tick())
		s.ok(err)
		equal(s, "events", len(events), 0)
	}
	_, err := s.store.DeleteModelTag(ctx, "a", "k", s.tick())
	s.ok(err)
	m, err := s.store.Model(ctx, "a")
	s.ok(err)
	equal(s, "tags", len(m.Tags), 0)
}

func testVersions(s *suite) {
	s.model("a")
	run, link, text := "r1", "http://link", ""
	v, _, err := s.store.CreateVersion(s.Context(), registry.Version{
		Name: "a", Source: "models:/m-1", StorageLocation: "s3://b/m-1", RunID: &run, RunLink: &link, Description: &text,
		Tags: []registry.Tag{{Key: "k", Value: "v"}},
	}, 2000)
	s.ok(err)
	want := registry.Version{
		Name: "a", Version: 1, CreatedMS: 2000, UpdatedMS: 2000, Description: &text, RunID: &run, RunLink: &link, Stage: registry.StageNone,
		Source: "models:/m-1", StorageLocation: "s3://b/m-1", Status: registry.StatusReady, Tags: []registry.Tag{{Key: "k", Value: "v"}},
	}
	equal(s, "created", v, want)
	read, err := s.store.Version(s.Context(), "a", 1)
	s.ok(err)
	equal(s, "read", read, want)
	equal(s, "next", s.version("a").Version, 2)
	m, err := s.store.Model(s.Context(), "a")
	s.ok(err)
	equal(s, "model's time", m.UpdatedMS, s.clock)
	described, _, err := s.store.SetVersionDescription(s.Context(), "a", 1, nil, 3000)
	s.ok(err)
	want.Description, want.UpdatedMS = nil, 3000
	equal(s, "description taken away", described, want)
}

func testStages(s *suite) {
	s.model("a")
	for range 3 {
		s.version("a")
	}
	s.stage("a", 1, registry.StageProduction, false)
	s.stage("a", 2, registry.StageProduction, false)
	v := s.stage("a", 3, registry.StageProduction, true)
	equal(s, "moved", v.Stage, registry.StageProduction)
	equal(s, "time", v.UpdatedMS, s.clock)
	for version, want := range map[int]registry.Stage{1: registry.StageArchived, 2: registry.StageArchived, 3: registry.StageProduction} {
		v, err := s.store.Version(s.Context(), "a", version)
		s.ok(err)
		equal(s, fmt.Sprintf("stage of %d", version), v.Stage, want)
		equal(s, fmt.Sprintf("time of %d", version), v.UpdatedMS, s.clock)
	}
	m, err := s.store.Model(s.Context(), "a")
	s.ok(err)
	equal(s, "model's time", m.UpdatedMS, s.clock)
	_, _, err = s.store.SetStage(s.Context(), "a", 9, registry.StageProduction, true, s.tick())
	s.code(err, mlflow.ResourceDoesNotExist)
	v, err = s.store.Version(s.Context(), "a", 3)
	s.ok(err)
	equal(s, "a refused transition archives nothing", v.Stage, registry.StageProduction)
}

func testLatest(s *suite) {
	s.model("a")
	for range 5 {
		s.version("a")
	}
	s.stage("a", 1, registry.StageProduction, false)
	s.stage("a", 3, registry.StageProduction, false)
	s.stage("a", 4, registry.StageStaging, false)
	_, err := s.store.SetAlias(s.Context(), "a", "champ", 3, s.tick())
	s.ok(err)
	_, err = s.store.DeleteVersion(s.Context(), "a", 5, s.tick())
	s.ok(err)
	latest, err := s.store.LatestVersions(s.Context(), "a")
	s.ok(err)
	equal(s, "latest", numbers(latest), []int{3, 2, 4}) // Production has the lowest version, then None, then Staging
	equal(s, "aliases", latest[0].Aliases, []string{"champ"})
	m, err := s.store.Model(s.Context(), "a")
	s.ok(err)
	equal(s, "latest of the model", numbers(m.Latest), []int{3, 2, 4})
	equal(s, "aliases are not filled there", len(m.Latest[0].Aliases), 0)
}

func testDeleteVersion(s *suite) {
	s.model("a")
	s.version("a", registry.Tag{Key: "k", Value: "v"})
	s.version("a")
	for _, alias := range []string{"x", "y"} {
		_, err := s.store.SetAlias(s.Context(), "a", alias, 1, s.tick())
		s.ok(err)
	}
	_, err := s.store.DeleteVersion(s.Context(), "a", 1, s.tick())
	s.ok(err)
	_, err = s.store.DeleteVersion(s.Context(), "a", 1, s.tick())
	s.code(err, mlflow.ResourceDoesNotExist)
	_, err = s.store.VersionByAlias(s.Context(), "a", "x")
	s.code(err, mlflow.InvalidParameterValue)
	m, err := s.store.Model(s.Context(), "a")
	s.ok(err)
	equal(s, "aliases", len(m.Aliases), 0)
	equal(s, "latest", numbers(m.Latest), []int{2})
	found, err := s.store.SearchVersions(s.Context(), registry.Search{Limit: 10})
	s.ok(err)
	equal(s, "found", numbers(found.Rows), []int{2})
	_, err = s.store.DeleteVersion(s.Context(), "a", 2, s.tick())
	s.ok(err)
	equal(s, "numbers stay taken", s.version("a").Version, 3)
}

func testVersionTags(s *suite) {
	s.model("a")
	s.version("a")
	s.version("a")
	ctx := s.Context()
	for _, value := range []string{"1", "2"} {
		_, err := s.store.SetVersionTag(ctx, "a", 1, registry.Tag{Key: "k", Value: value}, s.tick())
		s.ok(err)
	}
	v, err := s.store.Version(ctx, "a", 1)
	s.ok(err)
	equal(s, "tags", v.Tags, []registry.Tag{{Key: "k", Value: "2"}})
	other, err := s.store.Version(ctx, "a", 2)
	s.ok(err)
	equal(s, "tags of the other", len(other.Tags), 0)
	for range 2 {
		_, err = s.store.DeleteVersionTag(ctx, "a", 1, "k", s.tick())
		s.ok(err)
	}
	v, err = s.store.Version(ctx, "a", 1)
	s.ok(err)
	equal(s, "tags", len(v.Tags), 0)
}

func testAliases(s *suite) {
	s.model("a")
	s.version("a")
	s.version("a")
	ctx := s.Context()
	for _, version := range []int{1, 2} {
		_, err := s.store.SetAlias(ctx, "a", "champ", version, s.tick())
		s.ok(err)
		v, err := s.store.VersionByAlias(ctx, "a", "champ")
		s.ok(err)
		equal(s, "version", v.Version, version)
		equal(s, "aliases", v.Aliases, []string{"champ"})
	}
	first, err := s.store.Version(ctx, "a", 1)
	s.ok(err)
	equal(s, "the alias has moved", len(first.Aliases), 0)
	_, err = s.store.SetAlias(ctx, "a", "x", 9, s.tick())
	s.code(err, mlflow.ResourceDoesNotExist)
	for range 2 {
		_, err = s.store.DeleteAlias(ctx, "a", "champ", s.tick())
		s.ok(err)
	}
	_, err = s.store.VersionByAlias(ctx, "a", "champ")
	equal(s, "gone", fmt.Sprint(err), fmt.Sprint(registry.UnknownAlias("champ")))
}

func testUnknown(s *suite) {
	ctx, st := s.Context(), s.store
	second := func(_ any, err error) error { return err }
	third := func(_, _ any, err error) error { return err }
	s.model("a")
	for name, err := range map[string]error{
		"Model":                     second(st.Model(ctx, "x")),
		"SetModelDescription":       third(st.SetModelDescription(ctx, "x", "", 1)),
		"RenameModel":               third(st.RenameModel(ctx, "x", "y", 1)),
		"DeleteModel":               second(st.DeleteModel(ctx, "x", 1)),
		"SetModelTag":               second(st.SetModelTag(ctx, "x", registry.Tag{Key: "k"}, 1)),
		"DeleteModelTag":            second(st.DeleteModelTag(ctx, "x", "k", 1)),
		"LatestVersions":            second(st.LatestVersions(ctx, "x")),
		"CreateVersion":             third(st.CreateVersion(ctx, registry.Version{Name: "x"}, 1)),
		"DeleteAlias":               second(st.DeleteAlias(ctx, "x", "k", 1)),
		"VersionByAlias":            second(st.VersionByAlias(ctx, "x", "k")),
		"Version of nobody":         second(st.Version(ctx, "x", 1)),
		"Version":                   second(st.Version(ctx, "a", 1)),
		"SetVersionDescription":     third(st.SetVersionDescription(ctx, "a", 1, nil, 1)),
		"SetStage":                  third(st.SetStage(ctx, "a", 1, registry.StageNone, false, 1)),
		"DeleteVersion":             second(st.DeleteVersion(ctx, "a", 1, 1)),
		"SetVersionTag":             second(st.SetVersionTag(ctx, "a", 1, registry.Tag{Key: "k"}, 1)),
		"DeleteVersionTag":          second(st.DeleteVersionTag(ctx, "a", 1, "k", 1)),
		"SetAlias":                  second(st.SetAlias(ctx, "a", "k", 1, 1)),
		"Version with a zero":       second(st.Version(ctx, "a", 0)),
		"Version below zero":        second(st.Version(ctx, "a", -1)),
		"Version that is too large": second(st.Version(ctx, "a", 1<<31-1)),
	} {
		if mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
			s.Errorf("%s: %v", name, err)
		}
	}
	revision, err := st.Revision(ctx)
	s.ok(err)
	equal(s, "refused changes have no event", revision, 1)
}

func testConcurrent(s *suite) {
	s.model("a")
	errs := make(chan error)
	for range 8 {
		go func() {
			var err error
			for range 5 {
				if _, _, e := s.store.CreateVersion(context.WithoutCancel(s.Context()), registry.Version{Name: "a", Source: "s3://b/x"}, 1); e != nil {
					err = e
				}
			}
			errs <- err
		}()
	}
	for range 8 {
		s.ok(<-errs)
	}
	found, err := s.store.SearchVersions(s.Context(), registry.Search{Limit: 100})
	s.ok(err)
	got := numbers(found.Rows)
	slices.Sort(got)
	want := make([]int, 40)
	for i := range want {
		want[i] = i + 1
	}
	equal(s, "numbers", got, want)
	events, err := s.store.Events(s.Context(), 0, 100)
	s.ok(err)
	for i, e := range events {
		equal(s, "revision", e.Revision, int64(i+1))
	}
}

func testOddText(s *suite) {
	for _, name := range []string{"x' OR '1'='1", "日本語 🍷", `"quoted" ;--`, "100%_", "  spaced  "} {
		s.model(name, registry.Tag{Key: name, Value: name})
		v := s.version(name, registry.Tag{Key: name, Value: name})
		equal(s, "version", v.Version, 1)
		m, err := s.store.Model(s.Context(), name)
		s.ok(err)
		equal(s, "tags", m.Tags, []registry.Tag{{Key: name, Value: name}})
		found, err := s.store.SearchModels(s.Context(), registry.Search{
			Filter: filter.Expr{Clauses: []filter.Clause{{Entity: filter.Attribute, Key: "name", Op: filter.Equal, Value: filter.Value{Kind: filter.Text, Text: name}}}}, Limit: 5,
		})
		s.ok(err)
		if len(found.Rows) != 1 || found.Rows[0].Name != name {
			s.Errorf("search for %q found %v", name, found.Rows)
		}
	}
}

func numbers(versions []registry.Version) []int {
	out := make([]int, len(versions))
	for i, v := range versions {
		out[i] = v.Version
	}
	return out
}
