package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/setup"
	"sluice/runtime/onnx"
	"sluice/tracking/sqldb"
)

// check is one line of `sluice doctor`.
type check struct {
	what string
	// run returns what was found, or what is missing and how to get it.
	run func(ctx context.Context) (found string, err error)
	// optional checks do not make the doctor fail.
	optional bool
}

func newDoctorCommand(environ []string) *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is missing on this machine and how to get it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loadSettings(cmd, &cfg, environ); err != nil {
				return err
			}
			return examine(cmd.Context(), cmd.OutOrStdout(), checks(&cfg, environ))
		},
	}
	bindSome(cmd, &cfg, "cache-dir", "ort-lib", "data-dir", "backend-store-uri")
	return cmd
}

func examine(ctx context.Context, out io.Writer, all []check) error {
	missing := 0
	for _, c := range all {
		found, err := c.run(ctx)
		switch {
		case err == nil:
			fmt.Fprintf(out, "ok       %-16s %s\n", c.what, found)
		case c.optional:
			fmt.Fprintf(out, "note     %-16s %v\n", c.what, err)
		default:
			missing++
			fmt.Fprintf(out, "missing  %-16s %v\n", c.what, err)
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d checks failed", missing, len(all))
	}
	return nil
}

func checks(cfg *Config, environ []string) []check {
	o := setupOptions(cfg, environ)
	return []check{
		{what: "ONNX Runtime", run: func(context.Context) (string, error) {
			lib, err := setup.FindOnnxRuntime(o)
			if err != nil {
				return "", err
			}
			rt, err := onnx.Open(lib, nil)
			if err != nil {
				return "", fmt.Errorf("%s does not load: %w; run `sluice setup` or set ORT_LIB to version 1.24 or newer", lib, err)
			}
			return rt.Version() + " at " + lib, nil
		}},
		{what: "web UI", run: func(context.Context) (string, error) { return setup.FindWebUI(o) }},
		{what: "data directory", run: func(context.Context) (string, error) { return writable(cfg.DataDir) }},
		{what: "database", run: func(ctx context.Context) (string, error) { return database(ctx, cfg) }},
		{what: "Python", optional: true, run: func(context.Context) (string, error) {
			path, err := exec.LookPath("python3")
			if err != nil {
				return "", errors.New("no python3 on PATH: `sluice setup` then needs Maven or npm, and MLflow's web UI cannot be fetched")
			}
			return path, nil
		}},
		{what: "platform", run: func(context.Context) (string, error) {
			return runtime.GOOS + "/" + runtime.GOARCH + ", " + runtime.Version(), nil
		}},
	}
}

// writable says whether files can be made in dir, or in its nearest parent that exists.
func writable(dir string) (string, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	where := at
	for {
		info, err := os.Stat(where)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("%s is not a directory: choose another --data-dir", where)
		}
		if err == nil {
			break
		}
		where = filepath.Dir(where)
	}
	f, err := os.CreateTemp(where, ".sluice-doctor-*")
	if err != nil {
		return "", fmt.Errorf("%w: choose another --data-dir", err)
	}
	return at, errors.Join(f.Close(), os.Remove(f.Name()))
}

// database opens an existing database and tells its revision; it makes none.
func database(ctx context.Context, cfg *Config) (string, error) {
	address, err := sqldb.ParseURI(cfg.BackendStoreURI)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(address.Path); address.Dialect == sqldb.SQLite && errors.Is(err, os.ErrNotExist) {
		return address.Redacted() + " (made at the first start)", nil
	}
	db, err := sqldb.Open(ctx, cfg.BackendStoreURI, &sqldb.Options{Existing: true})
	if errors.Is(err, sqldb.ErrEmpty) {
		return address.Redacted() + " (empty; its tables are made at the first start)", nil
	}
	if err != nil {
		return "", err
	}
	defer db.Close()
	return fmt.Sprintf("%s at revision %s", db.URI(), db.Revision()), nil
}
