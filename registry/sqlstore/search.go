package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"sluice/registry"
	"sluice/tracking/filter"
	"sluice/tracking/sqldb"
)

// SearchModels implements registry.ModelReader.
func (s *Store) SearchModels(ctx context.Context, q registry.Search) (models []registry.Model, err error) {
	b := &builder{
		dialect: s.db.Dialect(), tags: "registered_model_tags",
		attributes: map[string]string{"name": "v.name"},
		orders:     map[string]string{"name": "v.name", "timestamp": "v.last_updated_time", "last_updated_timestamp": "v.last_updated_time"},
	}
	query, args, err := b.build(q, "registered_models")
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, func(r reader) error {
		order := b.order(q.Order, "v.name ASC")
		models, err = collect(ctx, r.q, scanModel, "SELECT "+modelColumns+" FROM ("+query+" ORDER BY "+order+" LIMIT ? OFFSET ?) m ORDER BY "+
			strings.ReplaceAll(order, "v.", "m."), append(args, q.Limit, q.Offset)...)
		if err != nil {
			return err
		}
		return r.fill(ctx, models)
	})
	return models, err
}

// SearchVersions implements registry.VersionReader.
func (s *Store) SearchVersions(ctx context.Context, q registry.Search) (versions []registry.Version, err error) {
	b := &builder{
		dialect: s.db.Dialect(), tags: "model_version_tags", perVersion: true,
		attributes: map[string]string{"name": "v.name", "version_number": "v.version", "run_id": "v.run_id", "source_path": "v.source"},
		orders: map[string]string{"name": "v.name", "version_number": "v.version", "creation_timestamp": "v.creation_time",
			"last_updated_timestamp": "v.last_updated_time"},
	}
	query, args, err := b.build(q, "model_versions")
	if err != nil {
		return nil, err
	}
	order := b.order(q.Order, "v.name ASC", "v.version DESC")
	query += " AND v.current_stage <> ? ORDER BY " + order + " LIMIT ? OFFSET ?"
	args = append(args, deleted, q.Limit, q.Offset)
	err = s.read(ctx, func(r reader) error {
		versions, err = r.versionsWithTags(ctx, query, order, args)
		return err
	})
	return versions, err
}

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

// build returns "SELECT v.* FROM table v WHERE …" and its arguments.
func (b *builder) build(q registry.Search, table string) (string, []any, error) {
	b.add("v.workspace = ?", workspace)
	var tags []filter.Clause
	for _, c := range q.Clauses() {
		if c.Entity == filter.Tag {
			tags = append(tags, c)
			continue
		}
		if err := b.attribute(c); err != nil {
			return "", nil, err
		}
	}
	if err := b.allTags(tags); err != nil {
		return "", nil, err
	}
	if !q.WantsPrompts() {
		b.add("NOT EXISTS (SELECT 1 FROM "+b.tags+" p WHERE p.workspace = v.workspace AND p."+b.dialect.Quote("key")+
			" = ? AND p.value = 'true' AND p.name = v.name)", registry.PromptTag)
	}
	return "SELECT v.* FROM " + table + " v WHERE " + strings.Join(b.where, " AND "), b.args, nil
}

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

// order returns the ORDER BY terms: those asked for, then the fixed ones whose column was not named.
func (b *builder) order(asked []filter.Order, fixed ...string) string {
	var terms []string
	named := map[string]bool{}
	for _, o := range asked {
		column, ok := b.orders[o.Key]
		if !ok || named[column] {
			continue
		}
		named[column] = true
		if o.Descending {
			terms = append(terms, column+" DESC")
		} else {
			terms = append(terms, column+" ASC")
		}
	}
	for _, f := range fixed {
		if column, _, _ := strings.Cut(f, " "); !named[column] {
			terms = append(terms, f)
		}
	}
	return strings.Join(terms, ", ")
}
