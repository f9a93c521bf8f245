package pyenv

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	ownPythonEnv = "python: 3.11.7\nbuild_dependencies:\n- pip==24.0\n- setuptools==65.5.0\n- wheel==0.40.0\ndependencies:\n- -r requirements.txt\n"
	ownConda     = "channels:\n- conda-forge\ndependencies:\n- python=3.10.2\n- pip<=24.0\n- pip:\n  - from-conda==1\nname: mlflow-env\n"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		names Sources
		want  Spec
	}{
		{name: "nothing", want: Spec{Source: "conda.yaml"}},
		{name: "as MLflow writes it", files: map[string]string{"python_env.yaml": ownPythonEnv, "conda.yaml": ownConda, "requirements.txt": "mlflow==3.17.2\nnumpy==2.0\n"},
			want: Spec{Source: "python_env.yaml", Python: "3.11.7", Setuptools: "setuptools==65.5.0", Requirements: []string{"mlflow==3.17.2", "numpy==2.0"}}},
		{name: "before 1.26: requirements, and Python from conda.yaml", files: map[string]string{"conda.yaml": ownConda, "requirements.txt": "a\n"},
			want: Spec{Source: "requirements.txt", Python: "3.10.2", Requirements: []string{"a"}}},
		{name: "conda.yaml alone", files: map[string]string{"conda.yaml": ownConda}, want: Spec{Source: "conda.yaml", Python: "3.10.2", Requirements: []string{"from-conda==1"}}},
		{name: "requirements.txt alone", files: map[string]string{"requirements.txt": "a\n"}, want: Spec{Source: "requirements.txt", Requirements: []string{"a"}}},
		{name: "files of other names", names: Sources{PythonEnv: "env/p.yaml", Conda: "env/c.yaml"},
			files: map[string]string{"env/p.yaml": "python: '3.12'\ndependencies: ['-r r.txt']", "env/r.txt": "deep", "env/c.yaml": ownConda},
			want:  Spec{Source: "env/p.yaml", Python: "3.12", Requirements: []string{"deep"}}},
		{name: "packages that conda alone has", files: map[string]string{"python_env.yaml": ownPythonEnv, "requirements.txt": "a",
			"conda.yaml": "channels: [conda-forge]\ndependencies:\n- python=3.11.7\n- openjdk=17\n- setuptools=65.5\n- pip:\n  - a\n"},
			want: Spec{Source: "python_env.yaml", Python: "3.11.7", Setuptools: "setuptools==65.5.0", Requirements: []string{"a"},
				Conda: []string{"python=3.11.7", "openjdk=17", "setuptools=65.5"}, Channels: []string{"conda-forge"}}},
		{name: "requirements of every form", files: map[string]string{
			"requirements.txt": "# a comment\na==1 # why\nb @ https://host/b-1.whl#sha256=00\n\nc \\\n  >=2\n--extra-index-url https://host/cpu\n-i https://x/y\n--no-binary :all:\n--prefer-binary\n-c constraints.txt\n-rmore/m.txt\ncode/d-1-py3-none-any.whl ; python_version > '3'\n",
			"constraints.txt":  "e<3\r\n", "more/m.txt": "f\n-c ../constraints.txt\n./g-1.tar.gz\n", "code/d-1-py3-none-any.whl": "D", "more/g-1.tar.gz": "G",
		}, want: Spec{Source: "requirements.txt", Constraints: []string{"e<3", "e<3"}, Files: []string{"code/d-1-py3-none-any.whl", "more/g-1.tar.gz"}, Requirements: []string{
			"a==1", "b @ https://host/b-1.whl#sha256=00", "c    >=2", "--extra-index-url https://host/cpu", "-i https://x/y", "--no-binary :all:", "f", "./more/g-1.tar.gz",
			"./code/d-1-py3-none-any.whl ; python_version > '3'",
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := pack(t, c.files)
			got, err := Read(dir, c.names)
			if err != nil {
				t.Fatal(err)
			}
			if got.Dir != dir || got.Source != c.want.Source || got.Python != c.want.Python || got.Setuptools != c.want.Setuptools ||
				!slices.Equal(got.Requirements, c.want.Requirements) || !slices.Equal(got.Constraints, c.want.Constraints) ||
				!slices.Equal(got.Conda, c.want.Conda) || !slices.Equal(got.Channels, c.want.Channels) || !slices.Equal(got.Files, c.want.Files) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ name, file, text, why string }{
		{"a number for a version", "python_env.yaml", "python: 3.10", "quotes"},
		{"an unknown key", "python_env.yaml", "pyhton: '3.10'", "pyhton"},
		{"no mapping", "python_env.yaml", "- a", "mapping"},
		{"no YAML", "conda.yaml", "a: [", "YAML"},
		{"Python without a version", "conda.yaml", "dependencies: [python]", "python=3.11.7"},
		{"an upper bound of Python", "conda.yaml", "dependencies: ['python<3.11']", "python=3.11.7"},
		{"an option for conda", "conda.yaml", "dependencies: ['--file=/etc/passwd']", "package"},
		{"another list", "conda.yaml", "dependencies: [{npm: [x]}]", "pip list"},
		{"a file outside", "requirements.txt", "-r ../secret.txt", "outside"},
		{"an absolute file", "requirements.txt", "-c /etc/passwd", "no such file"},
		{"a file that is missing", "requirements.txt", "-r none.txt", "no such file"},
		{"itself", "requirements.txt", "-r requirements.txt", "too deep"},
		{"a wheel outside", "requirements.txt", "../x-1-py3-none-any.whl", "outside"},
		{"a wheel of this machine", "requirements.txt", "x @ file:///tmp/x.whl", "outside"},
		{"a folder of this machine", "requirements.txt", "--find-links /srv/wheels", "this machine"},
		{"an editable project", "requirements.txt", "-e .", "-e"},
		{"an unknown option", "requirements.txt", "--config-settings x", "--config-settings"},
		{"a variable", "requirements.txt", "x @ https://host/${UV_INDEX_URL}", "variables"},
		{"an option without its value", "requirements.txt", "--index-url", "value"},
		{"too many", "requirements.txt", strings.Repeat("a\n", maxLines+1), "more than"},
		{"too large", "requirements.txt", strings.Repeat("#", maxSpecFile+1), "larger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(pack(t, map[string]string{c.file: c.text}), Sources{})
			if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want one that says %q", err, c.why)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(ownPythonEnv, ownConda, "a==1\n-r b.txt\n./x.whl\n")
	f.Add("", "dependencies: [python>=3.9, {pip: ['-c constraints.txt', a]}]", "--index-url=https://x # y\\\n z")
	f.Add("python: 3", "", "-\\\n\\\n--")
	dir := f.TempDir() // each worker process has its own
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			f.Fatal(err)
		}
	}
	write("b.txt", "b")
	write("x.whl", "")
	f.Fuzz(func(t *testing.T, pythonEnv, conda, requirements string) {
		if len(pythonEnv)+len(conda)+len(requirements) > 1<<16 {
			return
		}
		write("python_env.yaml", pythonEnv)
		write("conda.yaml", conda)
		write("requirements.txt", requirements)
		spec, err := Read(dir, Sources{})
		if err != nil {
			return
		}
		for _, line := range append(spec.Requirements, spec.Constraints...) {
			if line == "" || strings.ContainsAny(line, "\n\x00") || strings.HasPrefix(line, "-r") || strings.HasPrefix(line, "-e") || strings.Contains(line, "file:") {
				t.Errorf("%q came through", line)
			}
		}
		for _, p := range spec.Conda {
			if strings.HasPrefix(p, "-") {
				t.Errorf("%q would be an option of conda's", p)
			}
		}
	})
}
