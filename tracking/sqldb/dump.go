package sqldb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
)

// Tools finds and runs the programs that copy databases of servers.
type Tools struct {
	// Find returns the path of a program, such as exec.LookPath; nil finds none.
	Find func(name string) (string, error)
	// Environ is what the programs get as environment, a password added to it.
	Environ []string
}

// dumper is how one program is asked for a copy.
type dumper struct {
	programs []string // the first that is found runs
	args     []string // never a password: others on the machine see them
	environ  []string
	complete string // stands near the end of a copy that is whole
}

// dump has the server's own program write the database into file, which exists.
func dump(ctx context.Context, addr Address, raw *sql.DB, file string, tools Tools) error {
	if addr.Dialect == Postgres {
		return tools.run(ctx, postgresDumper(addr), file)
	}
	if _, err := tools.find(mysqlPrograms("")); err != nil {
		return err // whether the server answers or not
	}
	if addr.Database == "" {
		return mlflow.Invalidf("the backend store URI names no database")
	}
	var version string
	if err := raw.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return Classify(err)
	}
	defaults, err := writeDefaults(addr, filepath.Dir(file))
	if err != nil {
		return err
	}
	defer os.Remove(defaults)
	return tools.run(ctx, mysqlDumper(addr, version, defaults), file)
}

func postgresDumper(addr Address) dumper {
	d := dumper{programs: []string{"pg_dump"}, complete: "PostgreSQL database dump complete"}
	public, password := addr.withoutPassword()
	if password != "" {
		d.environ = []string{"PGPASSWORD=" + password}
	}
	d.args = []string{"--no-password", "--format=plain", "--encoding=UTF8", "--dbname=" + postgresDSN(public)}
	return d
}

// withoutPassword returns the address without its password, and the password.
func (a Address) withoutPassword() (public Address, password string) {
	public, password = a, a.Password
	public.Password, public.HasPassword = "", false
	public.Options = maps.Clone(a.Options)
	if other := a.Options.Get("password"); other != "" {
		public.Options.Del("password")
		password = other
	}
	return public, password
}

func mysqlDumper(addr Address, version, defaults string) dumper {
	d := dumper{programs: mysqlPrograms(version), complete: "Dump completed"}
	d.args = []string{
		"--defaults-file=" + defaults, "--single-transaction", "--quick", "--routines", "--triggers", "--hex-blob", "--no-tablespaces",
		"--default-character-set=utf8mb4", "--", addr.Database,
	}
	return d
}

// mysqlPrograms returns the names of the programs for a server, the better first.
func mysqlPrograms(version string) []string {
	if strings.Contains(version, "MariaDB") {
		return []string{"mariadb-dump", "mysqldump"}
	}
	return []string{"mysqldump", "mariadb-dump"}
}

// writeDefaults writes the login into an option file of MySQL's programs that only its owner reads, and returns its path.
func writeDefaults(addr Address, folder string) (string, error) {
	f, err := os.CreateTemp(folder, ".login-*.cnf")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(mysqlDefaults(addr))
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// mysqlDefaults is an option file with the address. MariaDB's programs and MySQL's call the check of certificates differently: each
// skips the other's option, which begins with "loose".
func mysqlDefaults(addr Address) string {
	var b strings.Builder
	b.WriteString("[client]\n")
	put := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s=\"%s\"\n", name, strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(value))
		}
	}
	put("user", addr.User)
	put("password", addr.Password)
	if socket := addr.Options.Get("unix_socket"); socket != "" {
		put("socket", socket)
		return b.String()
	}
	put("host", addr.Host)
	put("port", strconv.Itoa(mysqlPort(addr)))
	put("ssl-ca", addr.Options.Get("ssl_ca"))
	put("ssl-cert", addr.Options.Get("ssl_cert"))
	put("ssl-key", addr.Options.Get("ssl_key"))
	switch identity, _ := strconv.ParseBool(addr.Options.Get("ssl_verify_identity")); {
	case identity:
		b.WriteString("loose-ssl-verify-server-cert\nloose-ssl-mode=VERIFY_IDENTITY\n")
	case addr.Options.Get("ssl_ca") != "":
		b.WriteString("loose-ssl-mode=VERIFY_CA\n")
	}
	return b.String()
}

// run writes what the program says into file, and checks that it came to the end.
func (t Tools) run(ctx context.Context, d dumper, file string) error {
	program, err := t.find(d.programs)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, d.args...)
	complaints := &tail{max: 2000}
	cmd.Stdout, cmd.Stderr, cmd.Env = out, complaints, slices.Concat(t.Environ, d.environ)
	err = cmd.Run()
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, bytes.TrimSpace(complaints.data))
	}
	return checkDump(file, d.complete)
}

func (t Tools) find(programs []string) (string, error) {
	if t.Find != nil {
		for _, name := range programs {
			if path, err := t.Find(name); err == nil {
				return path, nil
			}
		}
	}
	return "", mlflow.Errorf(mlflow.NotImplemented, "a backup of this database needs its own program, which is not on the PATH: install %s", strings.Join(programs, " or "))
}

// checkDump looks for the mark that the programs write last.
func checkDump(file, complete string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	end := make([]byte, min(size, 4096))
	if _, err := f.ReadAt(end, size-int64(len(end))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Contains(end, []byte(complete)) {
		return mlflow.Errorf(mlflow.DataLoss, "the copy is not whole: %d bytes without the mark at the end", size)
	}
	return nil
}

// tail keeps the last max bytes of what is written.
type tail struct {
	max  int
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if extra := len(t.data) - t.max; extra > 0 {
		t.data = append(t.data[:0], t.data[extra:]...)
	}
	return len(p), nil
}
