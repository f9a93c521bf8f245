package artifact

import (
	"net/url"
	"strings"

	"sluice/tracking/mlflow"
)

// Opener returns the Repo that a parsed artifact URI of its scheme names. The URI has no fragment, no user and no dot segments;
// whether its path is escaped is the scheme's own matter. Returns PERMISSION_DENIED for a place that the operator did not open.
type Opener func(uri URI) (*Repo, error)

// URI is an artifact URI in its parts.
type URI struct {
	Scheme string // lower case; "file" for a plain path
	Host   string // with port; may be empty
	Path   string // as written, still escaped if the scheme escapes
	Query  string // as written, without "?"
	// Plain says that the URI was a plain path, which is never escaped.
	Plain bool
}

// proxyAnchor stands in http URIs that name this server's own artifact proxy (source: mlflow/server/handlers.py).
const proxyAnchor = "/api/2.0/mlflow-artifacts/artifacts/"

// Resolver turns artifact URIs into Repos: mlflow-artifacts:/… (and its http spelling) into the server's own artifact store,
// other schemes through their Opener.
type Resolver struct {
	proxied *Repo
	openers map[string]Opener
}

// NewResolver returns a Resolver. proxied is where mlflow-artifacts:/ leads; nil means that this server is no artifact proxy.
// openers maps lower-case schemes to drivers; "file" also serves plain paths. The map is not changed and must not be.
func NewResolver(proxied *Repo, openers map[string]Opener) *Resolver {
	return &Resolver{proxied: proxied, openers: openers}
}

// Proxied returns the server's own artifact store. Returns TEMPORARILY_UNAVAILABLE if this server is no artifact proxy.
func (r *Resolver) Proxied() (*Repo, error) {
	if r.proxied == nil {
		return nil, mlflow.Errorf(mlflow.TemporarilyUnavailable, "This server does not serve artifacts.")
	}
	return r.proxied, nil
}

// Resolve returns the Repo that an artifact URI names; it does not touch the storage.
//
// The host of mlflow-artifacts://host/… is not looked at, as in MLflow: a location that this server recorded under another of
// its names is still its own. Returns INVALID_PARAMETER_VALUE for a URI that is malformed, unsafe or of an unknown scheme.
func (r *Resolver) Resolve(uri string) (*Repo, error) {
	u, err := ParseURI(uri)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "mlflow-artifacts":
		return r.own(u, strings.TrimLeft(u.Path, "/"))
	case "http", "https":
		_, rest, ok := strings.Cut(u.Path, proxyAnchor)
		if !ok {
			return nil, mlflow.Invalidf("The artifact URI names no artifact store of this server.")
		}
		return r.own(u, strings.TrimLeft(rest, "/"))
	}
	open, ok := r.openers[u.Scheme]
	if !ok {
		return nil, mlflow.Invalidf("Artifacts of the URI scheme '%s' are not supported by this server.", u.Scheme)
	}
	return open(u)
}

func (r *Resolver) own(u URI, dir string) (*Repo, error) {
	if u.Query != "" {
		return nil, errURI()
	}
	repo, err := r.Proxied()
	if err != nil {
		return nil, err
	}
	return repo.Sub(dir)
}

func errURI() error { return mlflow.Invalidf("Invalid artifact URI.") }

// ParseURI takes an artifact URI apart. Returns INVALID_PARAMETER_VALUE for one with a fragment, parameters (";"), a user, a
// backslash, control characters or dot segments, however often they are escaped.
func ParseURI(uri string) (URI, error) {
	if uri == "" || len(uri) > maxPath {
		return URI{}, errURI()
	}
	scheme, rest, ok := cutScheme(uri)
	if !ok {
		u := URI{Scheme: "file", Path: uri, Plain: true}
		return u, checkURIPath(u.Path)
	}
	u := URI{Scheme: scheme}
	u.Path, u.Query, _ = strings.Cut(rest, "?")
	if after, ok := strings.CutPrefix(u.Path, "//"); ok {
		u.Host, u.Path, _ = strings.Cut(after, "/")
		u.Path = "/" + u.Path
	}
	if strings.ContainsAny(u.Host, "@;#%\\") || strings.Contains(u.Query, "..") || strings.ContainsAny(rest, ";#") {
		return URI{}, errURI()
	}
	return u, checkURIPath(u.Path)
}

// checkURIPath applies the rules of CleanPath to a path that may be absolute.
func checkURIPath(p string) error {
	if _, err := CleanPath(strings.TrimLeft(p, "/")); err != nil {
		return errURI()
	}
	return nil
}

func cutScheme(uri string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(uri, ":")
	if !ok || len(scheme) < 2 { // one letter is a drive
		return "", "", false
	}
	for i, c := range []byte(scheme) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return "", "", false
		}
	}
	return strings.ToLower(scheme), rest, true
}

// Unescaped returns the URI's path decoded once if its scheme escapes paths (file, http), ready for CleanPath below a root.
// Returns INVALID_PARAMETER_VALUE for a broken escape.
func (u URI) Unescaped() (string, error) {
	if u.Plain {
		return u.Path, nil
	}
	p, err := url.PathUnescape(u.Path)
	if err != nil {
		return "", errURI()
	}
	return p, nil
}
