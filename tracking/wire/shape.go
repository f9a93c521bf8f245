package wire

import (
	"maps"
	"reflect"

	"github.com/gofiber/fiber/v2"
)

// Shape is what the tags of a request's type say, read once for all requests. The zero value reads them with each request. Safe for
// concurrent use.
type Shape struct {
	plans map[reflect.Type]*plan // never written after ShapeOf
}

// ShapeOf reads the tags of a struct and of the structs in it.
func ShapeOf[T any]() Shape {
	d := &decoder{}
	d.learn(reflect.TypeFor[T]())
	return Shape{d.plans}
}

// Bind is the function Bind for a dst of the Shape's type.
func (s Shape) Bind(c *fiber.Ctx, dst any) error { return s.bind(c, dst, MaxJSONBody) }

// decoder returns one that knows the Shape.
func (s Shape) decoder(data []byte) *decoder {
	return &decoder{scanner: scanner{data: data}, plans: s.plans, shared: true}
}

// learn plans a type and those that it is made of.
func (d *decoder) learn(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		d.learn(t.Elem())
	case reflect.Struct:
		if _, known := d.plans[t]; known {
			return
		}
		for _, f := range d.planOf(t).fields {
			d.learn(t.FieldByIndex(f.index).Type)
		}
	}
}

// keep adds a plan to those of this document.
func (d *decoder) keep(t reflect.Type, p *plan) {
	if d.shared || d.plans == nil {
		plans := make(map[reflect.Type]*plan, len(d.plans)+1)
		maps.Copy(plans, d.plans)
		d.plans, d.shared = plans, false
	}
	d.plans[t] = p
}
