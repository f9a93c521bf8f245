package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
)

// MaxJSONBody is how many bytes of JSON Bind reads: room for one dataset profile of the largest size that MLflow allows
// (mlflow.MaxDatasetProfile) when every character of it is escaped to two bytes.
const MaxJSONBody = 34 << 20

const (
	maxEcho   = 1000 // characters of a refused value that a message repeats
	seeAPIDoc = " See the API docs for more information about request parameters."
)

// Bind fills dst, a pointer to a struct, from the request as MLflow's server would.
//
// A GET, HEAD or DELETE with a query string and no body is read from the query: repeated keys make lists, booleans are true or false
// in any case, only top-level fields take part. Everything else is read from the JSON body; an empty body counts as {}, a JSON
// string that contains JSON is parsed once more, and POST and PUT must say Content-Type: application/json.
//
// Struct tags:
//
//	json:"run_id"               the name; in JSON the camelCase spelling (runId) is accepted too, both at once are refused
//	wire:"required"             absent, null and "" are refused, at the top also camelCase: Missing value for required parameter 'run_id'.
//	wire:"alias=run_uuid"       an old spelling of the same field
//	enum:"RUNNING,SCHEDULED"    a name or its number counted from 1, kept as the name in a string field; another name is ignored
//
// Integers may be written as numbers, numbers without fraction (12.0) or strings; doubles also as "NaN", "Infinity",
// "-Infinity" and the same bare; strings only as strings. null leaves the zero value. Use pointers to tell absent from zero;
// an empty list is not nil. Types that implement json.Unmarshaler decode themselves. Unknown fields are ignored. Nothing of dst
// aliases the request.
//
// Returns INVALID_PARAMETER_VALUE naming the field, a 413 above MaxJSONBody, or BAD_REQUEST for what is not JSON. Unlike MLflow,
// which reads broken JSON as {} and drops fields of a wrong type, Bind never guesses.
func Bind(c *fiber.Ctx, dst any) error { return BindLimit(c, dst, MaxJSONBody) }

// BindLimit is Bind with its own limit on the body, in bytes.
func BindLimit(c *fiber.Ctx, dst any, max int64) error { return Shape{}.bind(c, dst, max) }

func (s Shape) bind(c *fiber.Ctx, dst any, max int64) error {
	if m := c.Method(); (m == fiber.MethodGet || m == fiber.MethodHead) && hasQuery(c) {
		return s.bindQuery(c, dst)
	}
	if err := checkContentType(c); err != nil {
		return err
	}
	body, err := Body(c, max)
	if err != nil {
		return err
	}
	if len(body) == 0 && hasQuery(c) && c.Method() == fiber.MethodDelete {
		return s.bindQuery(c, dst)
	}
	d := s.decoder(bytes.TrimPrefix(body, []byte("\ufeff")))
	d.ownNames = true
	return d.document(dst)
}

// Decode fills dst, a pointer to a struct, from a JSON document by the rules of Bind; required fields may be spelled in camelCase.
func Decode(body []byte, dst any) error {
	return (&decoder{scanner: scanner{data: body}}).document(dst)
}

// document decodes all of the data into dst.
func (d *decoder) document(dst any) error {
	v := reflect.ValueOf(dst).Elem()
	if d.peek() == '"' {
		inner, err := d.str()
		if err != nil {
			return notJSON(err)
		}
		if err := d.end(); err != nil {
			return err
		}
		d = &decoder{scanner: scanner{data: []byte(inner)}, plans: d.plans, shared: d.shared, ownNames: d.ownNames}
	}
	switch d.peek() {
	case 0:
		if d.pos < len(d.data) {
			return notJSON(d.fail("unexpected character"))
		}
		return d.planOf(v.Type()).missing("", v, nil)
	case '{':
	case 'n':
		if text, err := d.literal(); err != nil || text != "null" {
			return notJSON(d.fail("unexpected character"))
		}
		if err := d.end(); err != nil {
			return err
		}
		return d.planOf(v.Type()).missing("", v, nil)
	default:
		if err := d.skip(); err != nil {
			return notJSON(err)
		}
		return &mlflow.Error{Code: mlflow.BadRequest, Message: "The request body must be a JSON object."}
	}
	if err := d.structure("", v); err != nil {
		return notJSON(err)
	}
	return d.end()
}

// end refuses what follows the document.
func (d *decoder) end() error {
	d.blanks()
	if d.pos < len(d.data) {
		return notJSON(d.fail("unexpected character"))
	}
	return nil
}

// notJSON words a syntax error for the client; other errors pass.
func notJSON(err error) error {
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return &mlflow.Error{Code: mlflow.BadRequest, Message: "The request body is not valid JSON: " + syntax.Error() + "."}
	}
	return err
}

func hasQuery(c *fiber.Ctx) bool { return len(c.Context().URI().QueryString()) > 0 }

// checkContentType is MLflow's rule for bodies (source: mlflow/server/validation.py).
func checkContentType(c *fiber.Ctx) error {
	if enc := c.Get(fiber.HeaderContentEncoding); enc != "" && !strings.EqualFold(enc, "identity") {
		return &mlflow.Error{
			Code: mlflow.InvalidParameterValue, Status: fiber.StatusUnsupportedMediaType,
			Message: fmt.Sprintf("Content-Encoding %s is not supported here.", quote(enc)),
		}
	}
	if m := c.Method(); m != fiber.MethodPost && m != fiber.MethodPut {
		return nil
	}
	kind, _, _ := bytes.Cut(c.Request().Header.ContentType(), []byte{';'})
	switch {
	case len(kind) == 0:
		return mlflow.Invalidf("Bad Request. Content-Type header is missing.")
	case !strings.EqualFold(strings.TrimSpace(string(kind)), fiber.MIMEApplicationJSON):
		return mlflow.Invalidf("Bad Request. Content-Type must be one of ['application/json'].")
	}
	return nil
}

// bindQuery reads the top-level fields of dst from the query string. The first occurrence of a single value wins, as in MLflow.
func (s Shape) bindQuery(c *fiber.Ctx, dst any) error {
	v := reflect.ValueOf(dst).Elem()
	p := s.decoder(nil).planOf(v.Type())
	present := make([]bool, len(p.fields))
	for key, value := range c.Context().QueryArgs().All() {
		i, ok := p.byName[string(key)]
		if !ok || p.camel[string(key)] {
			continue
		}
		f := &p.fields[i]
		if present[i] && !f.repeated {
			continue
		}
		present[i] = true
		if err := queryValue(fieldOf(v, f.index), string(value), f); err != nil {
			return err
		}
	}
	return p.missing("", v, present)
}

// queryValue sets a field from one occurrence of its key.
func queryValue(v reflect.Value, text string, f *field) error {
	switch {
	case f.repeated:
		item := reflect.New(v.Type().Elem()).Elem()
		if err := queryScalar(item, text, f); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
		return nil
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return queryScalar(v.Elem(), text, f)
	}
	return queryScalar(v, text, f)
}

func queryScalar(v reflect.Value, text string, f *field) error {
	if v.Kind() == reflect.Bool {
		lower := strings.ToLower(text)
		if lower != "true" && lower != "false" {
			return mlflow.Invalidf("Invalid boolean value: %s, must be 'true' or 'false'.", shorten(text, maxEcho))
		}
		v.SetBool(lower == "true")
		return nil
	}
	if !utf8.ValidString(text) || !assign(v, text, true, f) {
		return invalidValue(f.name, []byte(quote(text)))
	}
	return nil
}

// Missing is MLflow's error for a required parameter that is absent, null or empty.
func Missing(name string) error {
	return mlflow.Invalidf("Missing value for required parameter '%s'.%s", name, seeAPIDoc)
}

// Invalid is MLflow's error for a parameter whose value breaks a rule of the call, as its server words it before any store is asked.
func Invalid(name string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		raw = []byte("null")
	}
	return invalidValue(name, raw)
}

// invalidValue is MLflow's error for a value of the wrong type; raw is its JSON.
func invalidValue(path string, raw []byte) error {
	return mlflow.Invalidf("Invalid value %s for parameter '%s' supplied:  Hint: Value was of type '%s'.%s",
		shorten(compact(raw), maxEcho), path, pythonType(raw), seeAPIDoc)
}

func compact(raw []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// pythonType names the type that Python's json would give to the value.
func pythonType(raw []byte) string {
	if len(raw) == 0 {
		return "NoneType"
	}
	switch raw[0] {
	case '"':
		return "str"
	case '{':
		return "dict"
	case '[':
		return "list"
	case 't', 'f':
		return "bool"
	case 'n':
		return "NoneType"
	}
	if bytes.ContainsAny(raw, ".eEIN") {
		return "float"
	}
	return "int"
}
