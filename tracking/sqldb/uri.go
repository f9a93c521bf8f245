package sqldb

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
)

// Address is a parsed backend store URI.
type Address struct {
	Dialect Dialect
	// Driver is SQLAlchemy's driver after the plus sign ("psycopg2" of postgresql+psycopg2): told again by Redacted, else unused.
	Driver string
	// Path is the SQLite file, relative or absolute; empty for other dialects.
	Path string
	// User and Password are decoded; empty if the URI has none. HasPassword tells an empty one from none.
	User, Password string
	HasPassword    bool
	// Host is a name or address without brackets; empty for a socket that the options name, or the driver's default.
	Host string
	// Port is 0 if the URI has none.
	Port int
	// Database is the name of the database; empty means the driver's default.
	Database string
	// Options are the parameters behind the question mark; nil for SQLite.
	Options url.Values

	scheme string // of a server, as it was written
}

// Redacted returns the address as a URI with the password replaced by "***".
func (a Address) Redacted() string {
	return a.text(redactedOptions(a.Options))
}

// plain returns the address as a URI; call it on one without a password.
func (a Address) plain() string { return a.text(a.Options.Encode()) }

// text writes the address with "***" as password and the given options.
func (a Address) text(options string) string {
	if a.Dialect == SQLite {
		return "sqlite:///" + a.Path
	}
	var b strings.Builder
	b.WriteString(a.scheme + "://" + url.PathEscape(a.User))
	if a.HasPassword {
		b.WriteString(":***")
	}
	if a.User != "" || a.HasPassword {
		b.WriteByte('@')
	}
	if strings.Contains(a.Host, ":") {
		b.WriteString("[" + a.Host + "]")
	} else {
		b.WriteString(a.Host)
	}
	if a.Port != 0 {
		b.WriteString(":" + strconv.Itoa(a.Port))
	}
	b.WriteString("/" + a.Database)
	if options != "" {
		b.WriteString("?" + options)
	}
	return b.String()
}

func redactedOptions(options url.Values) string {
	shown := url.Values{}
	for k, v := range options {
		if strings.Contains(strings.ToLower(k), "pass") {
			v = []string{"***"}
		}
		shown[k] = v
	}
	text, err := url.QueryUnescape(shown.Encode())
	if err != nil {
		return shown.Encode()
	}
	return text
}

// ParseURI reads a SQLAlchemy URI: dialect[+driver]://…; for SQLite the path begins after the third slash, for the servers it is
// user:password@host:port/database?option=value with user and password percent-encoded. The driver's name is accepted, whatever
// it is: postgresql+psycopg2 and mysql+pymysql are the usual ones.
//
// Returns INVALID_PARAMETER_VALUE for anything else, and for SQLite in memory, which a second connection could not see.
// The message never repeats the URI, which may hold a password.
func ParseURI(uri string) (Address, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return Address{}, mlflow.Invalidf("backend store URI must look like sqlite:///path/to/file.db")
	}
	dialect, driver, _ := strings.Cut(strings.ToLower(scheme), "+")
	a := Address{Driver: driver, scheme: scheme}
	switch dialect {
	case "sqlite":
		return parseSQLite(rest)
	case "postgresql", "postgres":
		a.Dialect = Postgres
		return parseServer(a, rest)
	case "mysql", "mariadb":
		a.Dialect = MySQL
		return parseServer(a, rest)
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

// serverURI takes a server's URI apart as SQLAlchemy does: a password holds anything but "@" (in it: "/", "?", "#"), which
// net/url would read otherwise. Groups: user, ":" and password, IPv6 address, other host, port, database, options.
var serverURI = regexp.MustCompile(`^(?:([^:/@]*)(:[^@]*)?@)?(?:\[([^/?\]]+)\]|([^/:?\[\]]*))(?::([^/?]*))?(?:/([^?]*))?(?:\?(.*))?$`)

func parseServer(a Address, rest string) (Address, error) {
	wrong := mlflow.Invalidf("backend store URI must look like %s://user:password@host:port/database", a.Dialect)
	part := serverURI.FindStringSubmatch(rest)
	if part == nil || strings.ContainsAny(rest, "\x00\n\r") {
		return Address{}, wrong
	}
	var errs [3]error
	a.User, errs[0] = url.PathUnescape(part[1])
	if part[2] != "" {
		a.HasPassword = true
		a.Password, errs[1] = url.PathUnescape(part[2][1:])
	}
	a.Host, a.Database = part[3]+part[4], part[6]
	a.Options, errs[2] = url.ParseQuery(part[7])
	for _, err := range errs {
		if err != nil {
			return Address{}, wrong // the error would repeat a part of the password
		}
	}
	if part[5] != "" {
		port, err := strconv.ParseUint(part[5], 10, 16)
		if err != nil || port == 0 {
			return Address{}, wrong
		}
		a.Port = int(port)
	}
	if a.Host == "" && a.Options.Get("host") == "" && a.Options.Get("unix_socket") == "" {
		return Address{}, wrong
	}
	for k, v := range a.Options {
		if len(v) != 1 {
			return Address{}, mlflow.Invalidf("backend store option %q stands there more than once", k)
		}
	}
	return a, nil
}
