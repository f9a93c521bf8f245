package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"

	"github.com/spf13/cobra"

	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
)

func newDBCommand(environ []string) *cobra.Command {
	db := &cobra.Command{Use: "db", Short: "Check, back up and upgrade the database"}
	db.AddCommand(newDBCheckCommand(environ), newDBBackupCommand(environ), newDBUpgradeCommand(environ), newDBDeleteRollupsCommand(environ))
	return db
}

// dbCommand returns a command that runs do with the merged settings.
func dbCommand(environ []string, use, short string, args cobra.PositionalArgs, do func(cmd *cobra.Command, cfg Config, args []string) error) *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := loadSettings(cmd, &cfg, environ); err != nil {
				return err
			}
			return do(cmd, cfg, args)
		},
	}
	bindSome(cmd, &cfg, "data-dir", "backend-store-uri")
	return cmd
}

var errDatabase = errors.New("the database needs attention")

func newDBCheckCommand(environ []string) *cobra.Command {
	return dbCommand(environ, "check", "Say which schema the database has and whether it is whole; changes nothing", cobra.NoArgs,
		func(cmd *cobra.Command, cfg Config, _ []string) error {
			found, err := sqldb.Inspect(cmd.Context(), cfg.BackendStoreURI)
			if err != nil {
				return err
			}
			return printInspection(cmd.OutOrStdout(), found)
		})
}

func printInspection(out io.Writer, found sqldb.Inspection) error {
	state := "not known here; if it is older, stop all servers and run: sluice db upgrade --mlflow (or take a backup, then run: mlflow db upgrade " + found.URI + ")"
	switch {
	case found.Newest:
		state = "the newest"
	case found.Known:
		state = "accepted; the newest is " + sqldb.HeadRevision()
	case found.Revision == "":
		state = "these are not MLflow's tables"
	}
	fmt.Fprintf(out, "database %s\nMLflow's schema %q: %s\n", found.URI, found.Revision, state)
	for _, component := range slices.Sorted(maps.Keys(found.Steps)) {
		fmt.Fprintf(out, "own tables of %s: step %d\n", component, found.Steps[component])
	}
	for _, p := range found.Problems {
		fmt.Fprintln(out, "problem:", p)
	}
	if !found.Known || len(found.Problems) > 0 {
		return errDatabase
	}
	_, err := fmt.Fprintln(out, "whole")
	return err
}

func newDBBackupCommand(environ []string) *cobra.Command {
	// SQLite's copy is a database; PostgreSQL's and MySQL's are the SQL of pg_dump, mariadb-dump or mysqldump.
	return dbCommand(environ, "backup FILE", "Copy the database into a new file, as of one commit, while a server may be working on it", cobra.ExactArgs(1),
		func(cmd *cobra.Command, cfg Config, args []string) error {
			size, err := sqldb.Backup(cmd.Context(), cfg.BackendStoreURI, args[0], tools(environ))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes\n", args[0], size)
			return err
		})
}

// tools are the programs on the PATH.
func tools(environ []string) sqldb.Tools { return sqldb.Tools{Find: exec.LookPath, Environ: environ} }

func newDBUpgradeCommand(environ []string) *cobra.Command {
	var m mlflowUpgrade
	cmd := dbCommand(environ, "upgrade", "Bring sluice's own tables up to date, and with --mlflow MLflow's after a backup", cobra.NoArgs,
		func(cmd *cobra.Command, cfg Config, _ []string) error {
			out := cmd.OutOrStdout()
			if m.wanted {
				m.environ, m.out, m.complaints = environ, out, cmd.ErrOrStderr()
				if err := m.run(cmd.Context(), cfg); err != nil {
					return err
				}
			}
			return withStores(cmd.Context(), cfg, environ, newLogger(cfg, cmd.ErrOrStderr()), func(a *App) error {
				fmt.Fprintln(out, "sluice's own tables are up to date")
				return a.reportSchema(out)
			})
		})
	cmd.Flags().BoolVar(&m.wanted, "mlflow", false, "upgrade MLflow's tables too: stop all servers first; makes a backup, then runs MLflow's own program")
	cmd.Flags().StringVar(&m.backup, "backup", "", "file for the backup of --mlflow (default: a new one in --data-dir)")
	cmd.Flags().StringVar(&m.program, "mlflow-program", "mlflow", "MLflow's program, of version "+mlflow.Version+", a name on the PATH or a path")
	return cmd
}

func newDBDeleteRollupsCommand(environ []string) *cobra.Command {
	return dbCommand(environ, "delete-trace-rollups", "Delete MLflow's daily sums over traces, which no server here keeps; stop all servers first, the traces stay", cobra.NoArgs,
		func(cmd *cobra.Command, cfg Config, _ []string) error {
			db, err := sqldb.Open(cmd.Context(), cfg.BackendStoreURI, &sqldb.Options{Existing: true, DropRollups: true, Logger: newLogger(cfg, cmd.ErrOrStderr())})
			if err != nil {
				return err
			}
			if err := db.Close(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "database %s: no rollups of traces\n", db.URI())
			return err
		})
}

// reportSchema says at which schema MLflow's tables are.
func (a *App) reportSchema(out io.Writer) error {
	revision := a.db.Revision()
	if revision == sqldb.HeadRevision() {
		_, err := fmt.Fprintf(out, "MLflow's tables are at the newest schema, %s\n", revision)
		return err
	}
	_, err := fmt.Fprintf(out, "MLflow's tables are at schema %s, which works here; the newest is %s. To upgrade them stop all servers and run: "+
		"sluice db upgrade --mlflow\n", revision, sqldb.HeadRevision())
	return err
}
