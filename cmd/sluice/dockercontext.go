package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/setup"
	"sluice/runtime/mlmodel"
)

func newModelsBuildDockerCommand(environ []string) *cobra.Command {
	var cfg Config
	var f modelFlags
	var out, name string
	cmd := &cobra.Command{
		Use:   "build-docker",
		Short: "Write the folder that `docker build` makes an image of, which serves the model on port 8080",
		Long:  "Writes a Dockerfile with all that it needs beside it: the model, this binary, and ONNX Runtime or the steps that build the model's Python\nenvironment. Docker itself is not called.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withModel(cmd, &cfg, &f, environ, func(dir string) error {
				if err := writeDockerContext(&cfg, environ, dir, out); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "docker build -t %s %s\ndocker run -p 5001:8080 %s\n", name, out, name)
				return nil
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().StringVarP(&out, "output-directory", "d", "sluice-docker", "folder to write, which must not exist")
	cmd.Flags().StringVarP(&name, "name", "n", "sluice-model", "name of the image in the commands that are printed")
	bindModelCommand(cmd, &cfg, environmentFlags...)
	return cmd
}

type dockerImage struct {
	Base    string
	Python  bool
	Library string // file name of ONNX Runtime
	User    int
}

// dockerfile is the Dockerfile's text. A Python model's environment is built in a layer of its own, before anything changes with every image.
func (i *dockerImage) dockerfile() string {
	contents, environments := fmt.Sprintf("COPY lib /opt/sluice/lib\nCOPY model /opt/ml/model\nENV ORT_LIB=/opt/sluice/lib/%s\n", i.Library), ""
	if i.Python {
		contents = `RUN pip install --no-cache-dir uv
COPY model /opt/ml/model
RUN sluice models prepare-env -m /opt/ml/model --env-dir /opt/sluice/environments && rm -rf /opt/sluice/environments/cache && chmod -R a+rwX /opt/sluice
`
		environments = `, "--env-dir", "/opt/sluice/environments"`
	}
	return fmt.Sprintf(`FROM %s
COPY sluice /usr/local/bin/sluice
%sENV HOME=/tmp
USER %d
EXPOSE 8080
ENTRYPOINT ["sluice", "models", "serve", "-m", "/opt/ml/model", "-h", "0.0.0.0", "-p", "8080", "--insecure-no-auth"%s]
`, i.Base, contents, i.User, environments)
}

// writeDockerContext fills the folder out, which is made, and removed again on error.
func writeDockerContext(cfg *Config, environ []string, model, out string) (err error) {
	parsed, err := mlmodel.Load(model)
	if err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(out))
		}
	}()
	image := dockerImage{Base: "debian:stable-slim", User: 65532}
	if parsed.Flavors.Has("onnx") {
		err = image.addRuntime(cfg, environ, out)
	} else {
		err = image.addPython(cfg, parsed, model)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "Dockerfile"), []byte(image.dockerfile()), 0o644); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return errors.Join(copyOut(self, filepath.Join(out, "sluice"), 0o755), copyTree(model, filepath.Join(out, "model")))
}

// addRuntime puts the ONNX Runtime of this machine into the folder.
func (i *dockerImage) addRuntime(cfg *Config, environ []string, out string) error {
	library, err := setup.FindOnnxRuntime(setupOptions(cfg, environ))
	if err != nil {
		return err
	}
	i.Library = filepath.Base(library)
	if err := os.Mkdir(filepath.Join(out, "lib"), 0o755); err != nil {
		return err
	}
	return copyOut(library, filepath.Join(out, "lib", i.Library), 0o755)
}

// addPython chooses the image with the model's minor version of Python.
func (i *dockerImage) addPython(cfg *Config, model *mlmodel.Model, dir string) error {
	spec, err := specOf(model, dir)
	switch {
	case err != nil:
		return err
	case len(spec.Conda) > 0:
		return fmt.Errorf("conda.yaml asks for packages that conda alone has (%s): no image is made for them", strings.Join(spec.Conda, ", "))
	case cfg.Python.Interpreter != "" || cfg.Environments.Wheels != "":
		return errors.New("--env-manager local, --python and --wheels name what is on this machine: the image builds its own environment from an index")
	case strings.Count(spec.Python, ".") == 0:
		return errors.New("the model does not say which Python it needs")
	}
	i.Python = true
	i.Base = "python:" + strings.Join(strings.Split(spec.Python, ".")[:2], ".") + "-slim"
	return nil
}

func copyOut(from, to string, mode fs.FileMode) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, mode)
}

// copyTree copies the regular files of a package; links are refused, as everywhere with packages.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, inside), 0o755)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is not a regular file", inside)
		}
		return copyOut(at, filepath.Join(to, inside), 0o644)
	})
}
