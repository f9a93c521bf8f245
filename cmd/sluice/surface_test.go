package main

import (
	_ "embed"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/tracking/wire"
)

//go:embed testdata/mlflow-routes.txt
var mlflowRoutes string

// rowPattern is a row's path as an expression over targets.
func rowPattern(r wire.Route) *regexp.Regexp {
	text := regexp.MustCompile(`\\\*|:\w+`).ReplaceAllStringFunc(regexp.QuoteMeta(r.Path), func(param string) string {
		if param == `\*` {
			return `.*`
		}
		return `[^/]+`
	})
	return regexp.MustCompile("^" + text + "/?$")
}

func hasRow(table []wire.Route, method, target string) bool {
	return slices.ContainsFunc(table, func(r wire.Route) bool { return r.Method == method && rowPattern(r).MatchString(target) })
}

// Nothing that MLflow's server has is unknown here: it is served, or it is on the list of refusals and answers with the reason.
func TestMLflowsRoutesAreServedOrRefused(t *testing.T) {
	t.Parallel()
	b := boot(t)
	for line := range strings.Lines(mlflowRoutes) {
		method, path, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || method == "#" {
			continue
		}
		at := strings.ReplaceAll(path, "{}", "x")
		served, refused := hasRow(b.routes, method, at), hasRow(b.refused, method, at)
		if !served && !refused {
			t.Errorf("%s %s is neither served nor on the list of refusals", method, path)
			continue
		}
		res, body := b.send(t, method, message(method, at, "Content-Type: application/json\r\n", "{}"))
		switch {
		case served && (res.StatusCode == http.StatusMethodNotAllowed || res.StatusCode == http.StatusInternalServerError):
			t.Errorf("%s %s: %d %.150s", method, path, res.StatusCode, body)
		case !served && (res.StatusCode != http.StatusNotImplemented || !strings.Contains(body, `"error_code":"NOT_IMPLEMENTED"`) || !strings.Contains(body, `"message":"`)):
			t.Errorf("%s %s is refused with %d %.150s", method, path, res.StatusCode, body)
		}
	}
}

// A refusal of something that MLflow does not have, or that is served by now, is out of date.
func TestEveryRefusalRefusesSomething(t *testing.T) {
	t.Parallel()
	b := boot(t)
	refusing := map[string]bool{}
	for line := range strings.Lines(mlflowRoutes) {
		method, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		at := strings.ReplaceAll(path, "{}", "x")
		if hasRow(b.routes, method, at) {
			continue
		}
		for _, r := range b.refused {
			if r.Method == method && rowPattern(r).MatchString(at) {
				refusing[r.Path] = true
			}
		}
	}
	for _, r := range b.refused {
		if strings.HasPrefix(r.Path, "/api/") { // some calls have no such twin
			continue
		}
		if !refusing[r.Path] {
			t.Errorf("%s refuses nothing that MLflow has and we do not", r.Path)
			refusing[r.Path] = true
		}
	}
}
