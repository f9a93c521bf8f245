package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sluice/tracking/purge"
)

func newGCCommand(environ []string) *cobra.Command {
	var cfg Config
	var older string
	var ids []string
	var yes bool
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "End for good what was deleted: runs, logged models and experiments, with their artifacts",
		Long: "Shows what was deleted and how many bytes its artifacts have; with --yes removes it. What a registered version was made from\n" +
			"is kept. A server may be running on the same data.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			age, err := parseAge(older)
			if err != nil {
				return fmt.Errorf("--older-than: %w", err)
			}
			if err := loadSettings(cmd, &cfg, environ); err != nil {
				return err
			}
			return withStores(cmd.Context(), cfg, environ, newLogger(cfg, cmd.ErrOrStderr()), func(a *App) error {
				return collectGarbage(cmd.Context(), a, purge.Query{OlderThan: age, IDs: ids}, yes, cmd.OutOrStdout())
			})
		},
	}
	bindSome(cmd, &cfg, "data-dir", "backend-store-uri", "artifacts-destination", "default-artifact-root", "artifact-folders")
	cmd.Flags().StringVar(&older, "older-than", "0s", "spare what was deleted less than this long ago, for example 30d or 12h30m")
	cmd.Flags().StringSliceVar(&ids, "ids", nil, "only these runs, logged models and experiments")
	cmd.Flags().BoolVar(&yes, "yes", false, "remove; without it nothing changes")
	return cmd
}

// withStores runs do with an App of which only the stores are open: a server may be running beside it.
func withStores(ctx context.Context, cfg Config, environ []string, log *slog.Logger, do func(a *App) error) error {
	a := &App{cfg: cfg, environ: environ, log: log}
	for _, open := range []func(context.Context) error{a.openDatabase, a.openArtifacts, a.openTracking, a.openRegistry} {
		if err := open(ctx); err != nil {
			return errors.Join(err, a.Close())
		}
	}
	return errors.Join(do(a), a.Close())
}

// parseAge reads a duration as time.ParseDuration does, with days in front: 30d, 1d12h. MLflow's mlflow gc takes the same words.
func parseAge(text string) (time.Duration, error) {
	var total time.Duration
	if days, rest, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q is not a duration", text)
		}
		total, text = time.Duration(n*24*float64(time.Hour)), rest
	}
	if text == "" {
		return total, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	return total + d, nil
}

// purger ends what was deleted, but what registered versions were made from.
func (a *App) purger() *purge.Purger {
	return purge.New(a.store, a.artifacts, purge.Options{Named: a.registeredArtifacts})
}

func (a *App) registeredArtifacts(ctx context.Context) ([]purge.Named, error) {
	models, err := a.registry.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var out []purge.Named
	for _, m := range models {
		for _, v := range m.Versions {
			by := fmt.Sprintf("version %d of %s", v.Version, m.Name)
			out = append(out, purge.Named{By: by, URI: v.Source, ModelID: v.ModelID}, purge.Named{By: by, URI: v.StorageLocation})
		}
	}
	return out, nil
}

func collectGarbage(ctx context.Context, a *App, q purge.Query, yes bool, out io.Writer) error {
	p := a.purger()
	if !yes {
		report, err := p.Preview(ctx, q)
		if err != nil {
			return err
		}
		if err := printGarbage(out, report); err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%d bytes in %d files would be removed; run again with --yes\n", report.Bytes, report.Files)
		return err
	}
	report, err := p.Run(ctx, q)
	if err != nil {
		return err
	}
	if err := printGarbage(out, report); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d bytes in %d files were removed\n", report.Bytes, report.Files)
	return err
}

func printGarbage(out io.Writer, report purge.Report) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tID\tNAME\tDELETED\tFILES\tBYTES\tKEPT BECAUSE")
	for _, d := range report.Items {
		least := ""
		if d.AtLeast {
			least = "≥ "
		}
		fmt.Fprintf(w, "%s\t%s\t%q\t%s\t%s%d\t%s%d\t%s\n", d.Kind, d.ID, d.Name, whenText(d.DeletedMS), least, d.Files, least, d.Bytes, d.Kept)
	}
	if report.More {
		fmt.Fprintln(w, "and more: run again for the rest")
	}
	return w.Flush()
}
