package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const written = "../grafana"

func TestWrittenDashboardsAreTheGeneratedOnes(t *testing.T) {
	for name, d := range all() {
		want, err := render(&d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(written, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("deploy/grafana/%s is not what deploy/dashboards makes: run make dashboards", name)
		}
	}
	files, err := os.ReadDir(written)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := all()[f.Name()]; !ok {
			t.Errorf("deploy/grafana/%s is made by nobody", f.Name())
		}
	}
}

// imported is what Grafana reads of a dashboard.
type imported struct {
	UID, Title, Description string
	SchemaVersion           int
	Templating              struct{ List []struct{ Name, Type string } }
	Panels                  []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Datasource               struct{ UID string }
		FieldConfig              struct{ Defaults struct{ Unit string } }
		Targets                  []struct {
			RefID, Expr string
			Datasource  struct{ UID string }
		}
	}
}

var variableUse = regexp.MustCompile(`\$(\w+)`)

func TestEveryPanelSaysWhatItShows(t *testing.T) {
	uids := map[string]string{}
	for name, d := range all() {
		text, err := render(&d)
		if err != nil {
			t.Fatal(err)
		}
		var got imported
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if other := uids[got.UID]; other != "" || got.UID == "" || got.Title == "" || got.Description == "" || got.SchemaVersion != schemaVersion {
			t.Errorf("%s: uid %q (also of %q), title %q, schema %d", name, got.UID, other, got.Title, got.SchemaVersion)
		}
		uids[got.UID] = name
		known := []string{"__rate_interval"}
		for _, v := range got.Templating.List {
			known = append(known, v.Name)
		}
		ids := map[int]bool{}
		for i, p := range got.Panels {
			if ids[p.ID] {
				t.Errorf("%s: panel id %d stands twice", name, p.ID)
			}
			ids[p.ID] = true
			for _, q := range got.Panels[:i] {
				a, b := p.GridPos, q.GridPos
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: %q lies on %q", name, p.Title, q.Title)
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || !strings.HasSuffix(p.Description, ".") || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: panel %q: description %q, unit %q, %d queries, at %v", name, p.Title, p.Description, p.FieldConfig.Defaults.Unit, len(p.Targets), p.GridPos)
			}
			for _, q := range p.Targets {
				if q.Datasource.UID != "${datasource}" || p.Datasource.UID != "${datasource}" {
					t.Errorf("%s: %q asks one data source, not the chosen one", name, p.Title)
				}
				for _, use := range variableUse.FindAllStringSubmatch(q.Expr, -1) {
					if !slices.Contains(known, use[1]) {
						t.Errorf("%s: %q uses $%s, which is no variable of it", name, p.Title, use[1])
					}
				}
			}
		}
	}
}
