package pyenv

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxIncludes bounds how deep requirements files name each other.
const maxIncludes = 8

// requirements collects the lines of requirements files in normal form.
type requirements struct {
	root   *os.Root
	wanted []string
	limits []string // constraints
	local  map[string]bool
}

// lines takes lines over that stand in a file of the folder base. Lines of a constraints file are all constraints.
func (r *requirements) lines(raw []string, base string, limits bool, depth int) error {
	if depth > maxIncludes {
		return errors.New("requirements files name each other too deep")
	}
	for _, line := range joinContinued(raw) {
		line = strings.TrimSpace(withoutComment(line))
		if line == "" {
			continue
		}
		if len(r.wanted)+len(r.limits) >= maxLines {
			return fmt.Errorf("more than %d requirements", maxLines)
		}
		if err := r.line(line, base, limits, depth); err != nil {
			return err
		}
	}
	return nil
}

// joinContinued joins lines that end in a backslash with the next one, and splits entries of a YAML list that hold several lines.
func joinContinued(raw []string) []string {
	text := strings.Join(raw, "\n")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n")
}

// withoutComment cuts what follows a # at the start of the line or after a space: in a URL it is a fragment.
func withoutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

func (r *requirements) line(line, base string, limits bool, depth int) error {
	if strings.ContainsRune(line, 0) {
		return errors.New("not text")
	}
	if strings.Contains(line, "${") {
		return fmt.Errorf("%.80q: variables are not filled in", line)
	}
	if strings.HasPrefix(line, "-") {
		return r.option(line, base, limits, depth)
	}
	if limits {
		r.limits = append(r.limits, line)
		return nil
	}
	if file, ok := localFile(line); ok {
		return r.file(line, file, base)
	}
	if strings.Contains(line, "file:") {
		return fmt.Errorf("%.80q names a file outside of the package", line)
	}
	r.wanted = append(r.wanted, line)
	return nil
}

// passed are the options of requirements files that are handed to uv as they are.
var passed = map[string]bool{
	"-i": true, "--index-url": true, "--extra-index-url": true, "-f": true, "--find-links": true, "--no-index": false,
	"--pre": false, "--no-binary": true, "--only-binary": true,
}

// ignored are options that only pip needs.
var ignored = map[string]bool{"--prefer-binary": false, "--trusted-host": true, "--use-feature": true, "--require-hashes": false}

func (r *requirements) option(line, base string, limits bool, depth int) error {
	name, value := splitOption(line)
	switch name {
	case "-r", "--requirement":
		return r.include(value, base, limits, depth)
	case "-c", "--constraint":
		return r.include(value, base, true, depth)
	}
	if needs, ok := ignored[name]; ok && needs == (value != "") {
		return nil
	}
	needs, ok := passed[name]
	switch {
	case !ok:
		return fmt.Errorf("option %.80q is not supported", name)
	case needs != (value != ""):
		return fmt.Errorf("option %.80q has a value too many or too few", line)
	case (name == "-f" || name == "--find-links") && !strings.Contains(value, "://"), strings.Contains(value, "file:"):
		return fmt.Errorf("option %.80q names a folder of this machine", line)
	case needs:
		r.wanted = append(r.wanted, name+" "+value)
	default:
		r.wanted = append(r.wanted, name)
	}
	return nil
}

// splitOption reads "-r file", "-rfile", "--requirement file" and "--requirement=file".
func splitOption(line string) (name, value string) {
	if strings.HasPrefix(line, "--") {
		if i := strings.IndexAny(line, "= \t"); i > 0 {
			return line[:i], strings.TrimSpace(line[i+1:])
		}
		return line, ""
	}
	return line[:min(2, len(line))], strings.TrimSpace(line[min(2, len(line)):])
}

func (r *requirements) include(name, base string, limits bool, depth int) error {
	at := path.Join(base, strings.Trim(name, `"'`))
	if !filepath.IsLocal(at) {
		return fmt.Errorf("%.80q lies outside of the package", name)
	}
	text, err := readFile(r.root, at)
	if err == nil && text == nil {
		err = errors.New("there is no such file")
	}
	if err != nil {
		return fmt.Errorf("%.80q: %w", at, err)
	}
	if err := r.lines([]string{string(text)}, path.Dir(at), limits, depth+1); err != nil {
		return fmt.Errorf("%.80q: %w", at, err)
	}
	return nil
}

// localFile says whether a requirement is a wheel or an archive in the package, as mlflow.models.add_libraries_to_model writes them.
func localFile(line string) (string, bool) {
	if strings.Contains(line, "://") || strings.Contains(line, " @ ") {
		return "", false
	}
	file, _, _ := strings.Cut(line, ";")
	file, _, _ = strings.Cut(file, " --")
	file = strings.TrimSpace(file)
	archive := slices.ContainsFunc([]string{".whl", ".tar.gz", ".zip"}, func(end string) bool { return strings.HasSuffix(file, end) })
	return file, archive || strings.ContainsAny(file, "/\\")
}

// file takes a local wheel or archive over: the line then names it from the package's root.
func (r *requirements) file(line, file, base string) error {
	at := path.Join(base, file)
	if !filepath.IsLocal(at) || strings.Contains(file, "\\") {
		return fmt.Errorf("%.80q lies outside of the package", file)
	}
	info, err := r.root.Stat(at)
	if err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%.80q is not a file of the package", file)
	}
	if r.local == nil {
		r.local = map[string]bool{}
	}
	r.local[at] = true
	r.wanted = append(r.wanted, "./"+at+strings.TrimPrefix(line, file))
	return nil
}

func (r *requirements) files() []string {
	out := make([]string, 0, len(r.local))
	for f := range r.local {
		out = append(out, f)
	}
	slices.Sort(out)
	return out
}
