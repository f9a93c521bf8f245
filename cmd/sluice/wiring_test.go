package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLocalFoldersThatLocationsMayName(t *testing.T) {
	old := t.TempDir()
	cases := map[string]struct {
		root    string
		further []string
		want    []string
		refused string // part of the error
	}{
		"the proxy":             {root: "mlflow-artifacts:/", want: []string{"/d"}},
		"the proxy by URL":      {root: "http://h:5000/api/2.0/mlflow-artifacts/artifacts", want: []string{"/d"}},
		"another URL":           {root: "http://h:5000/artifacts", refused: "--default-artifact-root"},
		"a folder":              {root: "file:///srv/my%20runs", want: []string{"/d", "/srv/my runs"}},
		"a bucket":              {root: "s3://bucket/runs", refused: "--default-artifact-root"},
		"a database taken over": {root: "mlflow-artifacts:/", further: []string{old, "file://" + old}, want: []string{"/d", old, old}},
		"not there":             {root: "mlflow-artifacts:/", further: []string{filepath.Join(old, "no")}, refused: "--artifact-folders"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := App{cfg: Config{DefaultArtifactRoot: c.root, ArtifactFolders: c.further}}
			got, err := a.localFolders("/d")
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %v, want an error with %q", err, c.refused)
				}
				return
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %v (%v), want %v", got, err, c.want)
			}
		})
	}
}
