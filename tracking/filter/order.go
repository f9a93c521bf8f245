package filter

import (
	"slices"
	"strings"

	"sluice/tracking/mlflow"
)

// ParseOrder reads order_by entries: a field, then ASC (the default) or DESC in any letter case. Returns
// INVALID_PARAMETER_VALUE for what the grammar does not allow, and for one field twice, which only experiments may have.
func (g *Grammar) ParseOrder(entries []string) ([]Order, error) {
	if len(entries) > MaxOrder {
		return nil, mlflow.Invalidf("Invalid order_by: it has %d entries, at most %d are allowed.", len(entries), MaxOrder)
	}
	var out []Order
	for _, entry := range entries {
		o, err := g.parseOrder(entry)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(p Order) bool { return p.Entity == o.Entity && p.Key == o.Key }) {
			if g.kind == experiments {
				continue // the first one decides
			}
			return nil, mlflow.Invalidf("`order_by` contains duplicate fields: ['%s']", shorten(strings.Join(entries, "', '")))
		}
		out = append(out, o)
	}
	return out, nil
}

func (g *Grammar) parseOrder(entry string) (Order, error) {
	unparsed := mlflow.Invalidf("Invalid order_by clause '%s'. Could not be parsed.", shorten(entry))
	if len(entry) > MaxLength {
		return Order{}, unparsed
	}
	l := lexer{text: entry}
	field, direction, end := l.next(), l.next(), l.next()
	if field.kind != wordToken || end.kind != endToken || direction.kind != endToken && direction.kind != wordToken {
		return Order{}, unparsed
	}
	down := direction.is("DESC")
	if direction.kind == wordToken && !down && !direction.is("ASC") {
		return Order{}, mlflow.Invalidf("Invalid ordering key in order_by clause '%s'.", shorten(entry))
	}
	entity, key, err := g.split(field)
	if err != nil {
		return Order{}, err
	}
	if written := unquoteKey(field.parts[len(field.parts)-1]); entity == Attribute && strings.Contains(written, " ") {
		key = written // "run name" is run_name in filters only
	}
	if err := g.checkOrder(entity, key, field.raw); err != nil {
		return Order{}, err
	}
	if g.kind == traces {
		entity, key = stored(entity, key)
	}
	return Order{Entity: entity, Key: key, Descending: down}, nil
}

// checkOrder checks a field of order_by; raw is the field as it is written.
func (g *Grammar) checkOrder(entity Entity, key, raw string) error {
	valid := g.order
	if entity == Attribute && slices.Contains(valid, key) || slices.Contains(g.orderEntities, entity) {
		return nil
	}
	switch {
	case g.kind == registeredModels:
		return mlflow.Invalidf("Invalid order by key '%s' specified. Valid keys are '%s'", shorten(raw), set(g.orderKeys()))
	case g.kind == modelVersions && entity != Attribute:
		return mlflow.Invalidf("Invalid order by key '%s' specified. Valid keys are %s", shorten(key), set(valid))
	case entity == Attribute:
		return mlflow.Invalidf("Invalid attribute key '%s' specified. Valid keys are '%s'", shorten(key), set(g.orderKeys()))
	case g.kind == runs || g.kind == traces:
		return mlflow.Invalidf("Invalid identifier type '%s'", entity)
	}
	return mlflow.Invalidf("Invalid order_by entity: %s", entity)
}
