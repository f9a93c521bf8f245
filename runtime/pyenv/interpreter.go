package pyenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrPython: there is no interpreter of the version that a package asks for; the wrapping text names those found.
var ErrPython = errors.New("no suitable Python")

// Interpreter is a Python of this machine.
type Interpreter struct {
	Path    string // with links followed, so that a virtual environment's is the one it was made from
	Version string // "3.11.7"
	// Tag tells builds apart that cannot share compiled packages: implementation, system and machine.
	Tag string
}

const (
	probeTimeout    = 10 * time.Second
	maxInterpreters = 64
)

// executable matches the names of interpreters on a PATH.
var executable = regexp.MustCompile(`^python3?(\.[0-9]{1,2})?$`)

// findInterpreters looks through folders, in order, and asks each interpreter once what it is. pyenv's shims, which choose by the working
// directory, are passed over.
func findInterpreters(ctx context.Context, folders []string) []Interpreter {
	var out []Interpreter
	seen := map[string]bool{}
	for _, folder := range folders {
		if filepath.Base(folder) == "shims" {
			continue
		}
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !executable.MatchString(e.Name()) || len(out) >= maxInterpreters {
				continue
			}
			at, err := filepath.EvalSymlinks(filepath.Join(folder, e.Name()))
			if err != nil || seen[at] {
				continue
			}
			seen[at] = true
			if p, err := probe(ctx, at); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}

const probeScript = `import sys, platform
print(sys.implementation.name, platform.python_version(), sys.platform, platform.machine(), sys.maxsize > 2**32)`

// probe asks an interpreter for its version. Python 2 does not know -I and fails.
func probe(ctx context.Context, at string) (Interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, at, "-I", "-S", "-c", probeScript)
	cmd.Env = []string{"PATH=" + os.DevNull}
	out, err := cmd.Output()
	if err != nil {
		return Interpreter{}, fmt.Errorf("%s: %w", at, err)
	}
	f := strings.Fields(string(out))
	if len(f) != 5 {
		return Interpreter{}, fmt.Errorf("%s does not say what it is", at)
	}
	return Interpreter{Path: at, Version: f[1], Tag: strings.Join([]string{f[0], f[2], f[3], f[4]}, "-")}, nil
}

// Note says how the interpreter's version differs from the one that is wanted: "" if it does not, or in a way that was not asked about. An
// error, ErrPython wrapped, means that it is of another minor version.
func (i Interpreter) Note(wanted string) (note string, err error) {
	switch {
	case wanted == "" || wanted == i.Version || strings.HasPrefix(i.Version, wanted+"."):
		return "", nil
	case minor(wanted) == minor(i.Version):
		return fmt.Sprintf("Python %s instead of %s", i.Version, wanted), nil
	}
	return "", fmt.Errorf("%w: Python %s is wanted, %s is %s", ErrPython, wanted, i.Path, i.Version)
}

// minor is "3.11" of "3.11.7".
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// choose returns the interpreter for a wanted version: the very one, else the newest of the same minor version, else, if any will do, the
// nearest. note says how it differs.
func choose(found []Interpreter, wanted string, anyWill bool) (chosen Interpreter, note string, err error) {
	best := -1
	for i, f := range found {
		_, differs := f.Note(wanted)
		if differs != nil && !anyWill {
			continue
		}
		if best < 0 || distance(f.Version, wanted) < distance(found[best].Version, wanted) {
			best = i
		}
	}
	if best < 0 {
		return Interpreter{}, "", fmt.Errorf("%w: Python %s is wanted, found %s", ErrPython, cmp.Or(wanted, "3"), names(found))
	}
	chosen = found[best]
	if note, err = chosen.Note(wanted); err != nil { // any will do
		note = fmt.Sprintf("Python %s instead of %s, which was allowed", chosen.Version, wanted)
	}
	return chosen, note, nil
}

// distance orders versions by how far they are from the wanted one: another minor version is further than any patch, and among patches the
// very one comes first, then the newest. Without a wish all are equal, so the first found stays.
func distance(version, wanted string) int {
	if wanted == "" || version == wanted {
		return 0
	}
	v, w := numbers(version), numbers(wanted)
	minors := 2 * ((v[0]-w[0])*100 + v[1] - w[1])
	if minors < 0 { // of two as near, the newer
		minors = 1 - minors
	}
	return 1 + minors*1000 + 999 - min(v[2], 999)
}

func numbers(version string) (n [3]int) {
	for i, part := range strings.SplitN(version, ".", 3) {
		digits := strings.TrimRightFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		n[i], _ = strconv.Atoi(digits) // "0rc1" counts as nothing
	}
	return n
}

// names lists interpreters for a message.
func names(found []Interpreter) string {
	if len(found) == 0 {
		return "none"
	}
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = f.Version + " (" + f.Path + ")"
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}
