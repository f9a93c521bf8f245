package bundle

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// broken is INVALID_PARAMETER_VALUE for a bundle that cannot be imported.
func broken(format string, args ...any) error {
	return mlflow.Invalidf("The bundle is broken: "+format, args...)
}

// appendRow appends a row as one line of JSON, its line feed included. Returns INVALID_STATE for text that is no UTF-8.
func appendRow(b []byte, t *Table, row Row) ([]byte, error) {
	b = append(b, '{')
	for i, c := range t.Columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), c.Name...), '"', ':')
		switch v := row[i].(type) {
		case nil:
			b = append(b, "null"...)
		case bool:
			b = strconv.AppendBool(b, v)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case float64:
			b = appendFloat(b, v)
		case string:
			if !utf8.ValidString(v) {
				return nil, mlflow.Errorf(mlflow.InvalidState, "A value of %s.%s is no UTF-8 and cannot be exported.", t.Name, c.Name)
			}
			b = appendString(b, v)
		}
	}
	return append(b, '}', '\n'), nil
}

func appendFloat(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(b, `"-Infinity"`...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		if c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}

// parseRow reads one line. Every value has its column's type, length and enumeration afterwards; a column that the line lacks has its
// default.
func parseRow(t *Table, line []byte) (Row, error) {
	if !utf8.Valid(line) {
		return nil, broken("a row of %s is no UTF-8.", t.Name)
	}
	row := make(Row, len(t.Columns))
	seen := make([]bool, len(t.Columns))
	p := parser{text: string(line)}
	err := p.object(func(key string) error {
		i := t.Column(key)
		switch {
		case i < 0:
			return broken("the table %s has no column %s here; it may come from a newer server.", t.Name, mlflow.Repr(mlflow.Truncate(key, 100)))
		case seen[i]:
			return broken("a row of %s has %s twice.", t.Name, key)
		}
		seen[i] = true
		v, err := p.value(&t.Columns[i])
		row[i] = v
		return err
	})
	if err != nil {
		var form syntax
		if errors.As(err, &form) {
			err = broken("a row of %s: %v.", t.Name, form)
		}
		return nil, err
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if !seen[i] {
			row[i] = c.Default
		}
		if err := c.check(row[i]); err != nil {
			return nil, broken("%s.%s: %v.", t.Name, c.Name, err)
		}
	}
	return row, nil
}

type syntax string

func (s syntax) Error() string { return string(s) }

// check says whether a value may stand in the column.
func (c *Column) check(v any) error {
	s, isText := v.(string)
	switch {
	case v == nil && !c.Null:
		return syntax("it must not be null")
	case v == nil || !isText:
		return nil
	case c.Max > 0 && len(s) > c.Max && utf8.RuneCountInString(s) > c.Max:
		return syntax("it has more than " + strconv.Itoa(c.Max) + " characters")
	case strings.ContainsRune(s, 0):
		return syntax("it has a NUL in it")
	case c.ID && !isID(s):
		return syntax(mlflow.Repr(s) + " is no id")
	}
	if c.Enum == nil {
		return nil
	}
	for _, e := range c.Enum {
		if e == s {
			return nil
		}
	}
	return syntax(mlflow.Repr(mlflow.Truncate(s, 100)) + " is none of its values")
}

// isID says whether s may be a folder's name: letters, digits, "_" and "-", a letter or a digit first.
func isID(s string) bool {
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '_' && c != '-') {
			return false
		}
	}
	return s != ""
}

// parser reads a flat JSON object, strictly, without building anything in between.
type parser struct {
	text string
	pos  int
}

func (p *parser) blanks() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *parser) take(c byte) bool {
	p.blanks()
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *parser) object(member func(key string) error) error {
	if !p.take('{') {
		return syntax("it is no JSON object")
	}
	for first := true; !p.take('}'); first = false {
		if !first && !p.take(',') {
			return syntax("it is no JSON object")
		}
		key, err := p.str()
		if err != nil {
			return err
		}
		if !p.take(':') {
			return syntax("it is no JSON object")
		}
		if err := member(key); err != nil {
			return err
		}
	}
	if p.blanks(); p.pos < len(p.text) {
		return syntax("something follows the JSON object")
	}
	return nil
}

func (p *parser) str() (string, error) {
	if !p.take('"') {
		return "", syntax("a string is missing")
	}
	plain := true
	for i := p.pos; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			raw := p.text[p.pos:i]
			at := p.pos
			p.pos = i + 1
			if plain {
				return raw, nil
			}
			var out string
			if err := json.Unmarshal([]byte(p.text[at-1:p.pos]), &out); err != nil {
				return "", syntax("a string is not valid")
			}
			return out, nil
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			return "", syntax("a string is not valid")
		}
	}
	return "", syntax("a string does not end")
}

func (p *parser) value(c *Column) (any, error) {
	p.blanks()
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		s, err := p.str()
		if err != nil || c.Type == Text {
			return s, err
		}
		if special, ok := map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}[s]; ok && c.Type == Float {
			return special, nil
		}
		return nil, syntax(c.Name + " has a value of another type")
	}
	from := p.pos
	for p.pos < len(p.text) && strings.IndexByte(",} \t", p.text[p.pos]) < 0 {
		p.pos++
	}
	word := p.text[from:p.pos]
	switch {
	case word == "null":
		return nil, nil
	case c.Type == Bool && (word == "true" || word == "false"):
		return word == "true", nil
	case c.Type == Int:
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			return n, nil
		}
	case c.Type == Float && json.Valid([]byte(word)):
		if f, err := strconv.ParseFloat(word, 64); err == nil {
			return f, nil
		}
	}
	return nil, syntax(c.Name + " has a value of another type")
}
