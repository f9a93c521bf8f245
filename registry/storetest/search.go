package storetest

import (
	"context"
	"testing"

	"sluice/registry"
	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
	"sluice/tracking/page"
)

// search parses a filter and an order with the grammar.
func (s *suite) search(g *filter.Grammar, text string, orderBy ...string) registry.Search {
	s.Helper()
	expr, err := g.Parse(text)
	s.ok(err)
	order, err := g.ParseOrder(orderBy)
	s.ok(err)
	return registry.Search{Filter: expr, Order: order, Limit: 100}
}

func testSearchModels(s *suite) {
	s.model("alpha", registry.Tag{Key: "team", Value: "red"}, registry.Tag{Key: "size", Value: "L"})
	s.model("Beta", registry.Tag{Key: "team", Value: "blue"})
	s.model("gamma", registry.Tag{Key: "team", Value: "Red"})
	s.version("alpha") // alpha is updated last
	for _, c := range []struct {
		filter string
		order  []string
		want   []string
	}{
		{"", nil, []string{"Beta", "alpha", "gamma"}},
		{"", []string{"name DESC"}, []string{"gamma", "alpha", "Beta"}},
		{"", []string{"last_updated_timestamp DESC"}, []string{"alpha", "gamma", "Beta"}},
		{"", []string{"timestamp ASC"}, []string{"Beta", "gamma", "alpha"}},
		{"name = 'alpha'", nil, []string{"alpha"}},
		{"name != 'alpha'", nil, []string{"Beta", "gamma"}},
		{"name LIKE '%a'", nil, []string{"Beta", "alpha", "gamma"}},
		{"name LIKE 'b%'", nil, nil},
		{"name ILIKE 'b%'", nil, []string{"Beta"}},
		{"name LIKE 'al_ha'", nil, []string{"alpha"}},
		{"name IN ('alpha', 'gamma', 'no')", nil, []string{"alpha", "gamma"}},
		{"name NOT IN ('alpha')", nil, []string{"Beta", "gamma"}},
		{"tags.team = 'red'", nil, []string{"alpha"}},
		{"tags.team ILIKE 'red'", nil, []string{"alpha", "gamma"}},
		{"tags.team != 'red'", nil, []string{"Beta", "gamma"}},
		{"tags.team = 'red' AND tags.size = 'L'", nil, []string{"alpha"}},
		{"tags.team ILIKE 'r%' AND tags.team != 'red'", nil, []string{"gamma"}},
		{"tags.team = 'blue' AND tags.size = 'L'", nil, nil},
		{"tags.nothing != 'x'", nil, nil},
	} {
		search := s.search(filter.RegisteredModels(), c.filter, c.order...)
		models, err := s.store.SearchModels(s.Context(), search)
		s.ok(err)
		equal(s, c.filter, names(models.Rows), c.want)
		equal(s, c.filter+" by ones", names(byOnes(s, search, s.store.SearchModels)), c.want)
	}
	s.modelPages()
}

func (s *suite) modelPages() {
	q := registry.Search{Limit: 2}
	first, err := s.store.SearchModels(s.Context(), q)
	s.ok(err)
	equal(s, "more follow the first page", first.More, true)
	s.model("Aaa") // in front of what was seen: it moves nothing
	_, err = s.store.DeleteModel(s.Context(), "Beta", s.tick())
	s.ok(err)
	q.After = first.End
	second, err := s.store.SearchModels(s.Context(), q)
	s.ok(err)
	equal(s, "more follow the last page", second.More, false)
	equal(s, "pages", append(names(first.Rows), names(second.Rows)...), []string{"Beta", "alpha", "gamma"})
	equal(s, "tags in a search", len(first.Rows[1].Tags), 2)
	equal(s, "latest in a search", numbers(first.Rows[1].Latest), []int{1})
	for _, bad := range []page.Place{{}, {int64(1)}, {"a", "b"}, {nil}, {page.DigestOf("a")}} {
		q.After = bad
		_, err := s.store.SearchModels(s.Context(), q)
		s.code(err, mlflow.InvalidParameterValue)
	}
}

// byOnes reads a search in pages of one row.
func byOnes[T any](s *suite, q registry.Search, search func(context.Context, registry.Search) (page.Found[T], error)) []T {
	s.Helper()
	var out []T
	q.Limit = 1
	for {
		found, err := search(s.Context(), q)
		s.ok(err)
		out = append(out, found.Rows...)
		if q.After = found.End; !found.More {
			return out
		}
	}
}

func testSearchVersions(s *suite) {
	s.model("a")
	s.model("b")
	run := "run1"
	s.version("a", registry.Tag{Key: "k", Value: "1"})
	s.version("a", registry.Tag{Key: "k", Value: "2"})
	_, _, err := s.store.CreateVersion(s.Context(), registry.Version{Name: "b", Source: "s3://other/b", RunID: &run}, s.tick())
	s.ok(err)
	s.stage("a", 1, registry.StageStaging, false) // updated last
	for _, c := range []struct {
		filter string
		order  []string
		want   []string
	}{
		{"", nil, []string{"a2", "a1", "b1"}},
		{"", []string{"last_updated_timestamp DESC"}, []string{"a1", "b1", "a2"}},
		{"", []string{"version_number ASC"}, []string{"a1", "b1", "a2"}},
		{"", []string{"name DESC", "version_number ASC"}, []string{"b1", "a1", "a2"}},
		{"", []string{"creation_timestamp DESC"}, []string{"b1", "a2", "a1"}},
		{"name = 'a'", nil, []string{"a2", "a1"}},
		{"name = 'a' AND version_number = 1", nil, []string{"a1"}},
		{"version_number > 1", nil, []string{"a2"}},
		{"version_number <= 1", nil, []string{"a1", "b1"}},
		{"run_id = 'run1'", nil, []string{"b1"}},
		{"run_id IN ('run1', 'x')", nil, []string{"b1"}},
		{"source_path LIKE 's3://other/%'", nil, []string{"b1"}},
		{"source_path = 's3://bucket/a'", nil, []string{"a2", "a1"}},
		{"tags.k = '2'", nil, []string{"a2"}},
		{"name = 'b' AND tags.k = '2'", nil, nil},
	} {
		search := s.search(filter.ModelVersions(), c.filter, c.order...)
		versions, err := s.store.SearchVersions(s.Context(), search)
		s.ok(err)
		equal(s, c.filter, places(versions.Rows), c.want)
		equal(s, c.filter+" by ones", places(byOnes(s, search, s.store.SearchVersions)), c.want)
	}
	first, err := s.store.SearchVersions(s.Context(), registry.Search{Limit: 1})
	s.ok(err)
	s.version("a") // a3 sorts in front of what was seen
	second, err := s.store.SearchVersions(s.Context(), registry.Search{After: first.End, Limit: 1})
	s.ok(err)
	equal(s, "second page", places(second.Rows), []string{"a1"})
	equal(s, "tags in a search", second.Rows[0].Tags, []registry.Tag{{Key: "k", Value: "1"}})
}

func testPrompts(s *suite) {
	prompt := registry.Tag{Key: registry.PromptTag, Value: "true"}
	s.model("model")
	s.model("prompt", prompt)
	s.version("model")
	s.version("prompt", prompt, registry.Tag{Key: "mlflow.prompt.text", Value: "Hello"})
	for text, want := range map[string][]string{
		"":              {"model"},
		"name LIKE '%'": {"model"},
		"tags.`mlflow.prompt.is_prompt` = 'false'": {"model"},
		"tags.`mlflow.prompt.is_prompt` != 'true'": {"model"},
		"tags.`mlflow.prompt.is_prompt` = 'true'":  {"prompt"},
		"tags.`mlflow.prompt.is_prompt` = 'TRUE'":  nil,
	} {
		models, err := s.store.SearchModels(s.Context(), s.search(filter.RegisteredModels(), text))
		s.ok(err)
		equal(s, "models: "+text, names(models.Rows), want)
		versions, err := s.store.SearchVersions(s.Context(), s.search(filter.ModelVersions(), text))
		s.ok(err)
		var got []string
		for _, v := range versions.Rows {
			got = append(got, v.Name)
		}
		equal(s, "versions: "+text, got, want)
	}
	_, _, err := s.store.CreateModel(s.Context(), registry.ModelSpec{Name: "prompt"}, s.tick())
	s.code(err, mlflow.ResourceAlreadyExists)
	snapshot, err := s.store.Snapshot(s.Context())
	s.ok(err)
	equal(s, "models in the snapshot", len(snapshot), 1)
	events, err := s.store.Events(s.Context(), 0, 10)
	s.ok(err)
	for _, e := range events {
		equal(s, "event says prompt", e.Prompt, e.Model == "prompt")
	}
}

func names(models []registry.Model) []string {
	var out []string
	for _, m := range models {
		out = append(out, m.Name)
	}
	return out
}

func places(versions []registry.Version) []string {
	var out []string
	for _, v := range versions {
		out = append(out, v.Name+string(rune('0'+v.Version)))
	}
	return out
}

// RunBenchmarks measures the reads that others wait for. New returns an empty Store.
func RunBenchmarks(b *testing.B, New func(t testing.TB) registry.Store) {
	store := New(b)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if _, _, err := store.CreateModel(b.Context(), registry.ModelSpec{Name: name}, 1); err != nil {
			b.Fatal(err)
		}
		for range 20 {
			if _, _, err := store.CreateVersion(b.Context(), registry.Version{Name: name, Source: "s3://b/x"}, 1); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("Snapshot of 5 models with 20 versions", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := store.Snapshot(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Version", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := store.Version(b.Context(), "c", 7); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("SetStage", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := store.SetStage(b.Context(), "c", 7, registry.StageStaging, true, 2); err != nil {
				b.Fatal(err)
			}
		}
	})
}
