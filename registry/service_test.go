package registry_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/registry"
	"sluice/registry/sqlstore"
	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
)

func newService(t *testing.T, opts *registry.Options) *registry.Service {
	t.Helper()
	store, err := sqlstore.New(t.Context(), sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}))
	if err != nil {
		t.Fatal(err)
	}
	return registry.New(store, opts)
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantCode(t *testing.T, what string, err error, want mlflow.Code) {
	t.Helper()
	if got := mlflow.CodeOf(err); got != want {
		t.Errorf("%s: error %v, want code %q", what, err, want)
	}
}

// wine makes a registered model with n versions.
func wine(t *testing.T, s *registry.Service, n int) {
	t.Helper()
	must[registry.Model](t)(s.CreateModel(t.Context(), registry.ModelSpec{Name: "wine"}))
	for range n {
		must[registry.Version](t)(s.CreateVersion(t.Context(), registry.VersionSpec{Name: "wine", Source: "s3://bucket/wine"}))
	}
}

func TestSubscribersHearOfCommitsInOrder(t *testing.T) {
	t.Parallel()
	s := newService(t, &registry.Options{Now: func() time.Time { return time.UnixMilli(7) }})
	var first, second []registry.Event
	stop := s.Subscribe(func(e registry.Event) { first = append(first, e) })
	defer s.Subscribe(func(e registry.Event) { second = append(second, e) })()
	wine(t, s, 2)
	stop()
	must[registry.Version](t)(s.SetStage(t.Context(), "wine", 1, "production", false))
	_, err := s.SetStage(t.Context(), "wine", 9, "production", false)
	wantCode(t, "refused change", err, mlflow.ResourceDoesNotExist)

	stored := must[[]registry.Event](t)(s.Events(t.Context(), 0, 0))
	if !slices.Equal(second, stored) {
		t.Errorf("heard  %v\nstored %v", second, stored)
	}
	if !slices.Equal(first, stored[:3]) {
		t.Errorf("the cancelled subscriber heard %v", first)
	}
	if got := must[int64](t)(s.Revision(t.Context())); got != 4 || stored[3].TimeMS != 7 {
		t.Errorf("revision %d, last event %+v", got, stored[3])
	}
	if got := must[[]registry.Event](t)(s.Events(t.Context(), 1, 2)); !slices.Equal(got, stored[1:3]) {
		t.Errorf("a page of events: %v", got)
	}
}

func TestGuardDelete(t *testing.T) {
	t.Parallel()
	var asked []string
	guard := func(_ context.Context, name string, version int) error {
		asked = append(asked, fmt.Sprint(name, version))
		return mlflow.Errorf(mlflow.ResourceConflict, "routed")
	}
	s := newService(t, &registry.Options{GuardDelete: guard})
	wine(t, s, 1)
	wantCode(t, "version", s.DeleteVersion(t.Context(), "wine", 1, false), mlflow.ResourceConflict)
	wantCode(t, "model", s.DeleteModel(t.Context(), "wine", false), mlflow.ResourceConflict)
	if want := []string{"wine1", "wine0"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
	must[registry.Version](t)(s.Version(t.Context(), "wine", 1))
	wantCode(t, "forced version", s.DeleteVersion(t.Context(), "wine", 1, true), "")
	wantCode(t, "forced model", s.DeleteModel(t.Context(), "wine", true), "")
}

func TestWaitingWritersGiveUpWithTheirContext(t *testing.T) {
	t.Parallel()
	var s *registry.Service
	var inner error
	s = newService(t, &registry.Options{GuardDelete: func(ctx context.Context, _ string, _ int) error {
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		inner = s.SetModelTag(ctx, "wine", registry.Tag{Key: "k"}) // the deletion has the turn
		return nil
	}})
	wine(t, s, 1)
	if err := s.DeleteVersion(t.Context(), "wine", 1, false); err != nil {
		t.Error(err)
	}
	if !errors.Is(inner, context.DeadlineExceeded) {
		t.Errorf("the waiting writer got %v", inner)
	}
}

func TestArchiveNeedsAnActiveStage(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	wine(t, s, 1)
	for stage, want := range map[string]mlflow.Code{
		"None": mlflow.InvalidParameterValue, "archived": mlflow.InvalidParameterValue, "STAGING": "", "Production": "", "gold": mlflow.InvalidParameterValue,
	} {
		_, err := s.SetStage(t.Context(), "wine", 1, stage, true)
		wantCode(t, stage, err, want)
	}
}

func TestConcurrentTransitionsLeaveOneVersionInTheStage(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	wine(t, s, 4)
	var heard []int64
	defer s.Subscribe(func(e registry.Event) { heard = append(heard, e.Revision) })()
	done := make(chan error)
	for version := range 4 {
		go func() {
			var err error
			for range 5 {
				if _, e := s.SetStage(context.WithoutCancel(t.Context()), "wine", version+1, "Production", true); e != nil {
					err = e
				}
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	snapshot := must[[]registry.ModelSnapshot](t)(s.Snapshot(t.Context()))
	production := 0
	for _, v := range snapshot[0].Versions {
		if v.Stage == registry.StageProduction {
			production++
		}
	}
	if production != 1 || !slices.IsSorted(heard) {
		t.Errorf("%d versions in Production; events %v", production, heard)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for name, want := range map[string]mlflow.Code{
		"wine": "", "Wine-2.0_é": "", "a b": "", "日本": "", "": "INVALID_PARAMETER_VALUE", "  ": "INVALID_PARAMETER_VALUE",
		"a/b": "INVALID_PARAMETER_VALUE", "a:b": "INVALID_PARAMETER_VALUE", ".": "INVALID_PARAMETER_VALUE", "..": "INVALID_PARAMETER_VALUE",
		`..\..\x`: "INVALID_PARAMETER_VALUE", "a\r\nb": "INVALID_PARAMETER_VALUE", "a\x00": "INVALID_PARAMETER_VALUE",
	} {
		_, err := s.CreateModel(t.Context(), registry.ModelSpec{Name: name})
		wantCode(t, fmt.Sprintf("%q", name), err, want)
	}
}

// Names that only MLflow gives are read, versioned, renamed and deleted like any other; nobody gets one here.
func TestNamesOfMLflow(t *testing.T) {
	t.Parallel()
	store, err := sqlstore.New(t.Context(), sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}))
	if err != nil {
		t.Fatal(err)
	}
	s := registry.New(store, nil)
	for _, name := range []string{`team\wine`, "tab\tbed"} {
		if _, _, err := store.CreateModel(t.Context(), registry.ModelSpec{Name: name}, 1); err != nil {
			t.Fatal(err)
		}
		must[registry.Model](t)(s.Model(t.Context(), name))
		must[registry.Version](t)(s.CreateVersion(t.Context(), registry.VersionSpec{Name: name, Source: "s3://bucket/wine"}))
		must[registry.Version](t)(s.Version(t.Context(), name, 1))
		_, err := s.RenameModel(t.Context(), name, name+"2")
		wantCode(t, "rename to an odd name", err, mlflow.InvalidParameterValue)
		must[registry.Model](t)(s.RenameModel(t.Context(), name, "plain"))
		wantCode(t, "delete", s.DeleteModel(t.Context(), "plain", false), "")
	}
	_, err = s.Model(t.Context(), "a\x00b")
	wantCode(t, "NUL", err, mlflow.InvalidParameterValue)
}

func TestSearchPagesAndLimits(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	for _, name := range []string{"a", "b", "c"} {
		must[registry.Model](t)(s.CreateModel(t.Context(), registry.ModelSpec{Name: name}))
	}
	var got []string
	q := registry.SearchQuery{MaxResults: 2}
	for range 2 {
		page := must[registry.ModelPage](t)(s.SearchModels(t.Context(), q))
		for _, m := range page.Models {
			got = append(got, m.Name)
		}
		q.PageToken = page.NextPageToken
	}
	if strings.Join(got, "") != "abc" || q.PageToken != "" {
		t.Errorf("pages %v, last token %q", got, q.PageToken)
	}
	if full := must[registry.ModelPage](t)(s.SearchModels(t.Context(), registry.SearchQuery{MaxResults: 3})); full.NextPageToken != "" {
		t.Error("an exactly full last page has a token")
	}
	for name, q := range map[string]registry.SearchQuery{
		"too many": {MaxResults: 1001}, "negative": {MaxResults: -1}, "bad filter": {Filter: "nonsense"}, "bad order": {OrderBy: []string{"x"}},
		"bad token": {PageToken: "%"}, "hundred thousand ANDs": {Filter: strings.Repeat("name = 'a' AND ", 100_000) + "name = 'a'"},
		"injection in order": {OrderBy: []string{"name; DROP TABLE runs"}},
	} {
		_, err := s.SearchModels(t.Context(), q)
		wantCode(t, name, err, mlflow.InvalidParameterValue)
	}
	if _, err := s.SearchModels(t.Context(), registry.SearchQuery{Filter: `name = "' OR 1=1 --"`}); err != nil {
		t.Errorf("quotes in a value: %v", err)
	}
}

func TestSourcePattern(t *testing.T) {
	t.Parallel()
	s := newService(t, &registry.Options{SourcePattern: regexp.MustCompile(`^s3://ours/`)})
	wine(t, newService(t, nil), 1)
	must[registry.Model](t)(s.CreateModel(t.Context(), registry.ModelSpec{Name: "wine"}))
	_, err := s.CreateVersion(t.Context(), registry.VersionSpec{Name: "wine", Source: "s3://theirs/x"})
	wantCode(t, "other bucket", err, mlflow.InvalidParameterValue)
	_, err = s.CreateVersion(t.Context(), registry.VersionSpec{Name: "wine", Source: "s3://ours/x"})
	wantCode(t, "own bucket", err, "")
}

// fakeTracking knows one run and one logged model.
type fakeTracking struct{ model tracking.LoggedModel }

func (f *fakeTracking) Run(_ context.Context, id string) (tracking.Run, error) {
	if id != "r1" {
		return tracking.Run{}, tracking.UnknownRun(id)
	}
	return tracking.Run{Info: tracking.RunInfo{ID: id, ArtifactURI: "mlflow-artifacts:/1/r1/artifacts"}}, nil
}

func (f *fakeTracking) LoggedModel(_ context.Context, id string, _ bool) (tracking.LoggedModel, error) {
	if id != f.model.ID {
		return tracking.LoggedModel{}, tracking.UnknownLoggedModel(id)
	}
	return f.model, nil
}

func (f *fakeTracking) SetLoggedModelTags(_ context.Context, id string, tags []tracking.Tag) error {
	f.model.Tags = tags
	return nil
}

func TestVersionsAreLinkedToTheirLoggedModel(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", `[{"name": "other", "version": "4"}]`, "not JSON"} {
		fake := &fakeTracking{tracking.LoggedModel{
			ID: "m-1", SourceRunID: "r1", ArtifactLocation: "mlflow-artifacts:/1/models/m-1/artifacts",
			Tags: []tracking.Tag{{Key: "mlflow.modelVersions", Value: before}},
		}}
		s := newService(t, &registry.Options{Sources: registry.FromTracking(fake)})
		must[registry.Model](t)(s.CreateModel(t.Context(), registry.ModelSpec{Name: `w"ine`}))
		v := must[registry.Version](t)(s.CreateVersion(t.Context(), registry.VersionSpec{Name: `w"ine`, Source: "models:/m-1", ModelID: new("m-1")}))
		if v.StorageLocation != fake.model.ArtifactLocation || v.RunID == nil || *v.RunID != "r1" {
			t.Errorf("version %+v", v)
		}
		want := `[{"name": "w\"ine", "version": 1}]`
		if strings.HasPrefix(before, "[") {
			want = `[{"name": "other", "version": 4}, {"name": "w\"ine", "version": 1}]`
		}
		if got := fake.model.Tags[0].Value; got != want {
			t.Errorf("tag before %q, after %q, want %q", before, got, want)
		}
		snapshot := must[[]registry.ModelSnapshot](t)(s.Snapshot(t.Context()))
		if got := snapshot[0].Versions[0].ModelID; got != "m-1" {
			t.Errorf("model id in the snapshot: %q", got)
		}
	}
}
