package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sluice/gateway/auth"
)

// modelFlags are the flags of the commands that are twins of `mlflow models …`.
type modelFlags struct {
	uri        string
	envManager string
	noConda    bool
	timeout    int // seconds
	workers    int
}

const modelURIHelp = "the model: a folder, runs:/RUN/PATH, models:/NAME/VERSION, models:/NAME/STAGE, models:/NAME@ALIAS or models:/m-ID; MLFLOW_TRACKING_URI names the server or the database"

// bind declares the flags; required says whether the URI must be given.
func (f *modelFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.uri, "model-uri", "m", "", modelURIHelp)
	cmd.Flags().StringVar(&f.envManager, "env-manager", "uv", "uv builds the environment that the model asks for; local uses --python, or the python on the PATH, as it is")
	cmd.Flags().BoolVar(&f.noConda, "no-conda", false, "the same as --env-manager local")
	_ = cmd.MarkFlagRequired("model-uri")
}

// apply checks the flags and puts what they say into the settings.
func (f *modelFlags) apply(cfg *Config) error {
	if f.noConda {
		f.envManager = "local"
	}
	switch f.envManager {
	case "uv":
	case "local":
		return f.useLocal(cfg)
	case "virtualenv", "conda":
		return fmt.Errorf("--env-manager %s is not supported: uv makes the same environment, and takes conda for what conda alone has; local uses the Python that is there", f.envManager)
	default:
		return oneOf("env-manager", f.envManager, "uv", "local")
	}
	return nil
}

// useLocal takes the interpreter of --python, else the one on the PATH.
func (f *modelFlags) useLocal(cfg *Config) error {
	if cfg.Python.Interpreter != "" {
		return nil
	}
	for _, name := range []string{"python", "python3"} {
		if at, err := exec.LookPath(name); err == nil {
			cfg.Python.Interpreter = at
			return nil
		}
	}
	return errors.New("--env-manager local: there is no python on the PATH; --python names one")
}

// bindModelCommand declares the settings, those of shown in the help, with -h and -p for host and port as in MLflow, where -h is not help.
func bindModelCommand(cmd *cobra.Command, cfg *Config, shown ...string) {
	cmd.Flags().Bool("help", false, "help for "+cmd.Name())
	visible := map[string]bool{}
	for _, name := range shown {
		visible[name] = true
	}
	short := map[string]string{"host": "h", "port": "p"}
	settings := pflag.NewFlagSet("settings", pflag.ContinueOnError)
	cfg.bind(settings)
	settings.VisitAll(func(f *pflag.Flag) {
		f.Hidden = !visible[f.Name]
		if visible[f.Name] {
			f.Shorthand = short[f.Name]
		}
		cmd.Flags().AddFlag(f)
	})
}

// environmentFlags are the settings that every command shows that runs models.
var environmentFlags = []string{"python", "env-dir", "cache-dir", "uv", "conda", "wheels", "python-any-version", "ort-lib", "backend-store-uri", "data-dir", "artifacts-destination", "log-level"}

// mlflowVariables are the variables of `mlflow models serve` and the flags that they set.
var mlflowVariables = []struct{ variable, flag string }{
	{"MLFLOW_HOST", "host"}, {"MLFLOW_PORT", "port"}, {"MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "timeout"}, {"MLFLOW_MODELS_WORKERS", "workers"},
}

func newModelsServeCommand(environ []string) *cobra.Command {
	var cfg Config
	var f modelFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve one model at /invocations, as `mlflow models serve` does",
		Long:  "Serves one model, without tracking or registry: /ping, /health, /version and /invocations. ONNX models need no Python; scikit-learn, LightGBM, XGBoost and CatBoost\nmodels are converted to ONNX once if that answers the same, and kept so in --cache-dir.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.fromMLflow(cmd, environ); err != nil {
				return err
			}
			return withModel(cmd, &cfg, &f, environ, func(dir string) error {
				if err := auth.CheckBind(cfg.Host, false, cfg.InsecureNoAuth); err != nil {
					return err
				}
				return serveModel(cmd.Context(), &cfg, environ, cmd.OutOrStdout(), cmd.ErrOrStderr(), dir, f.uri)
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().IntVarP(&f.timeout, "timeout", "t", 60, "seconds that a request may take")
	cmd.Flags().IntVarP(&f.workers, "workers", "w", 2, "Python processes that answer; an ONNX model has none")
	bindModelCommand(cmd, &cfg, append([]string{"host", "port", "insecure-no-auth", "allowed-hosts", "tls-cert", "tls-key", "batching", "conversion", "converters"}, environmentFlags...)...)
	return cmd
}

// fromMLflow sets the flags that the command line left unset from MLflow's own variables.
func (f *modelFlags) fromMLflow(cmd *cobra.Command, environ []string) error {
	for _, v := range mlflowVariables {
		value := lookup(environ, v.variable)
		if value == "" || cmd.Flags().Changed(v.flag) {
			continue
		}
		if err := cmd.Flags().Set(v.flag, value); err != nil {
			return fmt.Errorf("environment %s: %w", v.variable, err)
		}
	}
	return nil
}

func serveModel(ctx context.Context, cfg *Config, environ []string, out, logs io.Writer, dir, uri string) error {
	s, err := newScoring(ctx, *cfg, environ, newLogger(*cfg, logs), dir, true)
	if err != nil {
		return err
	}
	err = s.run(ctx, func(url string) { fmt.Fprintf(out, "sluice %s serves %s, listening on %s\n", version, uri, url) })
	return errors.Join(err, s.close())
}

// withModel settles the settings, brings the model to this machine and runs do with its folder.
func withModel(cmd *cobra.Command, cfg *Config, f *modelFlags, environ []string, do func(dir string) error) error {
	if err := loadSettings(cmd, cfg, environ); err != nil {
		return err
	}
	if err := f.apply(cfg); err != nil {
		return err
	}
	if cmd.Flags().Lookup("timeout") != nil {
		cfg.RequestTimeout, cfg.Python.Workers = time.Duration(f.timeout)*time.Second, f.workers
		if err := errors.Join(atLeast("timeout", cfg.RequestTimeout, time.Second), inRange("workers", float64(f.workers), 1, 256)); err != nil {
			return err
		}
	}
	dir, done, err := modelFolder(cmd.Context(), f.uri, cfg, environ)
	if err != nil {
		return err
	}
	return errors.Join(do(dir), done())
}

func newModelsPredictCommand(environ []string) *cobra.Command {
	var cfg Config
	var f modelFlags
	var input, output, kind string
	cmd := &cobra.Command{
		Use:   "predict",
		Short: "Predict a file with one model, as `mlflow models predict` does",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			types := map[string]string{"json": "application/json", "csv": "text/csv"}
			if err := oneOf("content-type", kind, "json", "csv"); err != nil {
				return err
			}
			return withModel(cmd, &cfg, &f, environ, func(dir string) error {
				body, err := readInput(cmd, input, cfg.MaxBodyBytes)
				if err != nil {
					return err
				}
				cfg.RequestTimeout, cfg.Python.Workers = 24*time.Hour, 1
				answer, err := predictOnce(cmd.Context(), &cfg, environ, cmd.ErrOrStderr(), dir, body, types[kind])
				if err != nil {
					return err
				}
				return writeOutput(cmd, output, answer)
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().StringVarP(&input, "input-path", "i", "", "file to predict (default: standard input)")
	cmd.Flags().StringVarP(&output, "output-path", "o", "", "file for the predictions, as JSON (default: standard output)")
	cmd.Flags().StringVarP(&kind, "content-type", "t", "json", "of the input: json or csv")
	bindModelCommand(cmd, &cfg, append([]string{"max-body-bytes"}, environmentFlags...)...)
	return cmd
}

func predictOnce(ctx context.Context, cfg *Config, environ []string, logs io.Writer, dir string, body []byte, contentType string) ([]byte, error) {
	s, err := newScoring(ctx, *cfg, environ, newLogger(*cfg, logs), dir, false)
	if err != nil {
		return nil, err
	}
	answer, err := s.predict(bytes.NewReader(body), contentType)
	return answer, errors.Join(err, s.close())
}

func readInput(cmd *cobra.Command, at string, most int64) ([]byte, error) {
	in := cmd.InOrStdin()
	if at != "" {
		f, err := os.Open(at)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(body)) > most {
		err = fmt.Errorf("the input is larger than --max-body-bytes, %d", most)
	}
	return body, err
}

func writeOutput(cmd *cobra.Command, at string, answer []byte) error {
	if at != "" {
		return os.WriteFile(at, answer, 0o600)
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(string(answer)))
	return err
}

func newModelsPrepareEnvCommand(environ []string) *cobra.Command {
	var cfg Config
	var f modelFlags
	cmd := &cobra.Command{
		Use:   "prepare-env",
		Short: "Build the environment of a model ahead, so that serve and predict have it at once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withModel(cmd, &cfg, &f, environ, func(dir string) error {
				log := newLogger(cfg, cmd.ErrOrStderr())
				e := newEnvironments(cfg.Python.Interpreter, &cfg.Environments, environ, log)
				return errors.Join(prepareEnvironment(cmd.Context(), e, log, dir), e.close())
			})
		},
	}
	f.bind(cmd)
	bindModelCommand(cmd, &cfg, environmentFlags...)
	return cmd
}
