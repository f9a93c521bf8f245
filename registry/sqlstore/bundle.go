package sqlstore

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"sluice/registry"
	"sluice/tracking/bundle"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqlbundle"
	"sluice/tracking/sqldb"
)

// ExportModel emits the rows of a registered model, of one commit; deleted versions are left out. It returns the runs and logged models that
// the versions came from. Returns RESOURCE_DOES_NOT_EXIST.
func (s *Store) ExportModel(ctx context.Context, name string, emit bundle.Emit) (runs, models []string, err error) {
	err = s.read(ctx, func(r reader) error {
		if _, err := r.model(ctx, name); err != nil {
			return err
		}
		versions := map[int64]bool{}
		for _, t := range bundle.Tables() {
			if !t.Registry {
				continue
			}
			and, args := "t.workspace = ?", []any{workspace}
			if t.Name == "model_versions" {
				and, args = and+" AND t.current_stage <> ?", append(args, deleted)
			}
			err := sqlbundle.Select(ctx, s.db, r.q, t, "name", []string{name}, and, args, func(t *bundle.Table, row bundle.Row) error {
				row[t.Column("name")] = name // as it was asked for, where the database ignores letter case
				version := row.Int(t, "version")
				if t.Name == "model_versions" {
					versions[version] = true
					runs, models = refs(t, row, runs, models)
				} else if t.Column("version") >= 0 && !versions[version] {
					return nil
				}
				return emit(t, row)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return runs, models, err
}

// refs adds the run and the logged model that a version came from.
func refs(t *bundle.Table, row bundle.Row, runs, models []string) ([]string, []string) {
	if run := row.Text(t, "run_id"); run != "" {
		runs = append(runs, run)
	}
	source := row.Text(t, "source")
	if rest, ok := strings.CutPrefix(source, "runs:/"); ok {
		id, _, _ := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		runs = append(runs, id)
	}
	for _, uri := range []string{source, row.Text(t, "storage_location")} {
		for segment := range strings.SplitSeq(uri, "/") { // models:/m-…, and …/models/m-…/artifacts
			if strings.HasPrefix(segment, "m-") {
				models = append(models, segment)
			}
		}
	}
	return runs, models
}

// PlanBundle tells p what of the registry's share of c is there already.
func (s *Store) PlanBundle(ctx context.Context, q sqldb.Querier, c *bundle.Contents, p *bundle.Plan) error {
	r := reader{q, s.db.Dialect()}
	for _, name := range c.Owners(bundle.ClassRegistered) {
		numbers, err := collect(ctx, q, scanText, "SELECT version FROM model_versions WHERE workspace = ? AND name = ?", workspace, name)
		if err != nil {
			return err
		}
		var found []string
		for _, version := range c.Owners(bundle.ClassVersion) {
			of, number, _ := cutVersion(version)
			if of == name && slices.Contains(numbers, number) {
				found = append(found, version)
			}
		}
		if err := p.Found(bundle.ClassVersion, found); err != nil {
			return err
		}
		if _, err := r.model(ctx, name); err == nil {
			p.FoundRegistered(name)
		} else if mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
			return err
		}
	}
	return nil
}

func cutVersion(id string) (name, number string, ok bool) {
	i := strings.LastIndexByte(id, '/')
	if i < 0 {
		return "", "", false
	}
	return id[:i], id[i+1:], true
}

// ImportBundle writes the registry's share of c inside tx, at one time, and returns its events, which become known with the commit.
func (s *Store) ImportBundle(ctx context.Context, tx *sqldb.Tx, c *bundle.Contents, p *bundle.Plan) ([]registry.Event, error) {
	if len(c.Owners(bundle.ClassRegistered)) == 0 {
		return nil, nil
	}
	if err := tx.Lock(ctx, "registry"); err != nil {
		return nil, err
	}
	if err := s.PlanBundle(ctx, tx, c, p); err != nil {
		return nil, err
	}
	w := &writer{reader: reader{tx, s.db.Dialect()}, at: c.NowMS}
	prompts, err := promptsIn(c)
	if err != nil {
		return nil, err
	}
	for _, t := range bundle.Tables() {
		if !t.Registry {
			continue
		}
		if err := s.importTable(ctx, tx, w, c, p, t); err != nil {
			return nil, err
		}
	}
	for i := range w.events {
		w.events[i].Prompt = prompts[w.events[i].Model]
	}
	if err := w.flush(ctx); err != nil {
		return nil, err
	}
	return w.events, nil
}

// promptsIn returns the names of registered models that are prompts.
func promptsIn(c *bundle.Contents) (map[string]bool, error) {
	out := map[string]bool{}
	t := c.Table("registered_model_tags")
	for row, err := range c.Rows(t) {
		if err != nil {
			return nil, err
		}
		if row.Text(t, "key") == registry.PromptTag && strings.EqualFold(row.Text(t, "value"), "true") {
			out[row.Text(t, "name")] = true
		}
	}
	return out, nil
}

func (s *Store) importTable(ctx context.Context, tx *sqldb.Tx, w *writer, c *bundle.Contents, p *bundle.Plan, t *bundle.Table) error {
	in := sqlbundle.NewInserter(tx, s.db, t, mergeKeys[t.Name], "workspace", workspace)
	return in.Import(ctx, c, p, func(row bundle.Row) (keep bool, err error) {
		switch t.Name {
		case "registered_model_aliases":
			keep, err = w.aliasIsFree(ctx, c, t, row)
		case "registered_models":
			keep = !p.IsRegistered(row.Text(t, "name"))
		default:
			keep = true
		}
		if err == nil && keep {
			w.imported(t, row)
		}
		return keep, err
	})
}

// mergeKeys are the keys of tables whose rows may be there already, at a registered model that was.
var mergeKeys = map[string][]string{"registered_model_tags": {"workspace", "key", "name"}}

// aliasIsFree says whether an alias is to be written. Returns RESOURCE_ALREADY_EXISTS for one that names another version here, unless what is
// there is to be left alone.
func (w *writer) aliasIsFree(ctx context.Context, c *bundle.Contents, t *bundle.Table, row bundle.Row) (bool, error) {
	name, alias := row.Text(t, "name"), row.Text(t, "alias")
	here, err := collect(ctx, w.q, scanText, "SELECT version FROM registered_model_aliases WHERE workspace = ? AND name = ? AND alias = ?", workspace, name, alias)
	if err != nil || len(here) == 0 {
		return err == nil, err
	}
	if c.SkipExisting || here[0] == strconv.FormatInt(row.Int(t, "version"), 10) {
		return false, nil
	}
	return false, mlflow.Errorf(mlflow.ResourceAlreadyExists, "The alias %s of %s names version %s here: delete it, or import with skip-existing, which leaves it as it is.", mlflow.Repr(alias), mlflow.Repr(name), here[0])
}

// imported notes the events that a row stands for. Webhooks are not told: what they would hear of was done elsewhere, long ago.
func (w *writer) imported(t *bundle.Table, row bundle.Row) {
	e := registry.Event{Model: row.Text(t, "name")}
	switch t.Name {
	case "registered_models":
		e.Kind = registry.ModelCreated
		w.note(e)
	case "model_versions":
		e.Kind, e.Version, e.To = registry.VersionCreated, int(row.Int(t, "version")), registry.StageNone
		w.note(e)
		if stage := registry.Stage(row.Text(t, "current_stage")); stage != registry.StageNone && stage != "" {
			w.note(registry.Event{Kind: registry.VersionStaged, Model: e.Model, Version: e.Version, From: registry.StageNone, To: stage})
		}
	case "registered_model_aliases":
		e.Kind, e.Version, e.Alias = registry.AliasSet, int(row.Int(t, "version")), row.Text(t, "alias")
		w.note(e)
	}
}
