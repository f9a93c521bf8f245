package filter

import (
	"slices"
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
	"sluice/tracking/pyjson"
)

// value reads the right side of a clause as the type of its field; written is the key as the client wrote it.
func (g *Grammar) value(c Clause, written string, t token) (Value, error) {
	if g.kind == loggedModels {
		return g.loggedModelValue(c, t)
	}
	switch c.Entity {
	case Metric:
		if t.kind != numberToken {
			return Value{}, illTyped("Expected numeric value type for metric. Found", t.raw)
		}
		return asFloat(parseNumber(t.raw)), nil
	case Param, Tag:
		if t.isText() {
			return quotedValue(t)
		}
		return Value{}, illTyped("Expected a quoted string value for %s (e.g. 'my-value'). Got value", t.raw, c.Entity)
	case Dataset:
		if t.kind == listToken {
			return listValue(t.raw)
		}
		if t.isText() {
			return quotedValue(t)
		}
		return Value{}, illTyped("Expected a quoted string value for dataset attributes. Got value", t.raw)
	}
	if slices.Contains(g.numeric, c.Key) {
		return g.numericValue(written, t)
	}
	return g.textValue(c.Key, t)
}

func (g *Grammar) numericValue(key string, t token) (Value, error) {
	if text, ok := t.quoted(); ok && g.kind == modelVersions {
		i, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return Value{}, mlflow.Invalidf("Invalid value for numeric attribute '%s': %s", key, mlflow.Repr(shorten(text)))
		}
		return Value{Kind: Integer, Int: i, Num: float64(i)}, nil
	}
	if t.kind == listToken && g.kind == modelVersions {
		return Value{}, mlflow.Invalidf("Only ['%s'] attributes support comparison with a list of quoted string values.", strings.Join(g.lists, "', '"))
	}
	if t.kind != numberToken {
		return Value{}, illTyped("Expected numeric value type for numeric attribute: %s. Found", t.raw, key)
	}
	v := parseNumber(t.raw)
	if v.Kind == Float && g.kind == experiments {
		return Value{}, mlflow.Invalidf("Invalid value for numeric attribute '%s': '%s'", key, pyjson.AppendFloat(nil, v.Num))
	}
	if v.Kind == Float && g.kind != runs {
		return Value{}, mlflow.Invalidf("Invalid value for numeric attribute '%s': %s", key, shorten(t.raw))
	}
	return v, nil
}

func (g *Grammar) textValue(key string, t token) (Value, error) {
	v, err := g.plainTextValue(key, t)
	if err != nil || g.kind != experiments || key != "experiment_id" {
		return v, err
	}
	for _, id := range append(slices.Clone(v.List), v.Text) {
		if _, err := strconv.ParseInt(id, 10, 64); err != nil && (v.Kind == Text || id != "") {
			return Value{}, mlflow.Invalidf("Invalid experiment ID '%s'. Experiment ID must be a valid integer.", shorten(id))
		}
	}
	return v, nil
}

func (g *Grammar) plainTextValue(key string, t token) (Value, error) {
	switch {
	case t.isText():
		return quotedValue(t)
	case t.kind == listToken:
		if !slices.Contains(g.lists, key) {
			return Value{}, mlflow.Invalidf("Only ['%s'] attributes support comparison with a list of quoted string values.", strings.Join(g.lists, "', '"))
		}
		return listValue(t.raw)
	}
	switch g.kind {
	case modelVersions:
		return Value{}, mlflow.Invalidf("Only the '%s' attributes support comparison with numeric values.",
			set([]string{"version_number", "creation_timestamp", "last_updated_timestamp"}))
	case registeredModels:
		return Value{}, illTyped("Expected a quoted string value or a list of quoted string values for attributes. Got value", t.raw)
	}
	return Value{}, illTyped("Expected a quoted string value for attributes. Got value", t.raw)
}

// loggedModelValue reads a value for logged models, whose texts may stand without quotes.
func (g *Grammar) loggedModelValue(c Clause, t token) (Value, error) {
	if c.Entity == Metric || c.Entity == Attribute && slices.Contains(g.numeric, c.Key) {
		if t.kind != numberToken {
			return Value{}, mlflow.Invalidf("could not convert string to float: %s", mlflow.Repr(shorten(t.raw)))
		}
		if v := parseNumber(t.raw); c.Entity == Attribute {
			return v, nil
		} else {
			return asFloat(v), nil
		}
	}
	if t.kind == listToken {
		return listValue(t.raw)
	}
	if text, ok := t.quoted(); ok {
		return Value{Kind: Text, Text: text}, nil
	}
	return Value{Kind: Text, Text: t.raw}, nil
}

func asFloat(v Value) Value { return Value{Kind: Float, Num: v.Num} }

func quotedValue(t token) (Value, error) {
	text, ok := t.quoted()
	if !ok {
		return Value{}, notQuoted(t.raw)
	}
	return Value{Kind: Text, Text: text}, nil
}

// listValue reads ('a', "b"): a Python tuple of texts, with a comma at the end or without.
func listValue(raw string) (Value, error) {
	illFormed := mlflow.Invalidf("While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.")
	inner := strings.TrimSpace(raw[1 : len(raw)-1])
	var list []string
	for inner != "" {
		if inner[0] != '\'' && inner[0] != '"' {
			if numberLen(inner) > 0 {
				return Value{}, mlflow.Invalidf("While parsing a list in the query, expected string value, punctuation, or whitespace, "+
					"but got different type in list: %s", shorten(tuple(raw)))
			}
			return Value{}, illFormed
		}
		n := quotedLen(inner)
		if n == 0 {
			return Value{}, illFormed
		}
		list = append(list, unescape(inner[1:n-1]))
		if len(list) > MaxList {
			return Value{}, mlflow.Invalidf("Invalid filter string: its lists have more than %d values.", MaxList)
		}
		inner = strings.TrimSpace(inner[n:])
		if inner == "" {
			break
		}
		if inner[0] != ',' {
			return Value{}, illFormed
		}
		inner = strings.TrimSpace(inner[1:])
	}
	if list == nil {
		if strings.TrimSpace(raw[1:len(raw)-1]) != "" {
			return Value{}, illFormed
		}
		return Value{}, mlflow.Invalidf("While parsing a list in the query, expected a non-empty list of string values, but got empty list")
	}
	return Value{Kind: List, List: list}, nil
}

// tuple writes a list of one as Python does.
func tuple(raw string) string {
	if strings.Contains(raw, ",") {
		return raw
	}
	return strings.TrimSuffix(raw, ")") + ",)"
}

// unescape undoes the escapes of quotes and backslashes in a Python text.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\"`, `"`).Replace(s)
}
