package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sluice/registry"
	"sluice/tracking/bundle"
	"sluice/tracking/mlflow"
	trackingrest "sluice/tracking/rest"
	"sluice/tracking/sqldb"
	trackingstore "sluice/tracking/sqlstore"
)

// bundles exports and imports on the open stores.
func (a *App) bundles() *bundle.Service {
	return bundle.New(bundleStore{a}, a.artifacts, bundle.Options{Locations: a.tracking, TempDir: filepath.Join(a.cfg.DataDir, "tmp")})
}

// bundleStore is tracking's store and registry's as one: they lie in one database, so one transaction holds both.
type bundleStore struct{ app *App }

func (b bundleStore) Schema() string { return b.app.store.Schema() }

// Export implements bundle.Store. A registered model's own rows are of one commit, and those of what its versions came from of the next.
func (b bundleStore) Export(ctx context.Context, sel bundle.Selection, emit bundle.Emit) (string, error) {
	switch sel.Kind {
	case bundle.KindRun:
		return sel.ID, b.app.store.ExportRun(ctx, sel.ID, emit)
	case bundle.KindExperiment:
		return b.app.store.ExportExperiment(ctx, sel.ID, emit)
	case bundle.KindModel:
		runs, models, err := b.app.registryStore.ExportModel(ctx, sel.ID, emit)
		if err != nil {
			return "", err
		}
		return sel.ID, b.app.store.ExportRefs(ctx, trackingstore.BundleRefs{Runs: runs, Models: models}, emit)
	}
	return "", mlflow.Invalidf("A bundle is of a run, an experiment or a model, not of %s.", mlflow.Repr(string(sel.Kind)))
}

// Plan implements bundle.Store.
func (b bundleStore) Plan(ctx context.Context, c *bundle.Contents) (*bundle.Plan, error) {
	return b.app.store.PlanBundle(ctx, c, func(ctx context.Context, q sqldb.Querier, p *bundle.Plan) error {
		return b.app.registryStore.PlanBundle(ctx, q, c, p)
	})
}

// Import implements bundle.Store. A change of the registry takes its turn there, so that whoever routes hears of it.
func (b bundleStore) Import(ctx context.Context, c *bundle.Contents, finish func(ctx context.Context, p *bundle.Plan) error) (plan *bundle.Plan, err error) {
	write := func() (events []registry.Event, err error) {
		plan, err = b.app.store.ImportBundle(ctx, c, func(ctx context.Context, tx *sqldb.Tx, p *bundle.Plan) error {
			var err error
			if events, err = b.app.registryStore.ImportBundle(ctx, tx, c, p); err != nil {
				return err
			}
			return finish(ctx, p)
		})
		return events, err
	}
	if len(c.Owners(bundle.ClassRegistered)) == 0 {
		_, err = write()
		return plan, err
	}
	err = b.app.registry.Import(ctx, write)
	return plan, err
}

var storeSettings = []string{"data-dir", "backend-store-uri", "artifacts-destination", "default-artifact-root", "artifact-folders"}

func newExportCommand(environ []string) *cobra.Command {
	var cfg Config
	var file string
	cmd := &cobra.Command{
		Use:   "export run|experiment|model ID_OR_NAME",
		Short: "Write a run, an experiment or a registered model to one file, ids and artifacts included",
		Long: "Writes a bundle that sluice import reads on another server: a run by its id, an experiment by its id or name, a registered model by\n" +
			"its name. A server may be running on the same data. -o - writes to standard output.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			sel := bundle.Selection{Kind: bundle.Kind(args[0]), ID: args[1]}
			if !slices.Contains([]bundle.Kind{bundle.KindRun, bundle.KindExperiment, bundle.KindModel}, sel.Kind) {
				return fmt.Errorf("export %s: want run, experiment or model", args[0])
			}
			if err := loadSettings(cmd, &cfg, environ); err != nil {
				return err
			}
			return withStores(cmd.Context(), cfg, environ, newLogger(cfg, cmd.ErrOrStderr()), func(a *App) error {
				return exportBundle(cmd.Context(), a, sel, file, cmd.OutOrStdout(), cmd.ErrOrStderr())
			})
		},
	}
	bindSome(cmd, &cfg, storeSettings...)
	cmd.Flags().StringVarP(&file, "output", "o", "", "file to write (default: named after what it holds, in the working directory)")
	return cmd
}

// exportBundle writes the bundle beside its place and renames it when it is whole; a file that is there is never replaced.
func exportBundle(ctx context.Context, a *App, sel bundle.Selection, file string, stdout, say io.Writer) error {
	out, err := a.bundles().Gather(ctx, sel)
	if err != nil {
		return err
	}
	defer out.Close()
	if file == "-" {
		return out.WriteTo(ctx, stdout)
	}
	if file == "" {
		file = trackingrest.BundleName(out.Manifest)
	}
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%s is there already", file)
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".sluice-export-")
	if err != nil {
		return err
	}
	err = out.WriteTo(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Link(f.Name(), file) // unlike a rename, it replaces nothing
	}
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return err
	}
	m := out.Manifest
	fmt.Fprintf(say, "%s: %d bytes of artifacts in %d files, %s\n", file, m.Bytes, m.Files, rowsText(m.Rows))
	if m.Foreign > 0 {
		fmt.Fprintf(say, "%d locations lie outside of this server's storage; their files are not in the bundle: %s\n", m.Foreign, strings.Join(m.ForeignSome, ", "))
	}
	return nil
}

func newImportCommand(environ []string) *cobra.Command {
	var cfg Config
	var skip bool
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Read a bundle that sluice export wrote: all of it, or nothing",
		Long: "Checks the whole bundle, then writes it in one transaction. Ids of runs, logged models, traces and versions are kept; one that is there\n" +
			"already is an error. An experiment of the same name takes the runs; else one is made, with the id that it had if that is free. A server may\n" +
			"be running on the same data, but its writers wait meanwhile (SQLite), and endpoints follow new versions at their next turn. - reads\n" +
			"standard input.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := loadSettings(cmd, &cfg, environ); err != nil {
				return err
			}
			return withStores(cmd.Context(), cfg, environ, newLogger(cfg, cmd.ErrOrStderr()), func(a *App) error {
				return importBundle(cmd.Context(), a, args[0], skip, cmd.InOrStdin(), cmd.OutOrStdout())
			})
		},
	}
	bindSome(cmd, &cfg, storeSettings...)
	cmd.Flags().BoolVar(&skip, "skip-existing", false, "leave alone what is there already, with everything that belongs to it, and write the rest")
	return cmd
}

func importBundle(ctx context.Context, a *App, file string, skip bool, stdin io.Reader, say io.Writer) error {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	report, err := a.bundles().Import(ctx, in, skip)
	if err != nil {
		return err
	}
	fmt.Fprintf(say, "%s %s: %d bytes of artifacts in %d files, %s\n", report.Kind, report.ID, report.Bytes, report.Files, rowsText(report.Rows))
	for from, to := range report.Experiments {
		switch made := slices.Contains(report.Made, to); {
		case made && from != to:
			fmt.Fprintf(say, "experiment %s has the id %s here: its own was taken\n", from, to)
		case !made:
			fmt.Fprintf(say, "experiment %s went into the one of its name, id %s\n", from, to)
		}
	}
	if report.SkippedAll > 0 {
		fmt.Fprintf(say, "%d were there already and left alone\n", report.SkippedAll)
	}
	return nil
}

// rowsText names the rows of every table, in order.
func rowsText(rows map[string]int64) string {
	var parts []string
	for _, t := range bundle.Tables() {
		if n := rows[t.Name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(t.Name, "_", " ")))
		}
	}
	if parts == nil {
		return "no rows"
	}
	return strings.Join(parts, ", ")
}
