package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"sluice/registry"
	"sluice/tracking/sqldb"
)

const modelColumns = "m.name, m.creation_time, m.last_updated_time, m.description"

func scanModel(row interface{ Scan(...any) error }) (registry.Model, error) {
	var m registry.Model
	var created, updated sql.NullInt64
	var description sql.NullString
	err := row.Scan(&m.Name, &created, &updated, &description)
	m.CreatedMS, m.UpdatedMS, m.Description = created.Int64, updated.Int64, description.String
	return m, err
}

const versionColumns = `v.name, v.version, v.creation_time, v.last_updated_time, v.description, v.user_id, v.current_stage,
	v.source, v.run_id, v.status, v.status_message, v.run_link, v.storage_location`

func scanVersion(row interface{ Scan(...any) error }) (registry.Version, error) {
	var v registry.Version
	var created, updated sql.NullInt64
	var stage, source, status, message, location sql.NullString
	err := row.Scan(&v.Name, &v.Version, &created, &updated, &v.Description, &v.UserID, &stage,
		&source, &v.RunID, &status, &message, &v.RunLink, &location)
	v.CreatedMS, v.UpdatedMS = created.Int64, updated.Int64
	v.Stage, v.Status = registry.Stage(stage.String), registry.Status(status.String)
	v.Source, v.StorageLocation, v.StatusMessage = source.String, location.String, message.String
	return v, err
}

// collect runs a query and scans every row.
func collect[T any](ctx context.Context, q sqldb.Querier, scan func(interface{ Scan(...any) error }) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// model returns the bare row of a registered model, UnknownModel if there is none.
func (r reader) model(ctx context.Context, name string) (registry.Model, error) {
	m, err := scanModel(r.q.QueryRowContext(ctx, "SELECT "+modelColumns+" FROM registered_models m WHERE m.workspace = ? AND m.name = ?", workspace, name))
	if errors.Is(err, sql.ErrNoRows) {
		return registry.Model{}, registry.UnknownModel(name)
	}
	return m, err
}

// fullModel returns a registered model with tags, aliases and latest versions.
func (r reader) fullModel(ctx context.Context, name string) (registry.Model, error) {
	m, err := r.model(ctx, name)
	if err != nil {
		return registry.Model{}, err
	}
	models := []registry.Model{m}
	err = r.fill(ctx, models)
	return models[0], err
}

// version returns the row of a version with its tags, UnknownVersion if it is not there or deleted.
func (r reader) version(ctx context.Context, name string, version int) (registry.Version, error) {
	v, err := scanVersion(r.q.QueryRowContext(ctx, "SELECT "+versionColumns+` FROM model_versions v
		WHERE v.workspace = ? AND v.name = ? AND v.version = ? AND v.current_stage <> ?`, workspace, name, version, deleted))
	if errors.Is(err, sql.ErrNoRows) {
		return registry.Version{}, registry.UnknownVersion(name, version)
	}
	if err != nil {
		return registry.Version{}, err
	}
	v.Tags, err = collect(ctx, r.q, scanTag, "SELECT "+r.dialect.Quote("key")+`, value FROM model_version_tags
		WHERE workspace = ? AND name = ? AND version = ? ORDER BY 1`, workspace, name, version)
	return v, err
}

// fullVersion returns a version with tags and aliases.
func (r reader) fullVersion(ctx context.Context, name string, version int) (registry.Version, error) {
	v, err := r.version(ctx, name, version)
	if err != nil {
		return registry.Version{}, err
	}
	aliases, err := r.aliases(ctx, name)
	v.Aliases = aliasesOf(aliases, version)
	return v, err
}

// latest returns the highest version of each stage, the stage of the lowest version first, with tags and without aliases.
func (r reader) latest(ctx context.Context, names []string) ([]registry.Version, error) {
	in := sqldb.Placeholders(len(names))
	args := append([]any{workspace, deleted}, anys(names)...)
	return r.versionsWithTags(ctx, `SELECT * FROM (SELECT w.*,
			MAX(w.version) OVER (PARTITION BY w.name, w.current_stage) AS newest,
			MIN(w.version) OVER (PARTITION BY w.name, w.current_stage) AS oldest
			FROM model_versions w WHERE w.workspace = ? AND w.current_stage <> ? AND w.name IN (`+in+`)) a
		WHERE a.version = a.newest`, "v.name, v.oldest", args)
}

// versionsWithTags reads the versions that inner selects (whole rows of model_versions and whatever order names) and their tags.
func (r reader) versionsWithTags(ctx context.Context, inner, order string, args []any) ([]registry.Version, error) {
	versions, err := collect(ctx, r.q, scanVersion, "SELECT "+versionColumns+" FROM ("+inner+") v ORDER BY "+order, args...)
	if err != nil || len(versions) == 0 {
		return versions, err
	}
	return versions, r.addTags(ctx, inner, versions, args)
}

// addTags reads the tags of versions, which inner selects, perhaps with others.
func (r reader) addTags(ctx context.Context, inner string, versions []registry.Version, args []any) error {
	if len(versions) == 0 {
		return nil
	}
	type place struct {
		name    string
		version int
	}
	at := make(map[place]int, len(versions))
	for i, v := range versions {
		at[place{v.Name, v.Version}] = i
	}
	rows, err := r.q.QueryContext(ctx, "SELECT v.name, v.version, t."+r.dialect.Quote("key")+", t.value FROM ("+inner+`) v
		JOIN model_version_tags t ON t.workspace = v.workspace AND t.name = v.name AND t.version = v.version
		ORDER BY t.`+r.dialect.Quote("key"), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p place
		var tag registry.Tag
		var value sql.NullString
		if err := rows.Scan(&p.name, &p.version, &tag.Key, &value); err != nil {
			return err
		}
		tag.Value = value.String
		if i, ok := at[p]; ok {
			versions[i].Tags = append(versions[i].Tags, tag)
		}
	}
	return rows.Err()
}

// fill adds tags, aliases and latest versions to the models, with a fixed number of reads.
func (r reader) fill(ctx context.Context, models []registry.Model) error {
	if len(models) == 0 {
		return nil
	}
	names := make([]string, len(models))
	at := make(map[string]*registry.Model, len(models))
	for i := range models {
		names[i] = models[i].Name
		at[names[i]] = &models[i]
	}
	args := append([]any{workspace}, anys(names)...)
	where := " WHERE workspace = ? AND name IN (" + sqldb.Placeholders(len(names)) + ") ORDER BY 2"
	tags, err := collect(ctx, r.q, scanNamedTag, "SELECT name, "+r.dialect.Quote("key")+", value FROM registered_model_tags"+where, args...)
	if err != nil {
		return err
	}
	for _, t := range tags {
		m := named(at, t.model)
		m.Tags = append(m.Tags, t.tag)
	}
	aliases, err := collect(ctx, r.q, scanNamedAlias, "SELECT name, alias, version FROM registered_model_aliases"+where, args...)
	if err != nil {
		return err
	}
	for _, a := range aliases {
		m := named(at, a.model)
		m.Aliases = append(m.Aliases, a.alias)
	}
	versions, err := r.latest(ctx, names)
	for _, v := range versions {
		m := named(at, v.Name)
		m.Latest = append(m.Latest, v)
	}
	return err
}

// named returns the registered model that a row belongs to. Where the database ignores letter case, rows of a registered model
// may write its name in another one.
func named(at map[string]*registry.Model, name string) *registry.Model {
	if m := at[name]; m != nil {
		return m
	}
	for other, m := range at {
		if strings.EqualFold(other, name) {
			return m
		}
	}
	return &registry.Model{} // unreachable but for letters that the database folds and we do not: the row is left out
}

// aliases returns the aliases of one registered model, sorted.
func (r reader) aliases(ctx context.Context, name string) ([]registry.Alias, error) {
	named, err := collect(ctx, r.q, scanNamedAlias, "SELECT name, alias, version FROM registered_model_aliases WHERE workspace = ? AND name = ? ORDER BY 2", workspace, name)
	out := make([]registry.Alias, len(named))
	for i, a := range named {
		out[i] = a.alias
	}
	return out, err
}

// isPrompt says whether the registered model is a prompt.
func (r reader) isPrompt(ctx context.Context, name string) (bool, error) {
	var n int
	err := r.q.QueryRowContext(ctx, "SELECT COUNT(*) FROM registered_model_tags WHERE workspace = ? AND "+r.dialect.Quote("key")+` = ?
		AND name = ? AND LOWER(value) = 'true'`, workspace, registry.PromptTag, name).Scan(&n)
	return n > 0, err
}

func aliasesOf(aliases []registry.Alias, version int) []string {
	var out []string
	for _, a := range aliases {
		if a.Version == version {
			out = append(out, a.Name)
		}
	}
	slices.Sort(out)
	return out
}

func scanTag(row interface{ Scan(...any) error }) (registry.Tag, error) {
	var t registry.Tag
	var value sql.NullString
	err := row.Scan(&t.Key, &value)
	t.Value = value.String
	return t, err
}

type namedTag struct {
	model string
	tag   registry.Tag
}

func scanNamedTag(row interface{ Scan(...any) error }) (namedTag, error) {
	var t namedTag
	var value sql.NullString
	err := row.Scan(&t.model, &t.tag.Key, &value)
	t.tag.Value = value.String
	return t, err
}

type namedAlias struct {
	model string
	alias registry.Alias
}

func scanNamedAlias(row interface{ Scan(...any) error }) (namedAlias, error) {
	var a namedAlias
	err := row.Scan(&a.model, &a.alias.Name, &a.alias.Version)
	return a, err
}

func anys[T any](in []T) []any {
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = v
	}
	return out
}
