package payload

import (
	"sluice/tracking/mlflow"
)

// readParams checks the "params" of a body against the model's, as pyfunc does: unknown ones are ignored, missing ones take their
// defaults. A model without params ignores them, whatever they are.
func (p *Plan) readParams(t *text, n uint32) (map[string]any, error) {
	if p.defaults == nil || t.first(n) == 'n' {
		return p.defaults, nil
	}
	given, ok := t.value(n).(map[string]any)
	if !ok {
		return nil, mlflow.Invalidf("Parameters must be a dictionary. Got %s.", t.describe(n))
	}
	out, _, err := p.sig.EnforceParams(given)
	if err != nil {
		return nil, mlflow.Errorf(mlflow.InvalidParameterValue, "%w", err)
	}
	return out, nil
}
