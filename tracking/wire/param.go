package wire

import (
	"net/url"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
)

// Param returns the path parameter, percent-decoded exactly once; the string is a copy. "*" is the rest of the path.
//
// It relies on Fiber's default UnescapePath: false, so that a slash written %2F never becomes a path separator in routing.
// Returns INVALID_PARAMETER_VALUE if an escape is broken or the decoded text is not UTF-8 or holds control characters. Whether
// the value is a safe path is the artifact room's question.
func Param(c *fiber.Ctx, name string) (string, error) {
	raw := c.Params(name)
	s, err := url.PathUnescape(raw)
	if err != nil || !plainText(s) {
		return "", mlflow.Invalidf("Invalid value %s for parameter '%s' supplied: not a valid path segment.", quote(raw), paramName(name))
	}
	if len(s) > 0 && len(s) == len(raw) {
		s = string(append([]byte(nil), s...)) // nothing was unescaped: s still aliases the request
	}
	return s, nil
}

func paramName(name string) string {
	if name == "*" || name == "+" {
		return "path"
	}
	return name
}

// plainText reports whether s is UTF-8 without control characters.
func plainText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return true
}
