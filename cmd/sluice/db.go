package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"sluice/tracking/sqldb"
)

func newDBCommand(environ []string) *cobra.Command {
	db := &cobra.Command{Use: "db", Short: "Check, back up and upgrade the database"}
	db.AddCommand(newDBCheckCommand(environ), newDBBackupCommand(environ), newDBUpgradeCommand(environ))
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
	return dbCommand(environ, "check", "Say which schema a SQLite database has and whether it is whole; changes nothing", cobra.NoArgs,
		func(cmd *cobra.Command, cfg Config, _ []string) error {
			found, err := sqldb.Inspect(cmd.Context(), cfg.BackendStoreURI)
			if err != nil {
				return err
			}
			return printInspection(cmd.OutOrStdout(), found)
		})
}

func printInspection(out io.Writer, found sqldb.Inspection) error {
	state := "not known here; take a backup, then run: mlflow db upgrade " + found.URI
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
	return dbCommand(environ, "backup FILE", "Copy a SQLite database into a new file, as of one commit, while a server may be working on it", cobra.ExactArgs(1),
		func(cmd *cobra.Command, cfg Config, args []string) error {
			size, err := sqldb.Backup(cmd.Context(), cfg.BackendStoreURI, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes\n", args[0], size)
			return err
		})
}

func newDBUpgradeCommand(environ []string) *cobra.Command {
	var mlflowToo bool
	cmd := dbCommand(environ, "upgrade", "Bring sluice's own tables up to date; says how to upgrade MLflow's", cobra.NoArgs,
		func(cmd *cobra.Command, cfg Config, _ []string) error {
			out := cmd.OutOrStdout()
			return withStores(cmd.Context(), cfg, environ, newLogger(cfg, cmd.ErrOrStderr()), func(a *App) error {
				fmt.Fprintln(out, "sluice's own tables are up to date")
				return a.askForUpgrade(cmd.Context(), mlflowToo, out)
			})
		})
	cmd.Flags().BoolVar(&mlflowToo, "mlflow", false, "require MLflow's tables to be at the newest schema too; fails with the command that upgrades them")
	return cmd
}

// askForUpgrade says what MLflow's tables need. Their migrations are MLflow's own programs, which this one does not run.
func (a *App) askForUpgrade(_ context.Context, required bool, out io.Writer) error {
	revision := a.db.Revision()
	if revision == sqldb.HeadRevision() {
		_, err := fmt.Fprintf(out, "MLflow's tables are at the newest schema, %s\n", revision)
		return err
	}
	advice := fmt.Sprintf("MLflow's tables are at schema %s, which works here; the newest is %s. To upgrade them stop the server and run: "+
		"sluice db backup FILE && mlflow db upgrade %s", revision, sqldb.HeadRevision(), a.db.URI())
	if required {
		return errors.New(advice)
	}
	_, err := fmt.Fprintln(out, advice)
	return err
}
