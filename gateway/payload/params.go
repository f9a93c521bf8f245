package payload

import (
	"fmt"
	"maps"
	"strings"

	"sluice/runtime/mlmodel"
	"sluice/tracking/mlflow"
)

// readParams checks the "params" of a body against the model's (source: mlflow/models/utils.py, _enforce_params_schema): unknown ones
// are ignored, missing ones take their defaults, integers widen to floats, and everything else must have the declared type.
// A model without params ignores them, whatever they are.
func (p *Plan) readParams(t *text, n uint32) (map[string]any, error) {
	if p.params == nil || t.first(n) == 'n' {
		return p.defaults, nil
	}
	if t.first(n) != '{' {
		return nil, mlflow.Invalidf("Parameters must be a dictionary. Got %s.", t.describe(n))
	}
	given := t.value(n).(map[string]any)
	out := maps.Clone(p.defaults)
	var wrong []string
	for i := range p.params {
		spec := &p.params[i]
		v, ok := given[spec.Name]
		if !ok {
			continue
		}
		got, why := checkParam(v, spec)
		if why != "" {
			wrong = append(wrong, fmt.Sprintf("%s %s", quoteName(spec.Name), why))
			continue
		}
		out[spec.Name] = got
	}
	if wrong != nil {
		return nil, mlflow.Invalidf("Invalid parameters found: %s.", strings.Join(wrong, "; "))
	}
	return out, nil
}

// checkParam converts one value; why is "" or completes "parameter x …".
func checkParam(v any, spec *mlmodel.Param) (out any, why string) {
	if v == nil {
		return nil, ""
	}
	if len(spec.Shape) == 0 {
		return checkScalarParam(v, spec.Kind)
	}
	list, ok := v.([]any)
	if !ok || len(spec.Shape) != 1 {
		return nil, "must be a list of " + kindNames[spec.Kind] + " values"
	}
	if want := spec.Shape[0]; want >= 0 && int64(len(list)) != want {
		return nil, fmt.Sprintf("must be a list of %d values, not %d", want, len(list))
	}
	typed := make([]any, len(list))
	for i, e := range list {
		if typed[i], why = checkScalarParam(e, spec.Kind); why != "" {
			return nil, fmt.Sprintf("at position %d %s", i, why)
		}
	}
	return typed, ""
}

func checkScalarParam(v any, kind mlmodel.Kind) (any, string) {
	if v == nil {
		return nil, ""
	}
	switch kind {
	case mlmodel.Boolean:
		if b, ok := v.(bool); ok {
			return b, ""
		}
	case mlmodel.Integer, mlmodel.Long:
		if n, ok := v.(int64); ok {
			return n, ""
		}
	case mlmodel.Float, mlmodel.Double:
		switch n := v.(type) {
		case float64:
			return n, ""
		case int64:
			return float64(n), ""
		}
	case mlmodel.String:
		if s, ok := v.(string); ok {
			return s, ""
		}
	case mlmodel.Datetime:
		if s, ok := v.(string); ok {
			if _, bad := isoNanoseconds(s, false); bad == "" {
				return s, ""
			}
		}
	case mlmodel.Object:
		if m, ok := v.(map[string]any); ok {
			return m, ""
		}
	}
	return nil, "must be of type " + kindNames[kind]
}
