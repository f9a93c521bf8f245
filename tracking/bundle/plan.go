package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// Target is where an experiment of a bundle goes.
type Target struct {
	ID       int64 // 0 is an id, too; Made tells whether it is known yet
	Location string
	// Exists says that an experiment of that name was there; else the import makes one.
	Exists bool
}

// Plan maps a bundle to a server: what goes where, what is left alone. A Store makes one with NewPlan, tells it what it found, and asks
// it for each row.
type Plan struct {
	c           *Contents
	Experiments map[int64]Target // by the id at the source
	skip        map[Owner]bool
	exists      map[Owner]bool // registered models that take more versions
	datasets    map[string]string
	written     map[string]int64
}

// NewPlan returns a plan in which nothing was found yet.
func NewPlan(c *Contents) *Plan {
	return &Plan{c, map[int64]Target{}, map[Owner]bool{}, map[Owner]bool{}, map[string]string{}, map[string]int64{}}
}

// Found tells of things that are there already. Returns RESOURCE_ALREADY_EXISTS unless they are to be skipped.
func (p *Plan) Found(class Class, ids []string) error {
	found := make([]Owner, len(ids))
	for i, id := range ids {
		found[i] = Owner{class, id}
		p.skip[found[i]] = true
	}
	if len(found) == 0 || p.c.SkipExisting {
		return nil
	}
	return mlflow.Errorf(mlflow.ResourceAlreadyExists, "There already: %s. Delete it for good (sluice gc) or import with skip-existing, which leaves it as it is.", describe(found, 5))
}

// FoundRegistered tells that a registered model is there; it takes further versions.
func (p *Plan) FoundRegistered(name string) { p.exists[Owner{ClassRegistered, name}] = true }

// Dataset tells that a dataset of the bundle is known here by another id.
func (p *Plan) Dataset(source, here string) { p.datasets[source] = here }

// Wrote counts rows for the report.
func (p *Plan) Wrote(t *Table, rows int64) { p.written[t.Name] += rows }

// IsRegistered says whether a registered model of that name is there: what it has wins.
func (p *Plan) IsRegistered(name string) bool { return p.exists[Owner{ClassRegistered, name}] }

// Map returns the row as it is written here, and false for one that is left out because its owner is there already. The row is changed.
func (p *Plan) Map(t *Table, row Row) (Row, bool, error) {
	o, ok := t.owner(row)
	if t.Name == "input_tags" {
		o, ok = p.c.inputs[row.Text(t, "input_uuid")], true
	}
	if ok && p.skip[o] {
		return nil, false, nil
	}
	if i := t.Column("experiment_id"); i >= 0 && row[i] != nil {
		target, ok := p.Experiments[row[i].(int64)]
		if !ok {
			return nil, false, broken("a row of %s names an experiment that is not in it.", t.Name)
		}
		row[i] = target.ID
	}
	if err := p.mapURIs(t, row); err != nil {
		return nil, false, err
	}
	p.mapDatasets(t, row)
	return row, true, nil
}

func (p *Plan) mapDatasets(t *Table, row Row) {
	column := map[string]string{"inputs": "source_id", "logged_model_metrics": "dataset_uuid", "datasets": "dataset_uuid"}[t.Name]
	if column == "" || t.Name == "inputs" && row.Text(t, "source_type") != "DATASET" {
		return
	}
	if here, ok := p.datasets[row.Text(t, column)]; ok {
		row[t.Column(column)] = here
	}
}

func (p *Plan) mapURIs(t *Table, row Row) error {
	columns := map[string][]string{
		"runs": {"artifact_uri"}, "logged_models": {"artifact_location"}, "model_versions": {"source", "storage_location"},
	}[t.Name]
	if t.Name == "trace_tags" && row.Text(t, "key") == tracking.TraceArtifactTag {
		columns = []string{"value"}
	}
	for _, column := range columns {
		uri := row.Text(t, column)
		if uri == "" || isReference(uri) && t.Name == "model_versions" {
			continue
		}
		here, err := p.uri(t, row, uri)
		if err != nil {
			return err
		}
		row[t.Column(column)] = here
	}
	return nil
}

// uri rewrites a location: the owner's own root first, then whatever root it lies in; others are kept if a client might have chosen them.
func (p *Plan) uri(t *Table, row Row, uri string) (string, error) {
	o, _ := t.owner(row)
	if n, ok := p.c.byOwner[o]; ok && trim(p.c.roots[n].URI) == trim(uri) {
		return p.URI(n)
	}
	if n, rest, ok := within(p.c.byURI, uri); ok && t.Name == "model_versions" {
		base, err := p.URI(n)
		if err != nil || rest == "" {
			return base, err
		}
		return strings.TrimSuffix(base, "/") + "/" + rest, nil
	}
	if err := p.c.CheckLocation(uri); err != nil {
		return "", fmt.Errorf("the artifact location of %s: %w", o, err)
	}
	return uri, nil
}

// URI returns where a root is here.
func (p *Plan) URI(n int64) (string, error) {
	root := p.c.roots[n]
	if root.Class == ClassVersion {
		i := strings.LastIndexByte(root.ID, '/')
		sum := sha256.Sum256([]byte(root.ID[:max(i, 0)]))
		return strings.TrimSuffix(p.c.DefaultLocation("versions"), "/") + "/" + hex.EncodeToString(sum[:8]) + "/" + root.ID[i+1:], nil
	}
	target, ok := p.Experiments[p.c.experimentOf[Owner{root.Class, root.ID}]]
	if !ok {
		return "", broken("the root %d belongs to nothing in it.", n)
	}
	switch root.Class {
	case ClassRun:
		return tracking.RunLocation(target.Location, root.ID), nil
	case ClassModel:
		return tracking.ModelLocation(target.Location, root.ID), nil
	case ClassTrace:
		return tracking.TraceLocation(target.Location, root.ID), nil
	}
	return target.Location, nil
}

// Skips says whether the files of a root are left out because their owner is there already.
func (p *Plan) Skips(n int64) bool {
	root := p.c.roots[n]
	return p.skip[Owner{root.Class, root.ID}]
}

// report sums the plan up after the import.
func (p *Plan) report() Report {
	r := Report{Kind: p.c.Manifest.Kind, ID: p.c.Manifest.ID, Rows: p.written, Experiments: map[string]string{}, Foreign: p.c.Manifest.Foreign}
	for from, to := range p.Experiments {
		r.Experiments[strconv.FormatInt(from, 10)] = strconv.FormatInt(to.ID, 10)
		if !to.Exists {
			r.Made = append(r.Made, strconv.FormatInt(to.ID, 10))
		}
	}
	slices.Sort(r.Made)
	for o := range p.skip {
		r.Skipped = append(r.Skipped, o)
	}
	slices.SortFunc(r.Skipped, func(a, b Owner) int { return strings.Compare(string(a.Class)+a.ID, string(b.Class)+b.ID) })
	r.SkippedAll = len(r.Skipped)
	r.Skipped = r.Skipped[:min(len(r.Skipped), 1000)]
	return r
}
