package bundle

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"sluice/tracking"
)

// Owner is one run, experiment, logged model, trace, registered model or version.
type Owner struct {
	Class Class
	ID    string // of a version: name/number
}

func (o Owner) String() string {
	words := map[Class]string{ClassModel: "logged model", ClassRegistered: "registered model", ClassVersion: "model version"}
	word := words[o.Class]
	if word == "" {
		word = string(o.Class)
	}
	return word + " " + o.ID
}

// owner returns what a row belongs to; ok is false for rows of tables without By, and for a null.
func (t *Table) owner(row Row) (Owner, bool) {
	switch t.Name {
	case "inputs":
		if row.Text(t, "destination_type") == "RUN" {
			return Owner{ClassRun, row.Text(t, "destination_id")}, true
		}
		return Owner{ClassRun, row.Text(t, "source_id")}, true
	case "entity_associations":
		return Owner{ClassRun, row.Text(t, "destination_id")}, true
	}
	if len(t.By) == 0 {
		return Owner{}, false
	}
	parts := make([]string, len(t.By))
	for i, column := range t.By {
		id, ok := idOf(row[t.Column(column)])
		if !ok {
			return Owner{}, false
		}
		parts[i] = id
	}
	return Owner{t.Of, strings.Join(parts, "/")}, true
}

func idOf(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	}
	return "", false
}

// place is an artifact location that a row names, and whose it is.
type place struct {
	owner Owner
	uri   string
}

// places returns the artifact locations in a row.
func places(t *Table, row Row) []place {
	column := map[string]string{"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}[t.Name]
	o, _ := t.owner(row)
	switch {
	case column != "":
		if uri := row.Text(t, column); uri != "" {
			return []place{{o, uri}}
		}
	case t.Name == "trace_tags" && row.Text(t, "key") == tracking.TraceArtifactTag:
		return []place{{o, row.Text(t, "value")}}
	}
	return nil
}

// files returns where a version's files are: a URI that is not another name for a run's or a logged model's.
func versionURI(t *Table, row Row) string {
	if uri := row.Text(t, "storage_location"); uri != "" {
		return uri
	}
	return row.Text(t, "source")
}

// isReference says whether a URI names a run or a model by its id, which bundles keep.
func isReference(uri string) bool {
	return strings.HasPrefix(uri, "runs:/") || strings.HasPrefix(uri, "models:/")
}

// trim is the spelling of a URI by which roots are found.
func trim(uri string) string { return strings.TrimRight(uri, "/") }

// within returns the innermost root that uri lies in, and the path below it.
func within(byURI map[string]int64, uri string) (root int64, rest string, ok bool) {
	at := trim(uri)
	for {
		if n, ok := byURI[at]; ok {
			return n, rest, true
		}
		i := strings.LastIndexByte(at, '/')
		if i <= 0 || at[i-1] == ':' || at[i-1] == '/' {
			return 0, "", false
		}
		rest = path.Join(at[i+1:], rest)
		at = at[:i]
	}
}

// conflict names what is there already.
func describe(found []Owner, most int) string {
	names := make([]string, 0, most)
	for _, o := range found[:min(most, len(found))] {
		names = append(names, o.String())
	}
	text := strings.Join(names, ", ")
	if more := len(found) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
