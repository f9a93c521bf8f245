package telemetry

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var metricName = regexp.MustCompile(`^(sluice|process|go)(\.[a-z0-9_]+)+$`)

// The package comment lists every metric that the code names, and no other.
func TestThePackageCommentListsEveryMetric(t *testing.T) {
	t.Parallel()
	listed, named := map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(parsed.Doc.Text()) {
			if name, _, ok := strings.Cut(strings.TrimLeft(line, "\t"), " "); ok && line[0] == '\t' && metricName.MatchString(name) {
				listed[name] = true
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if name, err := strconv.Unquote(lit.Value); err == nil && metricName.MatchString(name) {
					named[name] = true
				}
			}
			return true
		})
	}
	if len(named) < 50 {
		t.Fatalf("only %d metrics found", len(named))
	}
	for name := range named {
		if !listed[name] {
			t.Errorf("%s is not in the package comment", name)
		}
	}
	for name := range listed {
		if !named[name] {
			t.Errorf("the package comment lists %s, which nobody counts", name)
		}
	}
}
