package mlmodel

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrParams: inference parameters do not fit the signature; the text is a sentence for the client.
var ErrParams = errors.New("invalid parameters")

type paramsError struct{ text string }

func (e *paramsError) Error() string        { return e.text }
func (e *paramsError) Is(target error) bool { return target == ErrParams }

// EnforceParams checks params against the signature and fills in defaults (source: mlflow/models/utils.py, _enforce_params_schema).
// Values are what JSON gives: nil, bool, int, int64, float64, json.Number, string, []any, map[string]any; those returned are bool,
// int64, float64, string, []any or map[string]any. The given map is not changed. A nil Signature, or one without params, knows no
// parameter. Names that the signature does not know are left out of the result and listed, sorted, in unknown: MLflow warns and goes on.
// Returns ErrParams naming every parameter with a wrong type or shape.
func (s *Signature) EnforceParams(params map[string]any) (result map[string]any, unknown []string, err error) {
	if s == nil || len(s.Params) == 0 {
		return nil, slices.Sorted(maps.Keys(params)), nil
	}
	result = make(map[string]any, len(s.Params))
	var invalid []string
	for i := range s.Params {
		p := &s.Params[i]
		given, ok := params[p.Name]
		if !ok {
			result[p.Name] = p.Default
			continue
		}
		if given, err = plain(given); err == nil {
			result[p.Name], err = p.enforce(given)
		}
		if err != nil {
			invalid = append(invalid, fmt.Sprintf("('%s', %s)", p.Name, strconv.Quote(err.Error())))
		}
	}
	if len(invalid) > 0 {
		return nil, nil, &paramsError{"Invalid parameters found: {" + strings.Join(invalid, ", ") + "}"}
	}
	for name := range params {
		if _, known := result[name]; !known {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return result, unknown, nil
}

// spec prints a parameter as MLflow's messages do.
func (p *Param) spec() string {
	shape := ""
	if p.Shape != nil {
		shape = " (shape: (-1,))"
	}
	return fmt.Sprintf("'%s': %s (default: %v)%s", p.Name, p.Kind, p.Default, shape)
}

func (p *Param) enforce(v any) (any, error) {
	if p.Shape == nil {
		out, err := p.enforceOne(v)
		if err != nil {
			return nil, fmt.Errorf("Failed to validate type and shape for %s, error: %w", p.spec(), err)
		}
		return out, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("Value must be a 1D array with shape (-1,) for param %s, received %s", p.spec(), pyType(v))
	}
	out := make([]any, len(list))
	for i, x := range list {
		var err error
		if out[i], err = p.enforceOne(x); err != nil {
			return nil, fmt.Errorf("Failed to validate type and shape for %s, error: %w", p.spec(), err)
		}
	}
	return out, nil
}

func (p *Param) enforceOne(v any) (any, error) {
	if p.Kind == Object {
		return v, checkObject(v, p.Fields)
	}
	if v == nil {
		return nil, nil
	}
	return castParam(v, p.Kind)
}

// castParam converts one value: int → long, float, double; long → float, double; text → datetime; nothing else. Errors do not repeat the value:
// messages are logged.
func castParam(v any, k Kind) (any, error) {
	if n, ok := v.(int); ok {
		v = int64(n)
	}
	switch x := v.(type) {
	case bool:
		if k == Boolean {
			return x, nil
		}
	case string:
		if k == String {
			return x, nil
		}
		if k == Datetime {
			if _, err := ParseDatetime(x); err != nil {
				return nil, fmt.Errorf("Failed to convert a value from type `<class 'str'>` to `DataType.%s`", k)
			}
			return x, nil
		}
	case time.Time:
		if k == Datetime {
			return x.Format("2006-01-02T15:04:05.999999999"), nil
		}
	case int64:
		switch k {
		case Long:
			return x, nil
		case Integer:
			if x >= math.MinInt32 && x <= math.MaxInt32 {
				return x, nil
			}
		case Float, Double:
			return float64(x), nil
		}
	case float64:
		if k == Float || k == Double {
			return x, nil
		}
	default:
		return nil, fmt.Errorf("Value must be a scalar for type `DataType.%s`, got %s", k, pyType(v))
	}
	return nil, fmt.Errorf("Can not safely convert `<class '%s'>` to `DataType.%s`", pyType(v), k)
}

// checkObject checks a JSON value against the properties of an object.
func checkObject(v any, fields []ColumnSpec) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("Expected data to be dictionary, got %s", pyType(v))
	}
	known := make(map[string]*ColumnSpec, len(fields))
	var missing []string
	for i := range fields {
		f := &fields[i]
		known[f.Name] = f
		if _, given := m[f.Name]; f.Required && !given {
			missing = append(missing, f.Name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("Missing required properties: %s", pyList(missing))
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		f := known[name]
		if f == nil {
			return fmt.Errorf("Invalid properties not defined in the schema found: %s", pyList([]string{name}))
		}
		if err := f.CheckValue(m[name]); err != nil {
			return fmt.Errorf("Failed to enforce schema for key `%s`. Expected type %s, received type %s", name, f.Kind, pyType(m[name]))
		}
	}
	return nil
}

// CheckValue checks one JSON value (nil, bool, int64, float64, string, []any, map[string]any) against a column of a nested kind, as
// _enforce_type does; numbers are checked by the rules of columns. What a column that is not required may lack, the elements of its lists and
// the values of its maps may lack, too; the properties of an object say so themselves. The text of an error is a sentence for the client.
func (c *ColumnSpec) CheckValue(v any) error { return c.check(v, c.Required) }

func (c *ColumnSpec) check(v any, required bool) error {
	switch c.Kind {
	case Any, SparkVector:
		return nil
	case Object:
		if !required && v == nil {
			return nil
		}
		return checkObject(v, c.Fields)
	case Array:
		return c.checkArray(v, required)
	case Map:
		return c.checkMap(v, required)
	}
	if !required && v == nil {
		return nil
	}
	return checkScalar(v, c.Kind)
}

func (c *ColumnSpec) checkArray(v any, required bool) error {
	if v == nil && (!required || c.Elem.Kind == Any) {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		return fmt.Errorf("Expected data to be list or numpy array, got %s", pyType(v))
	}
	floats := c.Elem.Kind == Double && slices.ContainsFunc(list, makesFloats)
	for _, x := range list {
		if _, whole := x.(int64); whole && floats {
			continue
		}
		var err error
		switch c.Elem.Kind {
		case Array, Map, Object, Any, SparkVector:
			err = c.Elem.check(x, required)
		default:
			err = checkScalar(x, c.Elem.Kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makesFloats reports whether an element makes a list of numbers one of floats for pandas, whole ones included.
func makesFloats(v any) bool {
	_, float := v.(float64)
	return float || v == nil
}

func (c *ColumnSpec) checkMap(v any, required bool) error {
	if v == nil && (!required || c.Elem.Kind == Any) {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("Expected data to be a dict, got %s", pyType(v))
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if err := c.Elem.check(m[name], required); err != nil {
			return err
		}
	}
	return nil
}

// checkScalar does not repeat the value, which may be a secret: messages are logged.
func checkScalar(v any, k Kind) error {
	ok := false
	switch x := v.(type) {
	case bool:
		ok = k == Boolean
	case string:
		_, err := ParseDatetime(x)
		ok = k == String || k == Binary || (k == Datetime && err == nil)
	case int64:
		ok = k == Long || (k == Integer && x >= math.MinInt32 && x <= math.MaxInt32) || ((k == Float || k == Double) && (x == 0 || x == 1))
	case float64:
		ok = k == Double || (k == Float && float64(float32(x)) == x)
	case nil:
		ok = k == Float || k == Double || k == String
	}
	if !ok {
		return fmt.Errorf("Failed to enforce schema of data of type %s with dtype `%s`", pyType(v), k)
	}
	return nil
}

func pyType(v any) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case string:
		return "str"
	case int64, int:
		return "int"
	case float64:
		return "float"
	case []any:
		return "list"
	case map[string]any:
		return "dict"
	}
	return fmt.Sprintf("%T", v)
}

// pyList prints names as Python prints a list of str.
func pyList(names []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		if strings.Contains(n, "'") && !strings.Contains(n, `"`) {
			b.WriteString(`"` + n + `"`)
			continue
		}
		b.WriteString("'" + strings.ReplaceAll(n, "'", `\'`) + "'")
	}
	b.WriteByte(']')
	return b.String()
}

var datetimeLayouts = []string{
	"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15", "2006-01-02", "2006-01", "2006",
}

// ParseDatetime reads an ISO 8601 date or time as nanoseconds since the epoch. A time zone is converted to UTC; none means UTC.
// "NaT" and the empty text are tensor.NaT. Years outside 1678 to 2261 do not fit datetime64[ns] and are an error.
func ParseDatetime(s string) (int64, error) {
	if s == "" || s == "NaT" {
		return math.MinInt64, nil
	}
	for _, layout := range datetimeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			if y := t.Year(); y < 1678 || y > 2261 {
				return 0, fmt.Errorf("%q does not fit datetime64[ns]", s)
			}
			return t.UnixNano(), nil
		}
	}
	return 0, fmt.Errorf("%q is not an ISO date or time", s)
}
