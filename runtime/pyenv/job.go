package pyenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// job is an environment to make: a spec with every choice made.
type job struct {
	spec        Spec
	interpreter Interpreter // zero with conda, which brings its own
	notes       []string
	key         string
}

// format changes whenever equal specs are built differently.
const format = 1

// plan makes the choices for a spec and gives it its key.
func (p *Pool) plan(ctx context.Context, spec Spec) (*job, error) {
	j := &job{spec: spec}
	if p.opts.Wheels != "" {
		j.spec.Requirements = slices.DeleteFunc(slices.Clone(spec.Requirements), isIndexOption)
		j.spec.Setuptools = p.setuptoolsAtHand(spec.Setuptools)
	}
	if len(spec.Conda) == 0 {
		var note string
		var err error
		if j.interpreter, note, err = p.interpreterFor(ctx, spec); err != nil {
			return nil, err
		}
		if note != "" {
			j.notes = append(j.notes, note)
		}
	}
	digests, err := fileDigests(spec)
	if err != nil {
		return nil, err
	}
	j.key, err = keyOf(j, digests, append(identity(p.index), "wheels="+p.opts.Wheels))
	return j, err
}

func isIndexOption(line string) bool {
	for _, option := range []string{"-i ", "--index-url ", "--extra-index-url ", "-f ", "--find-links ", "--no-index"} {
		if strings.HasPrefix(line, option) {
			return true
		}
	}
	return false
}

// setuptoolsAtHand leaves setuptools out when the folder of wheels has none: no package of the list asks for it.
func (p *Pool) setuptoolsAtHand(requirement string) string {
	found, err := filepath.Glob(filepath.Join(p.opts.Wheels, "setuptools-*.whl"))
	if err != nil || len(found) == 0 {
		return ""
	}
	return requirement
}

// interpreterFor chooses among the interpreters of this machine, which are looked for again if none suits.
func (p *Pool) interpreterFor(ctx context.Context, spec Spec) (Interpreter, string, error) {
	p.mu.Lock()
	known := p.pythons
	p.mu.Unlock()
	chosen, note, err := choose(known, spec.Python, spec.AnyPython)
	if err == nil {
		if _, gone := os.Stat(chosen.Path); gone == nil {
			return chosen, note, nil
		}
	}
	known = findInterpreters(ctx, p.opts.Search)
	if ctx.Err() != nil {
		return Interpreter{}, "", context.Cause(ctx)
	}
	p.mu.Lock()
	p.pythons = known
	p.mu.Unlock()
	return choose(known, spec.Python, spec.AnyPython)
}

// fileDigests returns the SHA-256 of the package's own files that are installed.
func fileDigests(spec Spec) ([]string, error) {
	if len(spec.Files) == 0 {
		return nil, nil
	}
	root, err := os.OpenRoot(spec.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	out := make([]string, len(spec.Files))
	for i, name := range spec.Files {
		f, err := root.Open(name)
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		_ = f.Close()
		if err != nil {
			return nil, err
		}
		out[i] = name + " " + hex.EncodeToString(h.Sum(nil))
	}
	return out, nil
}

// keyOf is the address of a job's content: 40 hexadecimal digits. The order of requirements does not matter.
func keyOf(j *job, files, origin []string) (string, error) {
	sorted := func(lines []string) []string { return slices.Compact(slices.Sorted(slices.Values(lines))) }
	content := struct {
		Format                                         int
		Platform, Interpreter, Python, Tag, Setuptools string
		Requirements, Constraints, Conda, Channels     []string
		Files, Origin                                  []string
	}{
		format, runtime.GOOS + "/" + runtime.GOARCH, j.interpreter.Path, j.interpreter.Version, j.interpreter.Tag, j.spec.Setuptools,
		sorted(j.spec.Requirements), sorted(j.spec.Constraints), sorted(j.spec.Conda), j.spec.Channels, files, origin,
	}
	if len(j.spec.Conda) > 0 {
		content.Python = j.spec.Python
	}
	text, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:20]), nil
}

// uv finds uv: the one that is set, on the PATH, or beside an interpreter, where `pip install uv` puts it.
func (p *Pool) uv() (string, error) {
	if p.opts.UV != "" {
		return p.tool(p.opts.UV)
	}
	folders := slices.Concat(filepath.SplitList(variable(p.opts.Environ, "PATH")), p.opts.Search)
	if at, ok := lookIn(folders, "uv"); ok {
		return at, nil
	}
	return "", fmt.Errorf("%w: uv builds environments and is not on the PATH; `pip install uv` brings it, --uv names it", ErrTool)
}

// conda finds what installs conda's packages.
func (p *Pool) conda(packages []string) (string, error) {
	if p.opts.Conda != "" {
		return p.tool(p.opts.Conda)
	}
	for _, name := range []string{"micromamba", "mamba", "conda"} {
		if at, ok := lookIn(filepath.SplitList(variable(p.opts.Environ, "PATH")), name); ok {
			return at, nil
		}
	}
	return "", fmt.Errorf("%w: conda.yaml asks for %s, which need conda, mamba or micromamba, and none is on the PATH", ErrTool, strings.Join(condaOnly(packages), ", "))
}

// condaOnly are the packages that make conda necessary.
func condaOnly(packages []string) []string {
	return slices.DeleteFunc(slices.Clone(packages), condaBase.MatchString)
}

func (p *Pool) tool(at string) (string, error) {
	at, err := exec.LookPath(at)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrTool, err)
	}
	return filepath.Abs(at)
}

// lookIn returns the first executable file of the name in the folders.
func lookIn(folders []string, name string) (string, bool) {
	for _, folder := range folders {
		if !filepath.IsAbs(folder) || filepath.Base(folder) == "shims" {
			continue
		}
		at := filepath.Join(folder, name)
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return at, true
		}
	}
	return "", false
}
