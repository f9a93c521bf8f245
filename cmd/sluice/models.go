package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sluice/runtime/pyenv"
)

func newModelsCommand(environ []string) *cobra.Command {
	models := &cobra.Command{
		Use:   "models",
		Short: "Serve one model, predict with it, pack it for Docker; look after the Python environments of models",
	}
	env := &cobra.Command{Use: "env", Short: "List and prune the Python environments that were built for models"}
	env.AddCommand(newEnvListCommand(environ), newEnvPruneCommand(environ))
	models.AddCommand(newModelsServeCommand(environ), newModelsPredictCommand(environ), newModelsPrepareEnvCommand(environ), newModelsBuildDockerCommand(environ), env)
	return models
}

func newEnvListCommand(environ []string) *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the environments, the one used last first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withEnvironments(cmd, &cfg, environ, func(pool *pyenv.Pool) error {
				list, err := pool.List()
				if err != nil {
					return err
				}
				return printEnvironments(cmd.OutOrStdout(), list)
			})
		},
	}
	bindSome(cmd, &cfg, "env-dir", "cache-dir")
	return cmd
}

func newEnvPruneCommand(environ []string) *cobra.Command {
	var cfg Config
	var all bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove environments beyond --env-max-bytes and --env-max-age that nobody uses, and say which",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withEnvironments(cmd, &cfg, environ, func(pool *pyenv.Pool) error {
				bytes, age := cfg.Environments.MaxBytes, cfg.Environments.MaxAge
				if all {
					bytes, age = 0, 0
				}
				removed, err := pool.Prune(cmd.Context(), bytes, age)
				if err != nil {
					return err
				}
				return printEnvironments(cmd.OutOrStdout(), removed)
			})
		},
	}
	bindSome(cmd, &cfg, "env-dir", "cache-dir", "env-max-bytes", "env-max-age")
	cmd.Flags().BoolVar(&all, "all", false, "remove every one that nobody uses now, and the downloaded packages")
	return cmd
}

// withEnvironments runs do with the environments that the settings name.
func withEnvironments(cmd *cobra.Command, cfg *Config, environ []string, do func(*pyenv.Pool) error) error {
	if err := loadSettings(cmd, cfg, environ); err != nil {
		return err
	}
	pool, err := cfg.Environments.open(environ, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(pool)
}

func printEnvironments(out io.Writer, list []pyenv.Info) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ENVIRONMENT\tPYTHON\tPACKAGES\tMB\tBUILT\tUSED\tIN USE\tFOR")
	for _, i := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%.1f\t%s\t%s\t%v\t%s\n", i.Key, i.Python, len(i.Packages), float64(i.Bytes)/1e6,
			i.Built.UTC().Format(time.DateTime), i.Used.UTC().Format(time.DateTime), i.InUse, shortened(strings.Join(i.Requirements, " "), 60))
	}
	return w.Flush()
}

func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
