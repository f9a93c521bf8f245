package wire

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// quote returns s as a JSON string, shortened.
func quote(s string) string {
	b, err := json.Marshal(shorten(strings.ToValidUTF8(s, "\uFFFD"), maxEcho))
	if err != nil {
		return `""`
	}
	return string(b)
}

// shorten cuts s after max bytes, at a character's border, and marks the cut. The result is a copy.
func shorten(s string, max int) string {
	if len(s) <= max {
		return strings.Clone(s)
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max] + "…"
}
