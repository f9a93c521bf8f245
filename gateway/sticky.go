package gateway

import (
	"strings"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// Source is a place in a request that a value is read from.
type Source string

// The sources. A field is a place in a JSON body, named by a JSON Pointer (RFC 6901).
const (
	FromHeader Source = "header"
	FromCookie Source = "cookie"
	FromQuery  Source = "query"
	FromField  Source = "field"
)

// Bounds on the names that a configuration may use for parts of a request.
const (
	MaxSourceName = 256 // bytes
	MaxFieldDepth = 8   // reference tokens of a JSON Pointer
	MaxSaltLength = 128 // bytes
)

// Sticky says which part of a request is its sticky key: requests with the same key get the same arm, and raising an arm's weight moves
// nobody out of it. The header X-Sluice-Sticky-Key, where a request has it, comes first. Without a key the arm is random by weight. The zero
// value means that header alone.
type Sticky struct {
	Source Source // "" means the zero value
	Name   string // of the header, cookie or query parameter, or the JSON Pointer of the field
	Salt   string // another one reshuffles who gets which arm; may be empty
}

// check applies the rules that need no registry.
func (s Sticky) check() error {
	if len(s.Salt) > MaxSaltLength || !utf8.ValidString(s.Salt) {
		return mlflow.Invalidf("sticky.salt is longer than %d bytes, or no text", MaxSaltLength)
	}
	if s.Source == "" {
		return nil
	}
	if s.Source == FromField {
		return checkPointer("sticky.field", s.Name)
	}
	return checkSource("sticky", s.Source, s.Name)
}

// checkSource returns INVALID_PARAMETER_VALUE unless name can stand in a request as what source says.
func checkSource(path string, source Source, name string) error {
	path += "." + string(source)
	switch {
	case name == "":
		return mlflow.Invalidf("%s is empty", path)
	case len(name) > MaxSourceName:
		return mlflow.Invalidf("%s is longer than %d bytes", path, MaxSourceName)
	case source == FromQuery && !utf8.ValidString(name):
		return mlflow.Invalidf("%s is no text", path)
	case source == FromQuery:
		return nil
	case !isToken(name):
		return mlflow.Invalidf("%s %q is not a name of a %s", path, clip(name, 60), source)
	case source == FromHeader && secretHeaders[strings.ToLower(name)]:
		return mlflow.Invalidf("%s %q holds a secret and is not read for routing", path, clip(name, 60))
	}
	return nil
}

// secretHeaders must not decide on a route: who may tell what was decided could guess them.
var secretHeaders = map[string]bool{"authorization": true, "cookie": true, "proxy-authorization": true}

// isToken says whether the text is a token of RFC 9110, section 5.6.2, as names of headers and cookies are.
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) < 0
}

func checkPointer(path, pointer string) error {
	tokens, ok := PointerTokens(pointer)
	if !ok {
		return mlflow.Invalidf("%s %q is not a JSON Pointer, such as /params/user_id", path, clip(pointer, 60))
	}
	if len(pointer) > MaxSourceName || len(tokens) > MaxFieldDepth {
		return mlflow.Invalidf("%s is longer than %d bytes, or deeper than %d steps", path, MaxSourceName, MaxFieldDepth)
	}
	return nil
}

// PointerTokens returns the reference tokens of a JSON Pointer, unescaped; false if it is none, or names the whole document.
func PointerTokens(pointer string) ([]string, bool) {
	if !strings.HasPrefix(pointer, "/") || !utf8.ValidString(pointer) {
		return nil, false
	}
	tokens := strings.Split(pointer[1:], "/")
	for i, t := range tokens {
		rest := strings.NewReplacer("~0", "", "~1", "").Replace(t)
		if strings.Contains(rest, "~") {
			return nil, false
		}
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}
	return tokens, true
}
