package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
)

// walker redacts bodies by rules.
type walker struct {
	rules rules
	key   []byte
	// refused says that the request got an error, bare that a value without a name was seen.
	refused, bare bool
}

// maxDepth bounds how deep JSON is nested.
const maxDepth = 64

var errShape = errors.New("redact: shape")

// value is JSON as it was written: an object with its keys in order, a list, or a scalar.
type value struct {
	keys   []string // of an object
	items  []*value // of an object or a list
	scalar []byte   // as JSON
	text   string   // of a scalar, without quotes
	object bool
}

func (w *walker) json(b []byte, request bool) ([]byte, bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := read(d, 0)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			err = nil
		} else {
			err = errShape // something behind
		}
	}
	if err != nil {
		return nil, false
	}
	w.bare = false
	if err := w.walk(v, false); err != nil || request && w.bare {
		return nil, false
	}
	return v.append(make([]byte, 0, len(b))), true
}

func read(d *json.Decoder, depth int) (*value, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, errShape
	}
	open, ok := t.(json.Delim)
	if !ok {
		return scalar(t)
	}
	v := &value{object: open == '{'}
	for d.More() {
		if v.object {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v.keys = append(v.keys, key.(string))
		}
		item, err := read(d, depth+1)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	_, err = d.Token()
	return v, err
}

func scalar(t json.Token) (*value, error) {
	b, err := json.Marshal(t)
	v := &value{scalar: b, text: string(b)}
	if s, ok := t.(string); ok {
		v.text = s
	}
	return v, err
}

func (v *value) append(dst []byte) []byte {
	if v.scalar != nil {
		return append(dst, v.scalar...)
	}
	open, end := byte('['), byte(']')
	if v.object {
		open, end = '{', '}'
	}
	dst = append(dst, open)
	for i, item := range v.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		if v.object {
			dst = append(appendText(dst, v.keys[i]), ':')
		}
		dst = item.append(dst)
	}
	return append(dst, end)
}

func appendText(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // no text fails
		return append(dst, `""`...)
	}
	return append(dst, b...)
}

// get returns the last item of the key, nil if there is none.
func (v *value) get(key string) *value {
	for i, k := range slices.Backward(v.keys) {
		if k == key {
			return v.items[i]
		}
	}
	return nil
}

// containers are keys that name no column: what is in them has names of its own, or none.
var containers = map[string]bool{
	"inputs": true, "instances": true, "dataframe_split": true, "dataframe_records": true, "data": true, "predictions": true, "outputs": true,
}

// walk redacts a value; named says that a name stands above it.
func (w *walker) walk(v *value, named bool) error {
	switch {
	case v.scalar != nil:
		w.bare = w.bare || !named
		return nil
	case !v.object:
		for _, item := range v.items {
			if err := w.walk(item, named); err != nil {
				return err
			}
		}
		return nil
	}
	if v.get("columns") != nil && v.get("data") != nil {
		return w.split(v)
	}
	if name := v.get("name"); name != nil && v.get("data") != nil {
		return w.tensor(v, name)
	}
	return w.object(v)
}

func (w *walker) object(v *value) error {
	return w.fields(v, func(key string, _ *value) bool { return !containers[key] })
}

// fields redacts what the keys of an object name; named says whether a key names the bare values below it.
func (w *walker) fields(v *value, named func(key string, item *value) bool) error {
	keep := 0
	for i, key := range v.keys {
		item := v.items[i]
		if c, ok := w.rules[key]; ok {
			if c.Action == Drop {
				continue
			}
			w.change(c, item)
		} else if err := w.walk(item, named(key, item)); err != nil {
			return err
		}
		v.keys[keep], v.items[keep] = key, item
		keep++
	}
	v.keys, v.items = v.keys[:keep], v.items[:keep]
	return nil
}

// tensor redacts an object {"name", "data", …}, which may as well be a row with such columns.
func (w *walker) tensor(v, name *value) error {
	if c, ok := w.rules[name.text]; ok {
		for i, key := range v.keys {
			switch {
			case key == "data" && c.Action == Drop:
				v.items[i] = &value{}
			case key == "data":
				w.change(c, v.items[i])
			}
		}
	}
	return w.fields(v, func(string, *value) bool { return true })
}

// split redacts {"columns": […], "data": [[…], …]}. Repeated keys are refused: which of them counts is anybody's guess.
func (w *walker) split(v *value) error {
	seen := map[string]bool{}
	for _, k := range v.keys {
		if seen[k] {
			return errShape
		}
		seen[k] = true
	}
	columns, data := v.get("columns"), v.get("data")
	if columns.scalar != nil || columns.object || data.scalar != nil || data.object {
		return errShape
	}
	rules := make([]*Column, len(columns.items))
	for i, name := range columns.items {
		if c, ok := w.rules[name.text]; ok {
			rules[i] = &c
		}
	}
	for _, row := range data.items {
		if row.scalar != nil || row.object || len(row.items) != len(rules) {
			return errShape
		}
		if err := w.row(row, rules); err != nil {
			return err
		}
	}
	names := make([]*Column, len(rules)) // only what is dropped
	for i, c := range rules {
		if c != nil && c.Action == Drop {
			names[i] = c
		}
	}
	if err := w.row(columns, names); err != nil {
		return err
	}
	return w.besides(v, columns, data)
}

// besides redacts what stands beside columns and data: an index of the rows has no name, and may stay if it counts them.
func (w *walker) besides(v, columns, data *value) error {
	table := func(item *value) bool { return item == columns || item == data }
	rest := &value{object: true}
	for i, key := range v.keys {
		if !table(v.items[i]) {
			rest.keys, rest.items = append(rest.keys, key), append(rest.items, v.items[i])
		}
	}
	err := w.fields(rest, func(key string, item *value) bool { return key != "index" || item.counts() })
	keep := 0
	for i, item := range v.items {
		if table(item) || slices.Contains(rest.items, item) {
			v.keys[keep], v.items[keep] = v.keys[i], item
			keep++
		}
	}
	v.keys, v.items = v.keys[:keep], v.items[:keep]
	return err
}

// counts says that a value is a list of whole numbers.
func (v *value) counts() bool {
	return v.scalar == nil && !v.object && !slices.ContainsFunc(v.items, func(item *value) bool {
		_, err := strconv.ParseInt(string(item.scalar), 10, 64)
		return err != nil
	})
}

// row redacts the items of a list by the rules at their places.
func (w *walker) row(row *value, rules []*Column) error {
	keep := row.items[:0]
	for i, item := range row.items {
		switch c := rules[i]; {
		case c == nil:
			if err := w.walk(item, true); err != nil {
				return err
			}
		case c.Action == Drop:
			continue
		default:
			w.change(*c, item)
		}
		keep = append(keep, item)
	}
	row.items = keep
	return nil
}

// change replaces every scalar of a value; null stays null.
func (w *walker) change(c Column, v *value) {
	if v.scalar == nil {
		for i, item := range v.items {
			if v.object {
				v.keys[i] = w.text(c, v.keys[i]) // a key may be a secret too
			}
			w.change(c, item)
		}
		return
	}
	if string(v.scalar) != "null" {
		v.text = w.text(c, v.text)
		v.scalar = appendText(nil, v.text)
	}
}
