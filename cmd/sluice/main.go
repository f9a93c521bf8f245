// Command sluice is a model serving gateway with its registry inside.
//
// This package owns configuration (flags, SLUICE_* environment, one YAML file), the wiring of every room into App, and the mounting of
// every route. Nobody imports it; it imports everybody. The rooms below it read no flag, no file and no environment of their own accord.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=…); a plain `go build` says "devel" and the module's own version if it has one.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRoot(os.Environ()).ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "sluice: "+err.Error())
	var lost *lostRecordsError
	if errors.As(err, &lost) {
		os.Exit(3)
	}
	os.Exit(1)
}

// newRoot builds the command tree; environ is the process environment as os.Environ gives it.
func newRoot(environ []string) *cobra.Command {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "A model serving gateway with its registry inside",
		Long:          "Sluice keeps MLflow runs, artifacts and registered models, serves them at /invocations by stage with canary splits,\nand writes served predictions back into tracking. One binary; SQLite and local files by default.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		newServeCommand(environ),
		newSetupCommand(environ),
		newDoctorCommand(environ),
		newKeysCommand(environ),
		newGCCommand(environ),
		newExportCommand(environ),
		newImportCommand(environ),
		newDBCommand(environ),
		newRolloutCommand(environ),
		newPredictionsCommand(environ),
		newModelsCommand(environ),
		newLoadtestCommand(),
		newReplayCommand(environ),
		newVersionCommand(),
	)
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary and of what it speaks",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
		},
	}
}

func versionText() string {
	text := "sluice " + version
	if info, ok := debug.ReadBuildInfo(); ok {
		text += " (" + info.GoVersion + ")"
	}
	return text + ", MLflow REST API " + mlflowVersion
}
