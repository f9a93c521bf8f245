package wire

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
)

// decoder fills Go values from one JSON document by MLflow's rules.
type decoder struct {
	scanner
	plans    map[reflect.Type]*plan // the structs met in this document
	shared   bool                   // plans belong to a Shape: they are not written to
	ownNames bool                   // required fields at the top count only under their own names, as MLflow looks for them
}

// plan is what a struct's tags say.
type plan struct {
	fields []field
	byName map[string]int  // every accepted spelling → index in fields
	alias  map[string]bool // the spellings that are other names of a field
	camel  map[string]bool // the spellings that are protobuf's JSON names
}

type field struct {
	name     string // on the wire
	index    []int
	required bool
	repeated bool
	enum     []string
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (d *decoder) planOf(t reflect.Type) *plan {
	if p, ok := d.plans[t]; ok {
		return p
	}
	p := &plan{byName: map[string]int{}, alias: map[string]bool{}, camel: map[string]bool{}}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		p.add(name, f)
	}
	d.keep(t, p)
	return p
}

func (p *plan) add(name string, f reflect.StructField) {
	nf := field{name: name, index: f.Index, repeated: f.Type.Kind() == reflect.Slice}
	if e := f.Tag.Get("enum"); e != "" {
		nf.enum = strings.Split(e, ",")
	}
	i := len(p.fields)
	p.byName[name] = i
	p.addCamel(name, i)
	for opt := range strings.SplitSeq(f.Tag.Get("wire"), ",") {
		if alias, ok := strings.CutPrefix(opt, "alias="); ok {
			p.byName[alias] = i
			p.addCamel(alias, i)
			p.alias[alias], p.alias[camelCase(alias)] = true, true
		}
		nf.required = nf.required || opt == "required"
	}
	p.fields = append(p.fields, nf)
}

// addCamel accepts the camelCase spelling of a name for field i.
func (p *plan) addCamel(name string, i int) {
	if other := camelCase(name); other != name {
		p.byName[other], p.camel[other] = i, true
	}
}

// camelCase is protobuf's JSON name of a field, which its parser accepts beside the snake_case one.
func camelCase(name string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(name, "_") {
		if b.Len() > 0 && part != "" {
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		b.WriteString(part)
	}
	return b.String()
}

// structure decodes an object into a struct. path names it in messages, "" at the top.
func (d *decoder) structure(path string, v reflect.Value) error {
	p := d.planOf(v.Type())
	seen := make([]string, len(p.fields)) // the spelling each field came under
	present := make([]bool, len(p.fields))
	err := d.object(func(key string) error {
		i, ok := p.byName[key]
		if !ok {
			return d.skip()
		}
		f := &p.fields[i]
		if p.alias[key] && present[i] && !emptyText(fieldOf(v, f.index)) {
			return d.skip() // a client that sends the old name beside the new one means the new one
		}
		if seen[i] != "" && seen[i] != key && !p.alias[key] && !p.alias[seen[i]] {
			return bothSpellings(f.name, seen[i], key)
		}
		seen[i] = key
		if present[i] = d.peek() != 'n'; !present[i] {
			fieldOf(v, f.index).SetZero()
			return d.skip()
		}
		target := fieldOf(v, f.index)
		target.SetZero()
		present[i] = !d.ownNames || path != "" || !p.camel[key]
		return d.value(join(path, f.name), target, f)
	})
	if err != nil {
		return err
	}
	return p.missing(path, v, present)
}

// bothSpellings names the field's own name first, whatever came first.
func bothSpellings(name, a, b string) error {
	if b == name {
		a, b = b, a
	}
	return mlflow.Invalidf("Request specifies both '%s' and '%s'; provide only one of them.", a, b)
}

// missing refuses an object in which a required field is absent, null or "". present tells which fields came with a value; nil
// means none.
func (p *plan) missing(path string, v reflect.Value, present []bool) error {
	for i := range p.fields {
		f := &p.fields[i]
		if !f.required {
			continue
		}
		if present == nil || !present[i] || emptyText(fieldOf(v, f.index)) {
			return Missing(join(path, f.name))
		}
	}
	return nil
}

func emptyText(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v.Kind() == reflect.String && v.Len() == 0
}

// fieldOf is FieldByIndex that makes embedded pointers on its way.
func fieldOf(v reflect.Value, index []int) reflect.Value {
	for i, x := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	return v
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// value decodes the next value into v. f carries the tags of the nearest field; it may be nil.
func (d *decoder) value(path string, v reflect.Value, f *field) error {
	start := d.start()
	if d.peek() == 'n' {
		return d.null(path, v, start)
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(path, v.Elem(), f)
	}
	if v.CanAddr() && v.Addr().Type().Implements(jsonUnmarshaler) {
		return d.custom(path, v, start)
	}
	switch v.Kind() {
	case reflect.Struct:
		if d.peek() == '{' {
			return d.structure(path, v)
		}
	case reflect.Map:
		if d.peek() == '{' {
			return d.mapping(path, v)
		}
	case reflect.Slice:
		if d.peek() == '[' {
			return d.list(path, v, f)
		}
	case reflect.Interface:
		return d.anything(path, v, start)
	default:
		return d.scalar(path, v, f, start)
	}
	return d.mismatch(path, start)
}

// start returns the offset of the next token.
func (d *decoder) start() int {
	d.blanks()
	return d.pos
}

// null inside a list or map means nothing to protobuf and is refused; in a field it was handled as absence.
func (d *decoder) null(path string, v reflect.Value, start int) error {
	if _, err := d.literal(); err != nil {
		return err
	}
	if v.Kind() == reflect.Interface {
		return nil
	}
	return d.invalid(path, start)
}

// Shortcut is a list that reads itself faster than its tags are read, where the document is spelt as clients mostly spell it.
type Shortcut interface {
	// ReadJSON reads the list at the beginning of data, which does not end behind it, to the very result that decoding by tags has. It
	// returns how many bytes that took and how many values there were, names and lists included. ok is false where anything is unusual:
	// the tags then have their way.
	ReadJSON(data []byte) (n, values int, ok bool)
}

// shortcut reports whether v could read itself.
func (d *decoder) shortcut(v reflect.Value) bool {
	s, ok := v.Addr().Interface().(Shortcut)
	if !ok {
		return false
	}
	n, values, ok := s.ReadJSON(d.data[d.pos:])
	if !ok || d.values+values > maxValues {
		return false
	}
	d.pos, d.values = d.pos+n, d.values+values
	return true
}

func (d *decoder) list(path string, v reflect.Value, f *field) error {
	if d.shortcut(v) {
		return nil
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	var item *field
	if f != nil && f.enum != nil {
		item = f
	}
	start, whole := d.pos, v.Type().Elem().Kind() == reflect.String
	err := d.array(func(i int) error {
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		return d.value(path+"["+strconv.Itoa(i)+"]", v.Index(v.Len()-1), item)
	})
	if known := (*mlflow.Error)(nil); whole && errors.As(err, &known) {
		d.pos = start // MLflow names the list, not the item
		return d.mismatch(path, start)
	}
	return err
}

func (d *decoder) mapping(path string, v reflect.Value) error {
	if v.Type().Key().Kind() != reflect.String {
		return errors.New("wire: Bind into a map needs string keys")
	}
	v.Set(reflect.MakeMap(v.Type()))
	return d.object(func(key string) error {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(join(path, key), item, nil); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), item)
		return nil
	})
}

// custom hands the value's bytes to a json.Unmarshaler, json.RawMessage included.
func (d *decoder) custom(path string, v reflect.Value, start int) error {
	if err := d.skip(); err != nil {
		return err
	}
	if err := json.Unmarshal(d.data[start:d.pos], v.Addr().Interface()); err != nil {
		return d.invalid(path, start)
	}
	return nil
}

func (d *decoder) anything(path string, v reflect.Value, start int) error {
	if err := d.skip(); err != nil {
		return err
	}
	if err := json.Unmarshal(d.data[start:d.pos], v.Addr().Interface()); err != nil {
		return d.invalid(path, start)
	}
	return nil
}

// scalar decodes strings, numbers and booleans. Numbers may be written as strings, strings never as numbers.
func (d *decoder) scalar(path string, v reflect.Value, f *field, start int) error {
	var text string
	var err error
	quoted := false
	switch d.peek() {
	case '{', '[':
		return d.mismatch(path, start)
	case '"':
		quoted = true
		text, err = d.str()
	default:
		text, err = d.literal()
	}
	if err != nil {
		return err
	}
	if !assign(v, text, quoted, f) {
		return d.invalid(path, start)
	}
	return nil
}

// assign sets a scalar from its text and reports whether it fits.
func assign(v reflect.Value, text string, quoted bool, f *field) bool {
	if f != nil && f.enum != nil {
		return assignEnum(v, text, quoted, f.enum)
	}
	if v.CanAddr() && v.Addr().Type().Implements(textUnmarshaler) {
		return quoted && v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)) == nil
	}
	switch v.Kind() {
	case reflect.String:
		if quoted {
			v.SetString(text)
		}
		return quoted
	case reflect.Bool:
		v.SetBool(text == "true")
		return !quoted && (text == "true" || text == "false")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := parseInt(text, v.Type().Bits())
		v.SetInt(n)
		return ok
	case reflect.Float32, reflect.Float64:
		n, ok := parseFloat(text)
		v.SetFloat(n)
		return ok
	}
	return false
}

// assignEnum accepts a name or its number, counted from 1 as MLflow's protos do. A name that is not known leaves the field as it is, as
// in MLflow: a newer client may know more; an unknown number does not fit.
func assignEnum(v reflect.Value, text string, quoted bool, names []string) bool {
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(names) {
		v.SetString(names[n-1])
		return true
	}
	for _, name := range names {
		if text == name {
			v.SetString(name)
			return true
		}
	}
	_, err := strconv.ParseFloat(text, 64)
	return err != nil && quoted
}

// mismatch consumes a value of the wrong kind and refuses it.
func (d *decoder) mismatch(path string, start int) error {
	if err := d.skip(); err != nil {
		return err
	}
	return d.invalid(path, start)
}

func (d *decoder) invalid(path string, start int) error {
	return invalidValue(path, d.data[start:d.pos])
}
