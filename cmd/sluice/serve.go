package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

func newServeCommand(environ []string) *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Start the server",
		Long:  "Starts tracking, registry and serving on one port. Every flag is also an environment variable (SLUICE_ and the name in\ncapitals, dashes as underscores) and a key of the file named by --config. OTEL_* variables configure the OTLP push.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loadSettings(cmd, &cfg, environ); err != nil {
				return err
			}
			log := newLogger(cfg, cmd.ErrOrStderr())
			app, err := New(cmd.Context(), cfg, environ, log)
			if err != nil {
				return err
			}
			if err := app.Announce(cmd.OutOrStdout()); err != nil {
				return errors.Join(err, app.Close())
			}
			return errors.Join(app.Run(cmd.Context()), app.Close())
		},
	}
	cfg.bind(cmd.Flags())
	return cmd
}

func newLogger(cfg Config, out io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // resolve has checked it
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// lostRecordsError makes the exit code say that prediction records were dropped.
type lostRecordsError struct{ lost int64 }

func (e *lostRecordsError) Error() string {
	return fmt.Sprintf("%d prediction records were lost", e.lost)
}
