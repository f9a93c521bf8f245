package registry

import (
	"net"
	"net/url"
	"path"
	"slices"
	"strings"

	"sluice/tracking/mlflow"
)

// maxDecodings is how often a source may be percent-encoded over and over; more is refused.
const maxDecodings = 10

// checkPlainSource refuses a source that could mean another place than it seems to: relative segments, backslashes, control
// characters, disguising user information and, in URIs, fragments and path parameters, however often they are percent-encoded.
func checkPlainSource(source string) error {
	forms, ok := decodings(source)
	if !ok {
		return relativeSource(source)
	}
	scheme, _ := cutScheme(source)
	for _, form := range forms {
		if strings.ContainsFunc(form, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
			return relativeSource(source)
		}
		if scheme != "" && strings.ContainsAny(form, "#;") {
			return relativeSource(source)
		}
		segments := strings.FieldsFunc(form, func(r rune) bool { return strings.ContainsRune("/?#;&=", r) })
		if slices.Contains(segments, "..") {
			return relativeSource(source)
		}
	}
	if hasUser(scheme, source) {
		return relativeSource(source)
	}
	if isLocal(source) {
		return nil
	}
	return checkCleanPath(source, forms[len(forms)-1])
}

// checkCleanPath asks for an absolute path without "." segments in a remote URI; doubled and trailing slashes are fine.
func checkCleanPath(source, decoded string) error {
	_, rest := cutScheme(decoded)
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		_, after, _ = strings.Cut(after, "/")
		rest = "/" + after
	}
	rest, _, _ = strings.Cut(rest, "?")
	if !strings.HasPrefix(rest, "/") || strings.TrimRight(rest, "/") == "" || slices.Contains(strings.Split(rest, "/"), ".") {
		return relativeSource(source)
	}
	return nil
}

func relativeSource(source string) error {
	return mlflow.Invalidf("Invalid model version source: '%s'. If supplying a source as an http, https, local file path, ftp, objectstore, "+
		"or mlflow-artifacts uri, an absolute path must be provided without relative path references present. Please provide an absolute path.", source)
}

// decodings returns the text and what it becomes by percent-decoding it again and again; false after maxDecodings.
func decodings(s string) ([]string, bool) {
	forms := []string{s}
	for range maxDecodings {
		next := unescape(s)
		if next == s {
			return forms, true
		}
		forms = append(forms, next)
		s = next
	}
	return forms, false
}

// unescape decodes every valid percent escape and leaves broken ones alone, so that a broken one cannot shield the others.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hex(s[i+1]) >= 0 && hex(s[i+2]) >= 0 {
			b.WriteByte(byte(hex(s[i+1])<<4 | hex(s[i+2])))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// hex returns the value of a hexadecimal digit, -1 for anything else.
func hex(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}

// isLocal says whether the source is a path, or a file: URI, on the server's machine.
func isLocal(source string) bool {
	scheme, _ := cutScheme(source)
	return scheme == "" || scheme == "file"
}

// localPath returns the clean absolute path of a local source or root; false for anything else. It does not touch the disk:
// links are the concern of whoever opens the files, below the root.
func localPath(uri string) (string, bool) {
	scheme, rest := cutScheme(uri)
	switch scheme {
	case "":
		rest = uri
	case "file":
		if after, ok := strings.CutPrefix(rest, "//"); ok {
			host, p, _ := strings.Cut(after, "/")
			if host != "" && host != "localhost" {
				return "", false
			}
			rest = "/" + p
		}
		rest = unescape(rest)
	default:
		return "", false
	}
	if !strings.HasPrefix(rest, "/") {
		return "", false
	}
	return path.Clean(rest), true
}

// cleanLocal returns a local source without "." and ".." segments, literal or percent-encoded once; one that has none comes back unchanged.
func cleanLocal(source string) string {
	scheme, rest := cutScheme(source)
	if !slices.ContainsFunc(strings.Split(unescape(rest), "/"), func(s string) bool { return s == "." || s == ".." }) {
		return source
	}
	p, ok := localPath(source)
	switch {
	case !ok:
		return source
	case scheme == "":
		return p
	}
	return (&url.URL{Scheme: scheme, Path: p}).String()
}

// isForeignFile says whether the source is a file: URI that names another machine.
func isForeignFile(source string) bool {
	scheme, rest := cutScheme(source)
	after, ok := strings.CutPrefix(rest, "//")
	host, _, _ := strings.Cut(after, "/")
	return scheme == "file" && ok && host != "" && host != "localhost"
}

// isBelow says whether the clean path p is dir or lies in it.
func isBelow(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// isProxied says whether the source is an artifact of an MLflow server: mlflow-artifacts:, or its HTTP spelling.
func isProxied(source string) bool {
	scheme, _, parts := uriParts(source)
	if scheme == "mlflow-artifacts" {
		return true
	}
	route := []string{"api", "2.0", "mlflow-artifacts", "artifacts"}
	for i := 0; i+len(route) <= len(parts) && strings.HasPrefix(scheme, "http"); i++ {
		if slices.Equal(parts[i:i+len(route)], route) {
			return true
		}
	}
	return false
}

// isWithin says whether the source is root or lies in it: same scheme, same authority, and root's segments first.
func isWithin(source, root string) bool {
	sScheme, sHost, sParts := uriParts(source)
	rScheme, rHost, rParts := uriParts(root)
	return sScheme == rScheme && sHost == rHost && len(rParts) > 0 &&
		len(sParts) >= len(rParts) && slices.Equal(sParts[:len(rParts)], rParts)
}

// uriParts splits a URI into scheme, authority and the decoded segments of its path.
func uriParts(uri string) (scheme, authority string, parts []string) {
	scheme, rest := cutScheme(uri)
	rest, _, _ = strings.Cut(rest, "?")
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		authority, rest, _ = strings.Cut(after, "/")
	}
	for p := range strings.SplitSeq(rest, "/") {
		if p != "" {
			parts = append(parts, unescape(p))
		}
	}
	return scheme, strings.ToLower(authority), parts
}

// hostFamilies are the schemes whose URIs make a server connect to the host they name, each with the family in which hosts are
// compared (source: mlflow/store/artifact/host_policy.py, MLflow 3.17).
var hostFamilies = map[string]string{
	"ftp": "ftp", "sftp": "sftp", "hdfs": "hdfs", "viewfs": "hdfs", "http": "http", "https": "http", "mlflow-artifacts": "http",
	"r2": "r2", "b2": "b2", "abfss": "abfss",
}

var hostPorts = map[string][]string{
	"ftp": {"21"}, "sftp": {"22"}, "http": {"80"}, "https": {"443"}, "mlflow-artifacts": {"80", "443"},
	"r2": {"443"}, "b2": {"443"}, "abfss": {"443"},
}

// checkHost refuses a source that would make the server connect to a host which is not its own storage's.
func (s *Service) checkHost(source string) error {
	wanted := hostTargets(source)
	if wanted == nil {
		return nil
	}
	for _, location := range s.opts.TrustedLocations {
		for _, t := range hostTargets(location) {
			if slices.Contains(wanted, t) {
				return nil
			}
		}
	}
	scheme, _ := cutScheme(source)
	return mlflow.Invalidf("'source' cannot use the '%s' scheme: the '%s' scheme addresses a host other than the tracking server's "+
		"configured artifact storage, so the server would connect to the host named in the URI.", scheme, scheme)
}

// hostTargets returns "family host:port" for each place that the URI may connect to; nil if it names no host.
func hostTargets(uri string) []string {
	scheme, rest := cutScheme(uri)
	family, ok := hostFamilies[scheme]
	if !ok {
		return nil
	}
	after, slashes := strings.CutPrefix(rest, "//")
	authority, _, _ := strings.Cut(after, "/")
	authority, _, _ = strings.Cut(authority, "?")
	if scheme == "mlflow-artifacts" && (!slashes || authority == "") {
		return nil // the server itself
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = authority, ""
	}
	host = family + " " + strings.ToLower(host)
	if port != "" {
		return []string{host + ":" + port}
	}
	ports := hostPorts[scheme]
	if len(ports) == 0 {
		return []string{host + ":"}
	}
	var out []string
	for _, p := range ports {
		out = append(out, host+":"+p)
	}
	return out
}

// userSchemes are the schemes in which the part before "@" is an account or container, not a disguise.
var userSchemes = []string{"ftp", "sftp", "hdfs", "viewfs", "wasb", "wasbs", "abfs", "abfss", "r2", "b2"}

func hasUser(scheme, source string) bool {
	if scheme == "" || slices.Contains(userSchemes, scheme) {
		return false
	}
	u, err := url.Parse(source)
	return err != nil || u.User != nil
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
