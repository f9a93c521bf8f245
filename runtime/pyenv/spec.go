package pyenv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"sluice/runtime/mlmodel"
)

// ErrSpec: the files that describe an environment cannot be read; the wrapping text says where.
var ErrSpec = errors.New("bad environment description")

// Spec is what an environment is made of, as a model package says it. Read makes one.
type Spec struct {
	// Python is the wanted version, "3.11.7" or "3.11"; empty: any.
	Python string
	// AnyPython takes an interpreter of another minor version when there is none of the wanted one.
	AnyPython bool
	// Setuptools is the requirement of setuptools among the build dependencies, "" for none. Old packages import it when they run; the others
	// (pip, wheel) only build, which uv does in places of its own.
	Setuptools string
	// Requirements and Constraints are lines of requirements files in normal form: no comments, no continuations, files that they name
	// written out.
	Requirements, Constraints []string
	// Conda are the packages that conda.yaml wants from Channels, python among them; empty unless some are to be had from conda alone.
	Conda, Channels []string
	// Files are the wheels and archives of the package that requirements name, relative to Dir, sorted.
	Files []string
	// Dir is the package's folder; Source the file that Requirements come from.
	Dir, Source string
}

// Sources are the names of the files to read, relative to the package. Empty names are MLflow's: conda.yaml and python_env.yaml.
type Sources struct {
	PythonEnv, Conda string
}

const (
	pythonEnvFile    = "python_env.yaml"
	condaFile        = "conda.yaml"
	requirementsFile = "requirements.txt"

	maxSpecFile = 1 << 20 // bytes of one file
	maxLines    = 5_000   // of requirements and constraints
)

// Read returns what the package in dir asks for. As in MLflow (utils/virtualenv.py, 3.17) python_env.yaml comes first, then requirements.txt
// with the Python version of conda.yaml, then conda.yaml alone. Unlike there, packages that only conda has are not forgotten. Nothing outside dir is
// read. Returns ErrSpec, wrapped; a package without any of the files asks for nothing but Python.
func Read(dir string, names Sources) (Spec, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Spec{}, err
	}
	defer root.Close()
	if names.PythonEnv == "" {
		names.PythonEnv = pythonEnvFile
	}
	if names.Conda == "" {
		names.Conda = condaFile
	}
	spec := Spec{Dir: dir}
	pyenv, err := readPythonEnv(root, names.PythonEnv)
	if err != nil {
		return Spec{}, fmt.Errorf("%w: %s: %w", ErrSpec, names.PythonEnv, err)
	}
	conda, err := readConda(root, names.Conda)
	if err != nil {
		return Spec{}, fmt.Errorf("%w: %s: %w", ErrSpec, names.Conda, err)
	}
	lines := spec.choose(root, names, pyenv, conda)
	r := requirements{root: root}
	if err := r.lines(lines, path.Dir(spec.Source), false, 0); err != nil {
		return Spec{}, fmt.Errorf("%w: %s: %w", ErrSpec, spec.Source, err)
	}
	spec.Requirements, spec.Constraints, spec.Files = r.wanted, r.limits, r.files()
	return spec, nil
}

// description is what one file says.
type description struct {
	found    bool
	python   string
	build    []string
	pip      []string
	packages []string // of conda, as written, build packages and python included
	extra    bool     // some packages are not python and its build packages
	channels []string
}

// choose takes the Python version, the build dependencies and conda's packages over, and returns the lines of requirements.
func (s *Spec) choose(root *os.Root, names Sources, pyenv, conda description) []string {
	s.Source = names.PythonEnv
	chosen, lines := pyenv, pyenv.pip
	if !pyenv.found {
		chosen, lines, s.Source = conda, conda.pip, names.Conda
		if _, err := root.Stat(requirementsFile); err == nil {
			lines, s.Source = []string{"-r " + requirementsFile}, requirementsFile
		}
	}
	s.Python = chosen.python
	if i := slices.IndexFunc(chosen.build, isSetuptools); i >= 0 {
		s.Setuptools = chosen.build[i]
	}
	if conda.extra {
		s.Conda, s.Channels = conda.packages, conda.channels
	}
	return lines
}

func isSetuptools(requirement string) bool { return strings.HasPrefix(requirement, "setuptools") }

func readYAML(root *os.Root, name string) (map[string]any, error) {
	text, err := readFile(root, name)
	if err != nil || text == nil {
		return nil, err
	}
	doc, err := mlmodel.ParseYAML(text)
	if err != nil {
		return nil, err
	}
	top, ok := doc.(map[string]any)
	if !ok {
		return nil, errors.New("not a mapping")
	}
	return top, nil
}

// readFile returns the content of a regular file, nil if there is none.
func readFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > maxSpecFile:
		return nil, fmt.Errorf("larger than %d bytes", maxSpecFile)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSpecFile))
	if text == nil {
		text = []byte{}
	}
	return text, err
}

func readPythonEnv(root *os.Root, name string) (d description, err error) {
	top, err := readYAML(root, name)
	if err != nil || top == nil {
		return d, err
	}
	d.found = true
	for key := range top {
		if key != "python" && key != "build_dependencies" && key != "dependencies" {
			return d, fmt.Errorf("unknown key %.50q", key)
		}
	}
	if v := top["python"]; v != nil {
		if d.python, err = pythonVersion(v); err != nil {
			return d, err
		}
	}
	if d.build, err = texts(top["build_dependencies"]); err == nil {
		d.pip, err = texts(top["dependencies"])
	}
	return d, err
}

// pythonVersion accepts "3.11.7", and 3.11 written as a number, which YAML reads 3.10 as 3.1 in: that one is refused.
func pythonVersion(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("python %v is not text: write it in quotes", v)
	}
	if !versionPattern.MatchString(s) {
		return "", fmt.Errorf("python %.50q is not a version", s)
	}
	return s, nil
}

var versionPattern = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){0,2}$`)

func texts(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, errors.New("dependencies are not a list")
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("dependency %.80v is not text", e)
		}
		out = append(out, s)
	}
	return out, nil
}

// condaBase matches what every environment has: python and what builds packages, with at most one plain version.
var condaBase = regexp.MustCompile(`^(python|pip|setuptools|wheel)\s*(<=|>=|==|=|!=|<|>)?\s*([0-9.]*)(=[^\s]*)?$`)

func readConda(root *os.Root, name string) (d description, err error) {
	top, err := readYAML(root, name)
	if err != nil || top == nil {
		return d, err
	}
	d.found = true
	if d.channels, err = texts(top["channels"]); err != nil {
		return d, err
	}
	list, ok := top["dependencies"].([]any)
	if !ok && top["dependencies"] != nil {
		return d, errors.New("dependencies are not a list")
	}
	for _, e := range list {
		switch x := e.(type) {
		case string:
			err = d.condaPackage(strings.TrimSpace(x))
		case map[string]any:
			if len(x) != 1 || x["pip"] == nil {
				return d, fmt.Errorf("dependency %.80v is neither text nor a pip list", e)
			}
			d.pip, err = texts(x["pip"])
		default:
			err = fmt.Errorf("dependency %.80v is neither text nor a pip list", e)
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

// condaPackage takes one package of conda's over. The text is a command's argument later, so it must not look like an option.
func (d *description) condaPackage(text string) error {
	if text == "" || strings.HasPrefix(text, "-") || strings.ContainsAny(text, "\n\x00") {
		return fmt.Errorf("package %.80q is not one", text)
	}
	d.packages = append(d.packages, text)
	m := condaBase.FindStringSubmatch(text)
	if m == nil {
		d.extra = true
		return nil
	}
	package_, operator, version := m[1], m[2], m[3]
	switch {
	case package_ != "python":
		if operator == "=" {
			operator = "=="
		}
		d.build = append(d.build, package_+operator+version)
	case operator == "=" || operator == "==" || operator == "<=" || operator == ">=":
		d.python = strings.TrimRight(version, ".")
		if !versionPattern.MatchString(d.python) {
			return fmt.Errorf("python %.50q is not a version", text)
		}
	default:
		return fmt.Errorf("python %.50q names no version to use (python=3.11.7 does)", text)
	}
	return nil
}
