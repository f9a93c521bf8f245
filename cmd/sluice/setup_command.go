package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/setup"
)

func newSetupCommand(environ []string) *cobra.Command {
	var cfg Config
	var skipUI bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Fetch ONNX Runtime and MLflow's web UI with the package clients of this machine",
		Long:  "Fetches the ONNX Runtime shared library (pip, else Maven, else npm) and MLflow's built web UI (pip) into the cache directory and checks\ntheir SHA-256. ORT_LIB names a library of your own, ORT_TARBALL an ONNX Runtime release .tgz to take it from.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loadSettings(cmd, &cfg, environ); err != nil {
				return err
			}
			o := setupOptions(&cfg, environ)
			o.Out = cmd.OutOrStdout()
			lib, err := setup.OnnxRuntime(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ONNX Runtime:", lib)
			if skipUI {
				return nil
			}
			ui, err := setup.WebUI(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "MLflow's web UI:", ui)
			return nil
		},
	}
	bindSome(cmd, &cfg, "cache-dir", "ort-lib")
	cmd.Flags().BoolVar(&skipUI, "skip-ui", false, "fetch ONNX Runtime only")
	return cmd
}

func setupOptions(cfg *Config, environ []string) setup.Options {
	return setup.Options{
		CacheDir: cfg.CacheDir, Lib: cfg.ORTLib, Tarball: lookup(environ, "ORT_TARBALL"),
		OS: runtime.GOOS, Arch: runtime.GOARCH,
	}
}
