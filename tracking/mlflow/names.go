package mlflow

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The sentences of MLflow's validation (source: mlflow/utils/validation.py, MLflow 3.17).
const badCharacters = "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."

// InvalidValue returns INVALID_PARAMETER_VALUE in MLflow's shape: `Invalid value V for parameter 'P' supplied`, then ": hint", or
// "." without a hint. value is shown as JSON.
func InvalidValue(param string, value any, hint string) error {
	tail := "."
	if hint != "" {
		tail = ": " + hint
	}
	return Invalidf("Invalid value %s for parameter '%s' supplied%s", compactJSON(value), param, tail)
}

// MissingValue returns INVALID_PARAMETER_VALUE for a required parameter that is not there.
func MissingValue(param string) error {
	return Invalidf("Missing value for required parameter '%s'.", param)
}

// CheckName checks a key of a param, metric or tag: its characters, and that it means itself as a relative path. param is the
// parameter's name in the message, for example "params[0].key". The length is CheckLength's business.
func CheckName(param, name string) error {
	if isPlainName(name) {
		return nil
	}
	if strings.ContainsFunc(name, badNameRune) {
		return InvalidValue(param, name, badCharacters)
	}
	if !IsPlainPath(name) {
		return InvalidValue(param, name, fmt.Sprintf("Names may be treated as files in certain cases, and must not resolve to "+
			"other names when treated as such. This name would resolve to %s", Repr(path.Clean(name))))
	}
	return nil
}

// isPlainName reports, for most names and quickly, that CheckName has nothing against one: ASCII letters, digits and _ - : with single
// points between them.
func isPlainName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == ':':
		case c == '.' && i > 0 && name[i-1] != '.':
		default:
			return false
		}
	}
	return name != ""
}

// CheckLength checks that value has at most limit characters; what is the message's name for it, for example "Param key".
func CheckLength(what, value string, limit int) error {
	if len(value) <= limit || utf8.RuneCountInString(value) <= limit {
		return nil
	}
	return Invalidf("'%s' exceeds the maximum length of %d characters", what, limit)
}

// Truncate cuts s after limit characters.
func Truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit {
			return s[:i]
		}
		n++
	}
	return s
}

// IsPlainPath reports whether name is a relative path that is already clean and stays below its root.
func IsPlainPath(name string) bool {
	clean := path.Clean(name)
	return clean == name && clean != "." && !strings.HasPrefix(clean, "..") && !strings.HasPrefix(clean, "/")
}

// Repr writes s as Python's repr does, for sentences that MLflow makes with it.
func Repr(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

// badNameRune is the complement of MLflow's [/\w.\- :].
func badNameRune(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune("_/.- :", r)
}

// compactJSON is JSON as Python's json.dumps writes it with compact separators: ASCII only, no HTML escapes.
func compactJSON(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return asciiJSON(strings.TrimSuffix(b.String(), "\n"))
}

func asciiJSON(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
