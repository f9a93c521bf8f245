package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sluice/tracking/mlflow"
)

// Repo is a folder of a driver: the place that an artifact URI names. It checks every path, keeps answers relative to itself and
// turns a driver's failures into MLflow's codes: RESOURCE_DOES_NOT_EXIST for what is not there, INVALID_PARAMETER_VALUE for
// paths that are unsafe or of the wrong kind.
type Repo struct {
	driver Driver
	base   string // clean
}

// NewRepo returns the Repo of a driver's root.
func NewRepo(d Driver) *Repo { return &Repo{driver: d} }

// Sub returns the Repo of a folder below r; the folder need not exist.
func (r *Repo) Sub(dir string) (*Repo, error) {
	clean, err := CleanPath(dir)
	if err != nil {
		return nil, err
	}
	return &Repo{driver: r.driver, base: Join(r.base, clean)}, nil
}

// LocalPath returns the absolute path of the file or folder on this machine, and false if the storage is elsewhere.
func (r *Repo) LocalPath(p string) (string, bool) {
	local, ok := r.driver.(LocalPath)
	full, err := r.full(p)
	if !ok || err != nil {
		return "", false
	}
	return local.LocalPath(full), true
}

func (r *Repo) full(p string) (string, error) {
	clean, err := CleanPath(p)
	return Join(r.base, clean), err
}

// List returns the files and folders of a folder, sorted by path; a folder that is not there is empty. Links are left out.
func (r *Repo) List(ctx context.Context, dir string) ([]Info, error) {
	entries, err := r.entries(ctx, dir)
	return slices.DeleteFunc(entries, func(i Info) bool { return i.Special }), err
}

func (r *Repo) entries(ctx context.Context, dir string) ([]Info, error) {
	full, err := r.full(dir)
	if err != nil {
		return nil, err
	}
	entries, err := r.driver.List(ctx, full)
	if err != nil {
		return nil, classify(dir, err)
	}
	for i := range entries {
		entries[i].Path = r.relative(entries[i].Path)
	}
	slices.SortFunc(entries, func(a, b Info) int { return strings.Compare(a.Path, b.Path) })
	return entries, nil
}

func (r *Repo) relative(full string) string {
	if r.base == "" {
		return full
	}
	return strings.TrimPrefix(strings.TrimPrefix(full, r.base), "/")
}

// Stat describes a file or folder.
func (r *Repo) Stat(ctx context.Context, p string) (Info, error) {
	full, err := r.full(p)
	if err != nil {
		return Info{}, err
	}
	info, err := r.driver.Stat(ctx, full)
	info.Path = r.relative(info.Path)
	return info, classify(p, err)
}

// Open reads a whole file; the caller closes.
func (r *Repo) Open(ctx context.Context, p string) (io.ReadCloser, Info, error) {
	return r.OpenRange(ctx, p, 0, -1)
}

// OpenRange reads length bytes of a file from offset on, to its end if length is negative; the caller closes.
func (r *Repo) OpenRange(ctx context.Context, p string, offset, length int64) (io.ReadCloser, Info, error) {
	full, err := r.full(p)
	if err != nil {
		return nil, Info{}, err
	}
	f, info, err := r.driver.Open(ctx, full, offset, length)
	info.Path = r.relative(info.Path)
	return f, info, classify(p, err)
}

// Write streams src into the file p and returns its size in bytes; nothing is held in memory. The file appears whole or not at all. An
// error of src is returned as it is.
func (r *Repo) Write(ctx context.Context, p string, src io.Reader) (int64, error) {
	full, err := r.full(p)
	if err != nil {
		return 0, err
	}
	if full == "" || full == r.base {
		return 0, errPath()
	}
	from := &source{r: src}
	n, err := r.driver.Write(ctx, full, from)
	if from.err != nil {
		return 0, from.err
	}
	if err != nil {
		return 0, classify(p, err)
	}
	return n, nil
}

// source remembers a reader's own failure.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Delete removes a file or a tree. The Repo's own root can't be deleted through it.
func (r *Repo) Delete(ctx context.Context, p string) error {
	full, err := r.full(p)
	if err != nil {
		return err
	}
	if full == "" || full == r.base {
		return errPath()
	}
	return classify(p, r.driver.Delete(ctx, full))
}

// Bounds of Walk.
const (
	maxWalkDepth = 32
	maxWalkFiles = 100_000
)

// Walk calls visit for every file below dir, in order of its path, until visit returns an error, which Walk returns.
// Returns INVALID_PARAMETER_VALUE for a tree with links in it, deeper than 32 folders or with more than 100,000 files.
func (r *Repo) Walk(ctx context.Context, dir string, visit func(Info) error) error {
	files := 0
	var walk func(dir string, depth int) error
	walk = func(dir string, depth int) error {
		if depth > maxWalkDepth {
			return mlflow.Invalidf("The artifact folder '%s' is nested too deeply.", dir)
		}
		entries, err := r.entries(ctx, dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Special {
				err = mlflow.Invalidf("The artifact '%s' is a link or a special file.", e.Path)
			} else if e.IsDir {
				err = walk(e.Path, depth+1)
			} else if files++; files > maxWalkFiles {
				err = mlflow.Invalidf("The artifact folder '%s' holds more than %d files.", dir, maxWalkFiles)
			} else {
				err = visit(e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return walk(dir, 0)
}

// classify words a driver's failure for clients. Paths of the storage stay in the cause.
func classify(p string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &mlflow.Error{Code: mlflow.ResourceDoesNotExist, Message: fmt.Sprintf("No such artifact: '%s'", p), Cause: err}
	case errors.Is(err, ErrIsDir):
		return &mlflow.Error{Code: mlflow.InvalidParameterValue, Message: fmt.Sprintf("Artifact path refers to a directory, not a file: '%s'", p), Cause: err}
	case errors.Is(err, ErrNotDir):
		return &mlflow.Error{Code: mlflow.InvalidParameterValue, Message: fmt.Sprintf("A part of the artifact path '%s' is a file.", p), Cause: err}
	case errors.Is(err, ErrLink):
		return &mlflow.Error{Code: mlflow.InvalidParameterValue, Message: "Invalid path", Cause: err}
	case errors.Is(err, ErrTooMany):
		return &mlflow.Error{Code: mlflow.InvalidParameterValue, Message: fmt.Sprintf("The artifact folder '%s' has more than %d entries.", path.Base(p), MaxEntries), Cause: err}
	}
	return fmt.Errorf("artifact %q: %w", p, err)
}
