package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"sluice/registry"
	"sluice/tracking/filter"
	"sluice/tracking/page"
	"sluice/tracking/sqldb"
)

// SearchModels implements registry.ModelReader.
func (s *Store) SearchModels(ctx context.Context, q registry.Search) (found page.Found[registry.Model], err error) {
	b := &builder{
		dialect: s.db.Dialect(), tags: "registered_model_tags",
		attributes: map[string]string{"name": "v.name"},
		orders:     map[string]string{"name": "v.name", "timestamp": "v.last_updated_time", "last_updated_timestamp": "v.last_updated_time"},
	}
	if err := b.build(q); err != nil {
		return found, err
	}
	query := sqldb.PageQuery{Columns: strings.ReplaceAll(modelColumns, "m.", "v."), From: "registered_models v", Where: b.condition(), WhereArgs: b.args,
		Keys: b.order(q.Order, nameKey), After: q.After, Limit: q.Limit}
	err = s.read(ctx, func(r reader) error {
		found, err = sqldb.ReadPage(ctx, r.q, query, func(row *sqldb.Row) (registry.Model, error) { return scanModel(row) })
		if err != nil {
			return err
		}
		return r.fill(ctx, found.Rows)
	})
	return found, err
}

// SearchVersions implements registry.VersionReader.
func (s *Store) SearchVersions(ctx context.Context, q registry.Search) (found page.Found[registry.Version], err error) {
	b := &builder{
		dialect: s.db.Dialect(), tags: "model_version_tags", perVersion: true,
		attributes: map[string]string{"name": "v.name", "version_number": "v.version", "run_id": "v.run_id", "source_path": "v.source"},
		orders: map[string]string{"name": "v.name", "version_number": "v.version", "creation_timestamp": "v.creation_time",
			"last_updated_timestamp": "v.last_updated_time"},
	}
	if err := b.build(q); err != nil {
		return found, err
	}
	b.add("v.current_stage <> ?", deleted)
	order := b.order(q.Order, nameKey, sqldb.SortKey{Expr: "v.version", Desc: true, NotNull: true})
	after, args, err := order.After(q.After)
	if err != nil {
		return found, err
	}
	if after != "" {
		b.add(after, args...)
	}
	inner := "SELECT v.* FROM model_versions v WHERE " + b.condition() + " ORDER BY " + order.OrderBy() + " LIMIT ?"
	innerArgs := append(b.args, q.Limit+1)
	err = s.read(ctx, func(r reader) error {
		query := "SELECT " + versionColumns + ", " + order.Columns() + " FROM (" + inner + ") v ORDER BY " + order.OrderBy()
		found, err = sqldb.Page(ctx, r.q, order, q.Limit, func(row *sqldb.Row) (registry.Version, error) { return scanVersion(row) }, query, innerArgs...)
		if err != nil {
			return err
		}
		return r.addTags(ctx, inner, found.Rows, innerArgs)
	})
	return found, err
}

// nameKey sorts by name.
var nameKey = sqldb.SortKey{Expr: "v.name", Kind: sqldb.TextKey, NotNull: true}

// builder turns a Search into SQL over one table, which it calls v.
type builder struct {
	dialect    sqldb.Dialect
	tags       string            // table of the tags
	perVersion bool              // tags belong to versions
	attributes map[string]string // attribute of the grammar → column
	orders     map[string]string // order key of the grammar → column
	where      []string
	args       []any
}

// build collects the conditions of a search.
func (b *builder) build(q registry.Search) error {
	b.add("v.workspace = ?", workspace)
	var tags []filter.Clause
	for _, c := range q.Clauses() {
		if c.Entity == filter.Tag {
			tags = append(tags, c)
			continue
		}
		if err := b.attribute(c); err != nil {
			return err
		}
	}
	if err := b.allTags(tags); err != nil {
		return err
	}
	if !q.WantsPrompts() {
		b.add("NOT EXISTS (SELECT 1 FROM "+b.tags+" p WHERE p.workspace = v.workspace AND p."+b.dialect.Quote("key")+
			" = ? AND p.value = 'true' AND p.name = v.name)", registry.PromptTag)
	}
	return nil
}

// condition returns the conditions joined by AND.
func (b *builder) condition() string { return strings.Join(b.where, " AND ") }

func (b *builder) add(condition string, args ...any) {
	b.where = append(b.where, condition)
	b.args = append(b.args, args...)
}

func (b *builder) attribute(c filter.Clause) error {
	column, ok := b.attributes[c.Key]
	if !ok || c.Entity != filter.Attribute {
		return fmt.Errorf("no column for %s", c)
	}
	condition, args, err := b.compare(column, c)
	if err != nil {
		return err
	}
	b.add(condition, args...)
	return nil
}

// allTags asks for one tag for each key, which meets every clause about that key.
func (b *builder) allTags(clauses []filter.Clause) error {
	var keys []string
	byKey := map[string][]filter.Clause{}
	for _, c := range clauses {
		if byKey[c.Key] == nil {
			keys = append(keys, c.Key)
		}
		byKey[c.Key] = append(byKey[c.Key], c)
	}
	for _, key := range keys {
		conditions := []string{"t.workspace = v.workspace", "t." + b.dialect.Quote("key") + " = ?", "t.name = v.name"}
		args := []any{key}
		if b.perVersion {
			conditions = append(conditions, "t.version = v.version")
		}
		for _, c := range byKey[key] {
			condition, more, err := b.compare("t.value", c)
			if err != nil {
				return err
			}
			conditions = append(conditions, condition)
			args = append(args, more...)
		}
		b.add("EXISTS (SELECT 1 FROM "+b.tags+" t WHERE "+strings.Join(conditions, " AND ")+")", args...)
	}
	return nil
}

// compare returns the condition that the column meets the clause.
func (b *builder) compare(column string, c filter.Clause) (string, []any, error) {
	switch text := c.Value.Kind == filter.Text; {
	case text && c.Op == filter.Equal:
		condition, args := b.dialect.Equal(column, c.Value.Text)
		return condition, args, nil
	case text && c.Op == filter.NotEqual:
		condition, args := b.dialect.NotEqual(column, c.Value.Text)
		return condition, args, nil
	}
	switch c.Op {
	case filter.Equal, filter.NotEqual, filter.Less, filter.LessOrEqual, filter.Greater, filter.GreaterOrEqual:
		return column + " " + string(c.Op) + " ?", []any{literal(c.Value)}, nil
	case filter.Like:
		return b.dialect.Like(column), []any{c.Value.Text}, nil
	case filter.ILike:
		return b.dialect.ILike(column), []any{c.Value.Text}, nil
	case filter.In, filter.NotIn:
		return b.dialect.Exact(column) + " " + string(c.Op) + " (" + sqldb.Placeholders(len(c.Value.List)) + ")", anys(c.Value.List), nil
	}
	return "", nil, fmt.Errorf("no SQL for %s", c)
}

func literal(v filter.Value) any {
	switch v.Kind {
	case filter.Integer:
		return v.Int
	case filter.Float:
		return v.Num
	}
	return v.Text
}

// order returns the sort keys: those asked for, then the fixed ones whose column was not named.
func (b *builder) order(asked []filter.Order, fixed ...sqldb.SortKey) sqldb.Keyset {
	out := sqldb.Keyset{Dialect: b.dialect}
	named := map[string]bool{}
	add := func(key sqldb.SortKey) {
		if !named[key.Expr] {
			named[key.Expr] = true
			out.Keys = append(out.Keys, key)
		}
	}
	for _, o := range asked {
		column, ok := b.orders[o.Key]
		switch {
		case !ok:
		case column == nameKey.Expr:
			add(sqldb.SortKey{Expr: column, Kind: sqldb.TextKey, Desc: o.Descending, NotNull: true})
		default:
			add(sqldb.SortKey{Expr: column, Desc: o.Descending, NotNull: column == "v.version"})
		}
	}
	for _, key := range fixed {
		add(key)
	}
	return out
}
