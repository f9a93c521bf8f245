package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sluice/gateway/auth"
	gatewaystore "sluice/gateway/sqlstore"
	"sluice/tracking/sqldb"
	"sluice/tracking/wire"
)

func newKeysCommand(environ []string) *cobra.Command {
	keys := &cobra.Command{
		Use:   "keys",
		Short: "Create, list and revoke the keys that clients log in with",
		Long:  "As soon as one key exists every request needs one: as Bearer token (MLFLOW_TRACKING_TOKEN) or as Basic password with any\nuser name (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD). A running server takes notice within two seconds.",
	}
	keys.AddCommand(newKeysCreateCommand(environ), newKeysListCommand(environ), newKeysRevokeCommand(environ))
	return keys
}

// withKeyStore runs do with the store that the settings name.
func withKeyStore(cmd *cobra.Command, cfg *Config, environ []string, do func(ctx context.Context, store auth.Store) error) error {
	if err := loadSettings(cmd, cfg, environ); err != nil {
		return err
	}
	ctx := cmd.Context()
	db, err := sqldb.Open(ctx, cfg.BackendStoreURI, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	store, err := gatewaystore.New(ctx, db)
	if err != nil {
		return err
	}
	return do(ctx, store)
}

func newKeysCreateCommand(environ []string) *cobra.Command {
	var cfg Config
	var permissions string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a key and print it once; only its hash is kept",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withKeyStore(cmd, &cfg, environ, func(ctx context.Context, store auth.Store) error {
				key, text, err := auth.Create(ctx, store, args[0], auth.ParsePermissions(permissions), time.Now())
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "key %s (%s) was created; it is shown this once:\n", key.Name, permissionText(key.Permissions))
				fmt.Fprintln(cmd.OutOrStdout(), text)
				return nil
			})
		},
	}
	bindSome(cmd, &cfg, "data-dir", "backend-store-uri")
	cmd.Flags().StringVar(&permissions, "permissions", "", "any of read, write, predict, manage, separated by commas (default read,write,predict)")
	return cmd
}

func newKeysListCommand(environ []string) *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys, without their text",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withKeyStore(cmd, &cfg, environ, func(ctx context.Context, store auth.Store) error {
				keys, _, err := store.Keys(ctx)
				if err != nil {
					return err
				}
				return printKeys(cmd.OutOrStdout(), keys)
			})
		},
	}
	bindSome(cmd, &cfg, "data-dir", "backend-store-uri")
	return cmd
}

func newKeysRevokeCommand(environ []string) *cobra.Command {
	var cfg Config
	cmd := &cobra.Command{
		Use:   "revoke NAME|ID",
		Short: "End a key; a running server takes notice within two seconds",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withKeyStore(cmd, &cfg, environ, func(ctx context.Context, store auth.Store) error {
				if err := store.RevokeKey(ctx, args[0], time.Now().UnixMilli()); err != nil {
					return err
				}
				keys, _, err := store.Keys(ctx)
				if err == nil && !auth.Valid(keys) {
					cmd.PrintErrln("This was the last key. A server on loopback asks nobody for credentials now; one that listens elsewhere lets nobody in.")
				}
				return err
			})
		},
	}
	bindSome(cmd, &cfg, "data-dir", "backend-store-uri")
	return cmd
}

func printKeys(out io.Writer, keys []auth.Key) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tID\tPERMISSIONS\tCREATED\tLAST USED\tREVOKED")
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.Name, k.ID, permissionText(k.Permissions), whenText(k.CreatedMS), whenText(k.LastUsedMS), whenText(k.RevokedMS))
	}
	return w.Flush()
}

func permissionText(permissions []wire.Permission) string {
	words := make([]string, len(permissions))
	for i, p := range permissions {
		words[i] = string(p)
	}
	return strings.Join(words, ",")
}

// whenText writes ms since the epoch in UTC, "-" for never.
func whenText(ms int64) string {
	if ms == 0 {
		return "-"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z")
}
