package sqldb

import (
	"net/url"
	"path/filepath"
	"strings"

	"sluice/tracking/mlflow"
)

// Address is a parsed backend store URI.
type Address struct {
	Dialect Dialect
	// Driver is SQLAlchemy's driver after the plus sign ("psycopg2" of postgresql+psycopg2), for error messages only.
	Driver string
	// Path is the SQLite file, relative or absolute; empty for other dialects.
	Path string
	// URL is the whole address of a server database; nil for SQLite.
	URL *url.URL
}

// Redacted returns the address as a URI with the password replaced by "***".
func (a Address) Redacted() string {
	if a.URL == nil {
		return "sqlite:///" + a.Path
	}
	u := *a.URL
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "***")
	}
	return u.String()
}

// ParseURI reads a SQLAlchemy URI: dialect[+driver]://…; for SQLite the path begins after the third slash.
// Returns INVALID_PARAMETER_VALUE for anything else, and for SQLite in memory, which a second connection could not see.
// The message never repeats the URI, which may hold a password.
func ParseURI(uri string) (Address, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return Address{}, mlflow.Invalidf("backend store URI must look like sqlite:///path/to/file.db")
	}
	dialect, driver, _ := strings.Cut(strings.ToLower(scheme), "+")
	switch dialect {
	case "sqlite":
		return parseSQLite(rest)
	case "postgresql", "postgres":
		return parseServer(Postgres, driver, uri)
	case "mysql":
		return parseServer(MySQL, driver, uri)
	case "mssql":
		return Address{}, mlflow.Errorf(mlflow.NotImplemented, "not built in: mssql as backend store")
	}
	return Address{}, mlflow.Invalidf("unknown backend store scheme %q: expected sqlite, postgresql or mysql", scheme)
}

func parseSQLite(rest string) (Address, error) {
	path, ok := strings.CutPrefix(rest, "/")
	if !ok && rest != "" {
		return Address{}, mlflow.Invalidf("a SQLite URI has three slashes before a relative path and four before an absolute one: sqlite:///file.db")
	}
	if path == "" || strings.Contains(path, ":memory:") {
		return Address{}, mlflow.Invalidf("SQLite in memory is not supported as backend store: name a file, as in sqlite:///file.db")
	}
	if strings.ContainsAny(path, "?\x00") {
		return Address{}, mlflow.Invalidf("a SQLite URI carries a path only: query parameters are not supported")
	}
	return Address{Dialect: SQLite, Path: filepath.FromSlash(path)}, nil
}

func parseServer(d Dialect, driver, uri string) (Address, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" && u.Query().Get("host") == "" && u.Query().Get("unix_socket") == "" {
		return Address{}, mlflow.Invalidf("backend store URI must look like %s://user:password@host:port/database", d)
	}
	return Address{Dialect: d, Driver: driver, URL: u}, nil
}
