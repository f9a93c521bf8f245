package artifact

import (
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

const (
	maxPath    = 4096 // bytes of a path
	maxSegment = 255  // bytes of a segment, as file systems have it
	maxDecode  = 8    // escapes inside escapes that are looked through
)

// errPath is MLflow's answer to every path that it does not trust (source: mlflow/utils/uri.py, validate_path_is_safe).
func errPath() error { return mlflow.Invalidf("Invalid path") }

// CleanPath checks a path that was decoded once and returns its shortest form: "a//b/./c/" becomes "a/b/c", "." becomes "".
//
// Returns INVALID_PARAMETER_VALUE for anything that could lead out of a root on any system: "..", a leading slash, a backslash,
// a drive letter with nothing or a slash behind its colon, a file: URI, "#", NUL and other control characters, bytes that are not UTF-8, and text that would turn into one
// of these if somebody decoded it again.
func CleanPath(p string) (string, error) {
	if len(p) > maxPath {
		return "", errPath()
	}
	for seen, i := p, 0; ; i++ {
		if !safe(seen) || i == maxDecode {
			return "", errPath()
		}
		decoded, err := url.PathUnescape(seen)
		if err != nil || decoded == seen {
			break
		}
		seen = decoded
	}
	clean := path.Clean("/" + p)[1:]
	if !safe(clean) { // "./C:/x"
		return "", errPath()
	}
	for segment := range strings.SplitSeq(clean, "/") {
		if len(segment) > maxSegment {
			return "", errPath()
		}
	}
	return clean, nil
}

func safe(p string) bool {
	if !utf8.ValidString(p) || strings.ContainsAny(p, "\\#") || strings.HasPrefix(p, "/") {
		return false
	}
	for _, r := range p {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return false
		}
	}
	if len(p) >= 2 && p[1] == ':' && (p[0]|0x20 >= 'a' && p[0]|0x20 <= 'z') && (len(p) == 2 || p[2] == '/') {
		return false
	}
	if len(p) >= 5 && strings.EqualFold(p[:5], "file:") {
		return false
	}
	for segment := range strings.SplitSeq(p, "/") {
		if segment == ".." {
			return false
		}
	}
	return true
}

// Join puts two clean paths together.
func Join(base, p string) string {
	switch {
	case base == "":
		return p
	case p == "":
		return base
	}
	return base + "/" + p
}
