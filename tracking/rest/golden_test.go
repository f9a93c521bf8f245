package rest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var record = flag.String("record", "", "base URL of a real MLflow server whose answers are written to testdata/golden")

var accept = flag.String("accept", "", "reason under which the differences found now are written to testdata/golden as ours")

// TestGolden replays conversations that were recorded from a real MLflow server; see testdata/README.md.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			must(t, err)
			g := &golden{vars: map[string]string{"unique": "gold"}}
			if g.base = *record; g.base == "" {
				g.base = "http://" + newServer(t, nil).addr
			} else {
				g.vars["unique"] = fmt.Sprintf("g%d", os.Getpid()) + strings.TrimSuffix(filepath.Base(file), ".txtar")
			}
			g.run(t, archive)
			if *record != "" || *accept != "" {
				must(t, os.WriteFile(file, txtar.Format(archive), 0o644))
			}
		})
	}
}

// golden is one conversation under way.
type golden struct {
	base string
	vars map[string]string
}

func (g *golden) run(t *testing.T, archive *txtar.Archive) {
	sections := map[string]string{}
	for _, f := range archive.Files {
		sections[f.Name] = string(f.Data)
	}
	var out []txtar.File
	for _, f := range archive.Files {
		number, kind, _ := strings.Cut(f.Name, " ")
		if kind != "request" {
			continue
		}
		got := g.exchange(t, f.Name, string(f.Data))
		want := sections[number+" answer"]
		recorded := want
		if *record != "" {
			recorded = got
		}
		out = append(out, f, txtar.File{Name: number + " answer", Data: []byte(recorded)})
		ours, differs := sections[number+" ours"]
		if !differs && *accept != "" && *record == "" && got != want {
			differs, ours = true, *accept+"\n"+got
		}
		if differs {
			out = append(out, txtar.File{Name: number + " ours", Data: []byte(ours)})
			_, want, _ = strings.Cut(ours, "\n")
		}
		if *record == "" && got != want {
			t.Errorf("%s\n%s\ngot:\n%s\nwant:\n%s", f.Name, f.Data, got, want)
		}
	}
	archive.Files = out
}

// exchange sends one request, keeps what it captures and returns the masked answer.
func (g *golden) exchange(t *testing.T, name, text string) string {
	t.Helper()
	method, target, header, body, captures := parseRequest(g.fill(text))
	req, err := http.NewRequestWithContext(t.Context(), method, g.base+target, strings.NewReader(body))
	must(t, err)
	req.Header = header
	res, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(t, err)
	contentType, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	var doc any
	if contentType == "application/json" && len(answer) > 0 {
		dec := json.NewDecoder(bytes.NewReader(answer))
		dec.UseNumber()
		if err := dec.Decode(&doc); err != nil {
			t.Fatalf("%s: answer is not JSON: %s", name, answer)
		}
		for variable, path := range captures {
			g.vars[variable] = dig(t, doc, path)
		}
		answer, err = json.MarshalIndent(mask("", doc), "", "  ")
		must(t, err)
	}
	if len(answer) == 0 {
		return fmt.Sprintf("%d\n", res.StatusCode)
	}
	return fmt.Sprintf("%d %s\n%s\n", res.StatusCode, contentType, g.unfill(string(answer)))
}

func parseRequest(text string) (method, target string, header http.Header, body string, captures map[string]string) {
	header, captures = http.Header{}, map[string]string{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	method, target, _ = strings.Cut(lines[0], " ")
	var content []string
	for _, line := range lines[1:] {
		if variable, path, ok := strings.Cut(line, " = "); ok && strings.HasPrefix(line, "> ") {
			captures[strings.TrimPrefix(variable, "> ")] = path
		} else if name, value, ok := strings.Cut(line, ": "); ok && len(content) == 0 && regexp.MustCompile(`^[A-Z][A-Za-z-]+$`).MatchString(name) {
			header.Set(name, value)
		} else {
			content = append(content, line)
		}
	}
	body = strings.Join(content, "\n")
	if body != "" && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	return method, target, header, body, captures
}

func (g *golden) fill(s string) string {
	for name, value := range g.vars {
		s = strings.ReplaceAll(s, "${"+name+"}", value)
	}
	return s
}

// unfill puts the names of known values back, the longest first.
func (g *golden) unfill(s string) string {
	names := make([]string, 0, len(g.vars))
	for name := range g.vars {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return len(g.vars[b]) - len(g.vars[a]) })
	for _, name := range names {
		s = strings.ReplaceAll(s, g.vars[name], "${"+name+"}")
	}
	return s
}

func dig(t *testing.T, doc any, path string) string {
	t.Helper()
	for part := range strings.SplitSeq(path, ".") {
		switch v := doc.(type) {
		case map[string]any:
			doc = v[part]
		case []any:
			var i int
			_, err := fmt.Sscan(part, &i)
			must(t, err)
			doc = v[i]
		}
	}
	if doc == nil {
		t.Fatalf("the answer has no %s", path)
	}
	return fmt.Sprint(doc)
}

var (
	timeKeys   = []string{"creation_time", "last_update_time", "creation_timestamp_ms", "last_updated_timestamp_ms"}
	sortedKeys = []string{"tags", "params", "metrics", "dataset_summaries"}
	randomName = regexp.MustCompile(`^[a-z]+-[a-z]+-\d+$`)
)

// mask makes values that differ between runs of the same conversation equal.
func mask(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = mask(k, v[k])
		}
	case []any:
		for i := range v {
			v[i] = mask(key, v[i])
		}
		if slices.Contains(sortedKeys, key) {
			slices.SortStableFunc(v, func(a, b any) int { return strings.Compare(keyOf(a), keyOf(b)) })
		}
	case json.Number:
		if slices.Contains(timeKeys, key) {
			return "<time>"
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
	case string:
		if randomName.MatchString(v) {
			return "<name>"
		}
		if key == "next_page_token" { // MLflow's are offsets, ours places
			return "<token>"
		}
	}
	return v
}

func keyOf(v any) string {
	if m, ok := v.(map[string]any); ok {
		return fmt.Sprint(m["key"], m["name"], m["digest"], m["context"])
	}
	return ""
}
