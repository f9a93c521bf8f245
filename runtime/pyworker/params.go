package pyworker

import (
	"encoding/json"
	"fmt"
	"math"

	"sluice/runtime/servable"
)

// appendParams appends inference params as JSON that Python reads back as the same values; nothing if there are none. Floats keep a fraction, so
// that they stay floats.
func appendParams(dst []byte, params map[string]any) ([]byte, error) {
	if len(params) == 0 {
		return dst, nil
	}
	text, err := json.Marshal(floats(params))
	if err != nil {
		return dst, fmt.Errorf("%w: params: %w", servable.ErrBadInput, err)
	}
	return append(dst, text...), nil
}

// floats replaces float64 by something that json.Marshal writes as Python would.
func floats(v any) any {
	switch v := v.(type) {
	case float64:
		return pythonFloat(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = floats(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = floats(x)
		}
		return out
	}
	return v
}

type pythonFloat float64

// MarshalJSON writes the number with a fraction or an exponent.
func (f pythonFloat) MarshalJSON() ([]byte, error) {
	v := float64(f)
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return fmt.Appendf(nil, "%.1f", v), nil
	}
	return json.Marshal(v)
}
