package filter_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/tracking/filter"
	"sluice/tracking/mlflow"
)

var update = flag.Bool("update", false, "rewrite testdata/cases.txt from what the parser does now")

const casesFile = "testdata/cases.txt"

var grammars = map[string]*filter.Grammar{
	"runs": filter.Runs(), "experiments": filter.Experiments(), "registered models": filter.RegisteredModels(),
	"model versions": filter.ModelVersions(), "logged models": filter.LoggedModels(), "traces": filter.Traces(),
}

// golden is one case of testdata/cases.txt: a line with the filter, and below it, indented, the tree as text, or "error: " and
// MLflow's sentence. tracking/sqlstore holds the same file against the real MLflow.
type golden struct{ grammar, text, want string }

// readCases reads the file; other lines (comments, blanks, headings) come with an empty grammar.
func readCases(t testing.TB) []golden {
	t.Helper()
	f, err := os.Open(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []golden
	grammar := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			out = append(out, golden{text: line})
		case strings.HasPrefix(line, "["):
			grammar = strings.Trim(line, "[]")
			out = append(out, golden{text: line})
		case strings.HasPrefix(line, "\t"):
			out[len(out)-1].want = line[1:]
		default:
			out = append(out, golden{grammar: grammar, text: line})
		}
	}
	return out
}

func parsed(c golden) string {
	e, err := grammars[c.grammar].Parse(c.text)
	if err != nil {
		return "error: " + err.(*mlflow.Error).Message
	}
	return e.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	cases := readCases(t)
	if *update {
		rewrite(t, cases)
		return
	}
	for _, c := range cases {
		if c.grammar == "" {
			continue
		}
		if got := parsed(c); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.grammar, c.text, got, c.want)
		}
	}
}

func rewrite(t *testing.T, cases []golden) {
	var b strings.Builder
	for _, c := range cases {
		b.WriteString(c.text + "\n")
		if c.grammar != "" {
			b.WriteString("\t" + parsed(c) + "\n")
		}
	}
	if err := os.WriteFile(casesFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsEverythingAndBlanksAreNot(t *testing.T) {
	t.Parallel()
	for name, g := range grammars {
		for _, text := range []string{"", "AND"} {
			if e, err := g.Parse(text); err != nil || len(e.Clauses) != 0 {
				t.Errorf("%s: Parse(%q) = %v, %v", name, text, e, err)
			}
		}
		if _, err := g.Parse(" \n\t"); name != "logged models" && mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
			t.Errorf("%s: blanks: %v", name, err)
		}
	}
}

func TestHugeFiltersAreRefusedFast(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"100000 ANDs":       strings.Repeat("metrics.a > 1 AND ", 100_000) + "metrics.a > 1",
		"too many clauses":  strings.Repeat("metrics.a > 1 AND ", filter.MaxClauses) + "metrics.a > 1",
		"nested":            strings.Repeat("(", 200_000),
		"open quote":        "params.a = '" + strings.Repeat("''", 100_000),
		"back quotes":       strings.Repeat("`", 200_001),
		"quotes and spaces": strings.Repeat("' ", 100_000),
		"dots":              strings.Repeat("a.", 100_000),
		"long list":         "run_id IN (" + strings.Repeat("'a',", 60_000) + ")",
		"deep list":         "run_id IN (" + strings.Repeat("(", 100_000) + ")",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := filter.Runs().Parse(text)
			if mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
				t.Errorf("error = %v", err)
			}
			if len(err.Error()) > 2000 {
				t.Errorf("the error repeats %d bytes", len(err.Error()))
			}
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestParseOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		grammar, text, want string
	}{
		{"runs", "metrics.a", "metric.`a` ASC"},
		{"runs", "metrics.`a b` DESC", "metric.`a b` DESC"},
		{"runs", `params."a.b" desc`, "parameter.`a.b` DESC"},
		{"runs", "tags.mlflow.user ASC", "tag.`mlflow.user` ASC"},
		{"runs", "start_time DESC", "attribute.`start_time` DESC"},
		{"runs", "created", "attribute.`start_time` ASC"},
		{"runs", "attribute.status", "attribute.`status` ASC"},
		{"runs", "`run name`", "error: Invalid attribute key 'run name' specified."},
		{"runs", "attributes.`Run name` DESC", "error: Invalid attribute key 'Run name' specified."},
		{"runs", "nonsense", "error: Invalid attribute key 'nonsense' specified."},
		{"runs", "m.acc", "error: Invalid entity type 'm'."},
		{"runs", "metrics.a DESC DESC", "error: Invalid order_by clause 'metrics.a DESC DESC'. Could not be parsed."},
		{"runs", "metrics.a SIDEWAYS", "error: Invalid ordering key in order_by clause 'metrics.a SIDEWAYS'."},
		{"runs", "metrics.a, metrics.b", "error: Invalid order_by clause"},
		{"runs", "", "error: Invalid order_by clause ''. Could not be parsed."},
		{"runs", "metrics.a; DROP TABLE runs", "error: Invalid order_by clause"},
		{"runs", "dataset.name", "error: Invalid identifier type 'dataset'"},
		{"experiments", "name DESC", "attribute.`name` DESC"},
		{"experiments", "tags.a", "error: Invalid order_by entity: tag"},
		{"experiments", "start_time", "error: Invalid attribute key 'start_time'"},
		{"registered models", "timestamp DESC", "attribute.`last_updated_timestamp` DESC"},
		{"registered models", "creation_timestamp", "error: Invalid order by key 'creation_timestamp' specified."},
		{"model versions", "version_number", "attribute.`version_number` ASC"},
		{"model versions", "run_id", "error: Invalid attribute key 'run_id' specified."},
	} {
		got := ""
		if o, err := grammars[c.grammar].ParseOrder([]string{c.text}); err != nil {
			got = "error: " + err.(*mlflow.Error).Message
		} else {
			got = o[0].String()
		}
		if got != c.want && !(strings.HasPrefix(c.want, "error: ") && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %q\n got %s\nwant %s", c.grammar, c.text, got, c.want)
		}
	}
	if _, err := filter.Runs().ParseOrder([]string{"start_time", "created DESC"}); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
		t.Errorf("one field twice: %v", err)
	}
	if _, err := filter.Runs().ParseOrder(make([]string, filter.MaxOrder+1)); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
		t.Errorf("too many entries: %v", err)
	}
}

// record is a Subject made of a map from "entity.key".
type record map[string][]filter.Value

func (r record) Values(e filter.Entity, key string) []filter.Value {
	return r[fmt.Sprintf("%s.%s", e, key)]
}

func TestMatch(t *testing.T) {
	t.Parallel()
	text := func(s ...string) (out []filter.Value) {
		for _, s := range s {
			out = append(out, filter.Value{Kind: filter.Text, Text: s})
		}
		return out
	}
	number := func(f float64) []filter.Value { return []filter.Value{{Kind: filter.Float, Num: f}} }
	nan := number(0)
	nan[0].Num /= nan[0].Num
	r := record{
		"metric.m": number(1.5), "metric.nan": nan, "parameter.p": text("Abc"), "tag.t": text("100%"), "attribute.status": text("FINISHED"),
		"attribute.start_time": {{Kind: filter.Integer, Int: 1<<53 + 1}}, "attribute.run_id": text("x"), "dataset.name": text("iris", "wine"),
	}
	for filterText, want := range map[string]bool{
		"":                                     true,
		"metrics.m > 1 AND metrics.m < 2":      true,
		"metrics.m = 1.5":                      true,
		"metrics.none != 1":                    false,
		"metrics.nan > 0":                      false,
		"metrics.nan = 0":                      false,
		"metrics.nan != 0":                     true,
		"params.p = 'abc'":                     false,
		"params.p LIKE 'A%'":                   true,
		"params.p LIKE '%b%' AND status = 'x'": false,
		"params.p LIKE 'a__'":                  false,
		"params.p ILIKE 'a__'":                 true,
		"params.p LIKE '_'":                    false,
		"params.p IS NOT NULL":                 true,
		"params.q IS NULL":                     true,
		"tags.t LIKE '100%'":                   true,
		"tags.t LIKE '%%%%0%%%'":               true,
		"start_time = 9007199254740993":        true,
		"start_time = 9007199254740992":        false,
		"start_time > 1.5":                     true,
		"run_id IN ('x', 'y')":                 true,
		"run_id NOT IN ('x', 'y')":             false,
		"dataset.name = 'wine'":                true,
		"dataset.name != 'wine'":               true,
		"dataset.name = 'x'":                   false,
	} {
		e, err := filter.Runs().Parse(filterText)
		if err != nil {
			t.Fatalf("%s: %v", filterText, err)
		}
		if got := e.Match(r); got != want {
			t.Errorf("%q matches: %v, want %v", filterText, got, want)
		}
	}
}

// FuzzParse: the parser never panics, refuses with MLflow's code only, and writes trees that it reads back the same.
func FuzzParse(f *testing.F) {
	for _, c := range readCases(f) {
		if c.grammar != "" {
			f.Add(c.text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		for name, g := range grammars {
			e, err := g.Parse(text)
			if err != nil {
				if mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
					t.Fatalf("%s: %v", name, err)
				}
				continue
			}
			e.Match(record{})
			checkRoundTrip(t, g, e)
		}
	})
}

// checkRoundTrip parses what String wrote. Texts with both kinds of quotes, and lists with escapes, have no spelling.
func checkRoundTrip(t *testing.T, g *filter.Grammar, e filter.Expr) {
	for _, c := range e.Clauses {
		for _, s := range append([]string{c.Key, c.Value.Text}, c.Value.List...) {
			if strings.ContainsAny(s, "'\"`\\") {
				return
			}
		}
	}
	if g == filter.LoggedModels() || g == filter.Runs() || g == filter.Experiments() {
		text := e.String()
		if g == filter.LoggedModels() {
			text = strings.NewReplacer("attribute.", "attributes.", "metric.", "metrics.", "parameter.", "params.", "tag.", "tags.").Replace(text)
			if strings.Contains(e.String(), "s.") {
				return
			}
		}
		again, err := g.Parse(text)
		if err != nil || again.String() != e.String() {
			t.Fatalf("%q reads back as %q, %v", text, again, err)
		}
	}
}

// FuzzParseOrder: order_by never panics and refuses with MLflow's code only.
func FuzzParseOrder(f *testing.F) {
	for _, s := range []string{"metrics.a DESC", "`x", "params.\"a b\" asc", "timestamp", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, g := range grammars {
			if _, err := g.ParseOrder([]string{text}); err != nil && mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
				t.Fatalf("%s: %v", name, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	const text = "metrics.acc > 0.9 AND params.`lr rate` = '0.1' AND tags.team LIKE 'a%' AND status = 'FINISHED'"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := filter.Runs().Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
