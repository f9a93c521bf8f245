package sqldb

import (
	"os"
)

// Login is how a Python program is given a database without its password in the arguments, which others on the machine see.
// End it with Close.
type Login struct {
	// URI is the address without its password.
	URI string
	// Environ holds what the program needs in its environment besides.
	Environ []string

	file string
}

// NewLogin prepares the address for SQLAlchemy's usual drivers. libpq takes the password from the environment; MySQL's drivers from an
// option file that only its owner reads, made in folder.
func NewLogin(uri, folder string) (Login, error) {
	addr, err := ParseURI(uri)
	if err != nil {
		return Login{}, err
	}
	public, password := addr.withoutPassword()
	if password == "" {
		return Login{URI: uri}, nil
	}
	if addr.Dialect == Postgres {
		return Login{URI: public.plain(), Environ: []string{"PGPASSWORD=" + password}}, nil
	}
	file, err := writeDefaults(addr, folder)
	if err != nil {
		return Login{}, err
	}
	public.Options.Set("read_default_file", file)
	return Login{URI: public.plain(), file: file}, nil
}

// Close removes what NewLogin made.
func (l Login) Close() error {
	if l.file == "" {
		return nil
	}
	return os.Remove(l.file)
}
