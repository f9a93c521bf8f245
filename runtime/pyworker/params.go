package pyworker

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"sluice/runtime/servable"
)

// appendParams appends inference params as JSON that Python reads back as the same values; nothing if there are none. Floats keep a fraction, so
// that they stay floats, and those that JSON has no word for are written as Python's own.
func appendParams(dst []byte, params map[string]any) ([]byte, error) {
	if len(params) == 0 {
		return dst, nil
	}
	return appendParam(dst, params)
}

func appendParam(dst []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case float64:
		return appendFloat(dst, v), nil
	case map[string]any:
		dst = append(dst, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendParam(dst, name); err != nil {
				return dst, err
			}
			if dst, err = appendParam(append(dst, ':'), v[name]); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	case []any:
		dst = append(dst, '[')
		for i, x := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendParam(dst, x); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("%w: params: %w", servable.ErrBadInput, err)
	}
	return append(dst, text...), nil
}

// appendFloat writes the number with a fraction or an exponent, or as NaN, Infinity, -Infinity.
func appendFloat(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		return fmt.Appendf(dst, "%.1f", v)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}
