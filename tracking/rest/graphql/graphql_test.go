package graphql_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"context"
	"sluice/tracking/rest/graphql"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const doc = "# comment\nquery Q($d: [In!]! , $n: Int) @component(name: \"a b\") {\n  a: first(input: $d) { x, y { z } }\n  second(input: {s: \"q\\\"}\", n: -1.5, list: [1, RED, true, null], o: {}}) @client { __typename }\n}"
	op, err := graphql.Parse(doc, "Q")
	if err != nil {
		t.Fatal(err)
	}
	want := graphql.Operation{Kind: "query", Name: "Q", Select: []graphql.Field{
		{Name: "first", Key: "a", Args: map[string]graphql.Value{"input": {Variable: "d"}}, Select: []graphql.Field{
			{Name: "x", Key: "x"}, {Name: "y", Key: "y", Select: []graphql.Field{{Name: "z", Key: "z"}}},
		}},
		{Name: "second", Key: "second", Args: map[string]graphql.Value{"input": {JSON: []byte(`{"list":[1,"RED",true,null],"n":-1.5,"o":{},"s":"q\"}"}`)}},
			Select: []graphql.Field{{Name: "__typename", Key: "__typename"}}},
	}}
	if !reflect.DeepEqual(op, want) {
		t.Errorf("got  %+v\nwant %+v", op, want)
	}
	filled, err := graphql.Parse("{ a { ...F ... on T { y } } } fragment F on T { x }", "")
	if err != nil || !reflect.DeepEqual(filled.Select, []graphql.Field{{Name: "a", Key: "a", Select: []graphql.Field{{Name: "x", Key: "x"}, {Name: "y", Key: "y"}}}}) {
		t.Errorf("fragments: %+v, %v", filled, err)
	}
	if op, err := graphql.Parse("{ a }", ""); err != nil || op.Kind != "query" {
		t.Errorf("short form: %+v, %v", op, err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"nothing": "", "no selection": "query Q", "open": "{ a { b ", "empty selection": "{ a {} }", "unknown fragment": "{ ...F }", "circle": "{ ...F } fragment F on T { a ...F }",
		"many fragments": "{ ...A } fragment A on T {" + strings.Repeat(" ...B", 100) + "} fragment B on T {" + strings.Repeat(" ...C", 100) + "} fragment C on T { a }",
		"subscription":   "subscription { a }", "skip": "{ a @skip(if: true) }", "default": "query Q($a: Int = 1) { a }",
		"character": "{ a; }", "deep": strings.Repeat("{a", 40) + strings.Repeat("}", 40), "deep value": "{ a(b: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + ") }",
		"many": "{" + strings.Repeat(" a", 1100) + "}", "eleven roots": "{ a b c d e f g h i j k }", "eleven aliases": "{ a:x b:x c:x d:x e:x f:x g:x h:x i:x j:x k:x }",
		"long": "{ a }" + strings.Repeat(" ", 70_000), "two": "{ a } { b }", "variable inside": "{ a(b: [$x]) }", "open string": "{ a(b: \"x) }",
	} {
		if op, err := graphql.Parse(doc, ""); err == nil {
			t.Errorf("%s: accepted as %+v", name, op)
		}
	}
	if _, err := graphql.Parse("query A { a }", "B"); err == nil {
		t.Error("an operation that is not there was found")
	}
}

// TestMLflowsLimits pins the sentences by which clients know the limits (MLflow's tests/tracking/test_rest_tracking.py asks for them).
func TestMLflowsLimits(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("{a", 11) + strings.Repeat("}", 11)
	for doc, want := range map[string]string{
		"{" + strings.Repeat(" a", 11) + "}":                                        "GraphQL queries should have at most 10 root fields, got 11 root fields.",
		"{ a {" + strings.Repeat(" x: b", 12) + "} }":                               "GraphQL queries should have at most 10 aliases, got 12 aliases.",
		"{ a { x: b ...F } } fragment F on T {" + strings.Repeat(" x: b", 10) + "}": "GraphQL queries should have at most 10 aliases, got 11 aliases.",
		deep: "Query exceeds maximum depth of 10",
		"{ a {" + strings.Repeat(" b", 1000) + "} }": "Query exceeds maximum total selections of 1000",
	} {
		if _, err := graphql.Parse(doc, ""); err == nil || err.Error() != want {
			t.Errorf("%.60s: got %v, want %s", doc, err, want)
		}
	}
	for _, doc := range []string{deep[2 : len(deep)-1], "{" + strings.Repeat(" a", 10) + "}", "{ a {" + strings.Repeat(" x: b", 10) + "} }", "{ a {" + strings.Repeat(" b", 999) + "} }"} {
		if _, err := graphql.Parse(doc, ""); err != nil {
			t.Errorf("%.60s: %v", doc, err)
		}
	}
}

func TestProject(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	called := false
	tree := graphql.Object{"__typename": "T", "a": 1, "none": nil, "o": graphql.Object{"b": "x", "c": 2},
		"list": []graphql.Object{{"b": 1}, {"b": 2}},
		"lazy": graphql.Lazy(func(context.Context) (any, error) { called = true; return graphql.Object{"b": 3}, nil }),
		"bad":  graphql.Lazy(func(context.Context) (any, error) { return nil, boom }),
	}
	project := func(doc string) (string, error) {
		op, err := graphql.Parse(doc, "")
		if err != nil {
			t.Fatal(err)
		}
		v, err := graphql.Project(t.Context(), tree, op.Select)
		b, _ := json.Marshal(v)
		return string(b), err
	}
	if got, err := project("{ k: a none o { b } list { b } }"); err != nil || got != `{"k":1,"list":[{"b":1},{"b":2}],"none":null,"o":{"b":"x"}}` {
		t.Errorf("got %s, %v", got, err)
	}
	if called {
		t.Error("a field was resolved that nobody asked for")
	}
	if got, err := project("{ lazy { b } }"); err != nil || got != `{"lazy":{"b":3}}` {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := project("{ bad { b } }"); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	for _, doc := range []string{"{ zz }", "{ a { b } }", "{ o }", "{ list }"} {
		if got, err := project(doc); err == nil {
			t.Errorf("%s: got %s", doc, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"{ a }", "query Q($d: In!) @c(name: \"x\") { a(input: $d) { b } }", "{ a(b: {c: [1, RED, \"x\"]}) }", "mutation { x: y }", "{ ...F }"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		op, err := graphql.Parse(doc, "")
		if err != nil {
			return
		}
		if len(op.Select) == 0 {
			t.Fatalf("%q: an operation without fields", doc)
		}
		for _, field := range op.Select {
			for name, v := range field.Args {
				if v.JSON != nil && !json.Valid(v.JSON) {
					t.Fatalf("%q: argument %s is not JSON: %s", doc, name, v.JSON)
				}
			}
		}
	})
}
