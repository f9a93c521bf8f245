package truth

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind says what a Value is.
type Kind uint8

// The kinds.
const (
	None   Kind = iota // null, absent, or not a single value
	Number             // written with a fraction or an exponent
	Whole              // a number written without
	Bool
	Text
)

// Value is a prediction or a ground truth: one JSON scalar.
type Value struct {
	Kind   Kind
	Number float64 // of Number and Whole; 0 or 1 of Bool
	Text   string  // of Text
}

// maxValueText bounds a class's name, in bytes; longer texts are no values.
const maxValueText = 512

// ParseValue reads a JSON scalar; false if it is none, null, too long, or a number beyond float64.
func ParseValue(raw json.RawMessage) (Value, bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return Value{}, false
	}
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil || len(s) > maxValueText || !utf8.ValidString(s) {
			return Value{}, false
		}
		return Value{Kind: Text, Text: s}, true
	case 't', 'f':
		var b bool
		if json.Unmarshal(raw, &b) != nil {
			return Value{}, false
		}
		return boolValue(b), true
	case '[', '{', 'n':
		return Value{}, false
	}
	return numberValue(string(raw))
}

func boolValue(b bool) Value {
	if b {
		return Value{Kind: Bool, Number: 1}
	}
	return Value{Kind: Bool}
}

// numberValue reads a JSON number.
func numberValue(text string) (Value, bool) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
		return Value{}, false
	}
	if strings.ContainsAny(text, ".eE") {
		return Value{Kind: Number, Number: x}, true
	}
	return Value{Kind: Whole, Number: x}, true
}

// JSON writes the value so that equal values have equal texts; a number has no trailing zeros.
func (v Value) JSON() string {
	switch v.Kind {
	case Bool:
		return strconv.FormatBool(v.Number == 1)
	case Number, Whole:
		return strconv.FormatFloat(v.Number, 'g', -1, 64)
	case Text:
		b, _ := json.Marshal(v.Text) // a string always can be
		return string(b)
	}
	return "null"
}

// Name is the value as the name of a class, or as a key: a text as it is, 3.0 as 3.
func (v Value) Name() string {
	if v.Kind == Text {
		return v.Text
	}
	return v.JSON()
}

// numeric says whether the value is a number.
func (v Value) numeric() bool { return v.Kind == Number || v.Kind == Whole }
