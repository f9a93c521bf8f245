package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/gateway/monitor"
	"sluice/gateway/predictions"
	"sluice/gateway/predictions/sqlindex"
)

// RetentionConfig is how long delivered prediction segments are kept; 0 means for ever, or without a bound.
type RetentionConfig struct {
	Age   time.Duration
	Bytes int64
}

// bind declares the flags.
func (c *RetentionConfig) bind(f *pflag.FlagSet) {
	f.DurationVar(&c.Age, "prediction-log-retention", 0, "remove prediction segments from the serving runs so long after their last record, 0 never; the newest of each version stays")
	f.Int64Var(&c.Bytes, "prediction-log-retention-bytes", 0, "remove the oldest prediction segments when all have more bytes than this, 0 never; the newest of each version stays")
}

func (c *RetentionConfig) check() error {
	var failed []error
	if c.Age != 0 {
		failed = append(failed, atLeast("prediction-log-retention", c.Age, time.Minute))
	}
	return errors.Join(append(failed, inRange("prediction-log-retention-bytes", float64(c.Bytes), 0, 1<<60))...)
}

// keeper looks after delivered segments.
func (a *App) keeper(index predictions.Index) *predictions.Keeper {
	places := func(ctx context.Context) iter.Seq2[predictions.Place, error] { return monitor.Places(ctx, a.tracking) }
	return predictions.NewKeeper(index, a.artifacts, places, predictions.Options{MaxAge: a.cfg.Retention.Age, MaxBytes: a.cfg.Retention.Bytes, Logger: a.log})
}

func newPredictionsReindexCommand(environ []string) *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:   "reindex",
		Short: "Enter prediction segments that the index lacks, from the artifacts of the serving runs",
		Long:  "Reads the artifacts of every serving run and enters the segments that the index lacks. A server does so itself when the index is empty.\nIt may be running on the same data.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loadSettings(cmd, &cfg, environ); err != nil {
				return err
			}
			return withStores(cmd.Context(), cfg, environ, newLogger(cfg, cmd.ErrOrStderr()), func(a *App) error {
				index, err := sqlindex.New(cmd.Context(), a.db)
				if err != nil {
					return err
				}
				n, err := a.keeper(index).Reindex(cmd.Context())
				_, printed := fmt.Fprintf(cmd.OutOrStdout(), "%d segments entered\n", n)
				return errors.Join(err, printed)
			})
		},
	}
	bindSome(cmd, &cfg, "data-dir", "backend-store-uri", "artifacts-destination", "default-artifact-root", "artifact-folders")
	return cmd
}
