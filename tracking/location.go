package tracking

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"sluice/tracking/mlflow"
)

// hostSchemes are the schemes whose URIs make a server connect to the host they name; the value is the family in which they
// are compared (source: mlflow/store/artifact/host_policy.py, MLflow 3.17).
var hostSchemes = map[string]string{
	"ftp": "ftp", "sftp": "sftp", "hdfs": "hdfs", "viewfs": "hdfs", "http": "http", "https": "https",
	"mlflow-artifacts": "http", "r2": "r2", "b2": "b2", "abfss": "abfss",
}

// userSchemes are the schemes in which the part before "@" is an account or container, not a disguise.
var userSchemes = []string{"ftp", "sftp", "hdfs", "wasb", "wasbs", "abfs", "abfss"}

// resolveLocation checks an artifact location and returns it with a relative local path made absolute under dir.
// Refused: runs:/ URIs, fragments, path parameters, control characters, backslashes, what is no UTF-8, ".." in the path or the query however often
// it is encoded, disguising user information, foreign file hosts, and more than mlflow.MaxArtifactLocation characters.
func resolveLocation(location, dir string) (string, error) {
	if strings.HasPrefix(location, "runs:") {
		return "", mlflow.Invalidf("Artifact location cannot be a runs:/ URI. Given: '%s'", location)
	}
	if len(location) > mlflow.MaxArtifactLocation {
		return "", mlflow.Invalidf("Invalid artifact path length. The length of the artifact path cannot be greater than %d characters.",
			mlflow.MaxArtifactLocation)
	}
	for _, form := range decodings(location) {
		if err := checkForm(form); err != nil {
			return "", err
		}
	}
	scheme, rest := cutScheme(location)
	if err := checkAuthority(scheme, rest, location); err != nil {
		return "", err
	}
	return absolute(scheme, rest, location, dir), nil
}

// decodings returns the location and what it becomes when percent-decoded again and again; more than ten rounds is refused by
// checkForm through the NUL that it then appends.
func decodings(s string) []string {
	forms := []string{s}
	for range 10 {
		next, err := url.PathUnescape(s)
		if err != nil || next == s {
			return forms
		}
		forms = append(forms, next)
		s = next
	}
	return append(forms, "\x00")
}

func checkForm(form string) error {
	if strings.ContainsAny(form, "#;") {
		return mlflow.Invalidf("'artifact_location' URL can't include fragments or params.")
	}
	if strings.ContainsFunc(form, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return mlflow.Invalidf("'artifact_location' can't include control characters or backslashes.")
	}
	if !utf8.ValidString(form) {
		return mlflow.Invalidf("'artifact_location' can't include bytes that are no UTF-8.")
	}
	_, rest := cutScheme(form) // ".." right behind the scheme is a segment too
	pathPart, query, _ := strings.Cut(rest, "?")
	if strings.Contains(query, "..") {
		return mlflow.Invalidf("Invalid query string")
	}
	if slices.Contains(strings.Split(pathPart, "/"), "..") {
		return mlflow.Invalidf("'artifact_location' can't include relative segments ('..').")
	}
	return nil
}

func checkAuthority(scheme, rest, location string) error {
	after, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return nil
	}
	authority, _, _ := strings.Cut(after, "/")
	authority, _, _ = strings.Cut(authority, "?")
	if strings.Contains(authority, "@") && !slices.Contains(userSchemes, scheme) {
		return mlflow.Invalidf("'artifact_location' can't include user information. Given: '%s'", location)
	}
	if scheme == "file" && authority != "" && authority != "localhost" {
		return mlflow.Invalidf("'artifact_location' can't be a file on another host. Given: '%s'", location)
	}
	return nil
}

// checkHost refuses a location that would make the server connect to a host which the operator did not choose.
func (s *Service) checkHost(location string) error {
	scheme, host, ok := hostTarget(location)
	if !ok || slices.Contains(s.opts.HostSchemes, scheme) {
		return nil
	}
	if rootScheme, rootHost, ok := hostTarget(s.opts.ArtifactRoot); ok && rootHost == host && hostSchemes[rootScheme] == hostSchemes[scheme] {
		return nil
	}
	return mlflow.Invalidf("'artifact_location' cannot use the '%s' scheme: the '%s' scheme addresses a host other than the tracking "+
		"server's configured artifact storage, so the server would connect to the host named in the URI.", scheme, scheme)
}

// hostTarget returns scheme and host (with port) of a location that names a host to connect to.
func hostTarget(location string) (scheme, host string, ok bool) {
	scheme, rest := cutScheme(location)
	if hostSchemes[scheme] == "" {
		return "", "", false
	}
	after, slashes := strings.CutPrefix(rest, "//")
	host, _, _ = strings.Cut(after, "/")
	host, _, _ = strings.Cut(host, "?")
	host = host[strings.LastIndexByte(host, '@')+1:]
	if !slashes {
		host = ""
	}
	if scheme == "mlflow-artifacts" && host == "" {
		return "", "", false // the server itself
	}
	return scheme, strings.ToLower(host), true
}

// absolute makes a relative local path absolute under dir; everything else stays as it is.
func absolute(scheme, rest, location, dir string) string {
	switch {
	case scheme == "" && !strings.HasPrefix(location, "/"):
		return path.Join(dir, location)
	case scheme == "file" && !strings.HasPrefix(rest, "/"):
		return "file://" + path.Join(dir, rest)
	}
	return location
}

// cutScheme splits "scheme:rest" and lowers the scheme; "" if there is none.
func cutScheme(uri string) (scheme, rest string) {
	head, rest, ok := strings.Cut(uri, ":")
	if !ok || head == "" || strings.ContainsFunc(head, notSchemeRune) {
		return "", uri
	}
	return strings.ToLower(head), rest
}

func notSchemeRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '-' || r == '.')
}

// joinURI appends segments to the path of a URI, before its query.
func joinURI(uri string, segments ...string) string {
	base, query, hasQuery := strings.Cut(uri, "?")
	base = strings.TrimSuffix(base, "/") + "/" + strings.Join(segments, "/")
	if hasQuery {
		return base + "?" + query
	}
	return base
}

// DefaultLocation returns where an experiment without a location of its own keeps artifacts.
func (s *Service) DefaultLocation(id string) string { return s.defaultLocation(id) }

// CheckLocation applies the rules for locations that clients choose to one that is written down already. Returns INVALID_PARAMETER_VALUE.
func (s *Service) CheckLocation(location string) error {
	resolved, err := resolveLocation(location, s.opts.WorkDir)
	if err != nil {
		return err
	}
	return s.checkHost(resolved)
}

// RunLocation returns where a run of an experiment with this location keeps artifacts.
func RunLocation(experiment, id string) string { return joinURI(experiment, id, "artifacts") }

// ModelLocation returns where a logged model of an experiment with this location keeps artifacts.
func ModelLocation(experiment, id string) string {
	return joinURI(experiment, "models", id, "artifacts")
}

// TraceLocation returns where a trace of an experiment with this location keeps artifacts.
func TraceLocation(experiment, id string) string {
	return joinURI(experiment, "traces", id, "artifacts")
}
