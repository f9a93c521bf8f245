package fileartifact

import (
	"errors"
	"path/filepath"
	"strings"

	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// Folders are the folders that artifact URIs of the scheme file, and plain paths, may name: those that the operator configured.
// A client can write any path into a location; only what lies in one of these is ever opened.
type Folders struct{ drivers []*Driver }

// OpenFolders opens the given folders, which are made if they are not there. Close it after the last use.
func OpenFolders(dirs []string, opts *Options) (*Folders, error) {
	f := &Folders{}
	for _, dir := range dirs {
		d, err := New(dir, opts)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.drivers = append(f.drivers, d)
	}
	return f, nil
}

// Close closes all folders.
func (f *Folders) Close() error {
	var errs []error
	for _, d := range f.drivers {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// Open is the artifact.Opener of the scheme file. Returns PERMISSION_DENIED for a place outside of the folders, and
// INVALID_PARAMETER_VALUE for a relative path or a file on another host.
func (f *Folders) Open(u artifact.URI) (*artifact.Repo, error) {
	p, err := u.Unescaped()
	if err != nil {
		return nil, err
	}
	if u.Host != "" && u.Host != "localhost" || u.Query != "" || !strings.HasPrefix(p, "/") {
		return nil, mlflow.Invalidf("Invalid artifact URI.")
	}
	clean, err := artifact.CleanPath(strings.TrimLeft(p, "/"))
	if err != nil {
		return nil, err
	}
	abs := "/" + clean
	for _, d := range f.drivers {
		rest, err := filepath.Rel(d.dir, filepath.FromSlash(abs))
		if err == nil && filepath.IsLocal(rest) {
			return artifact.NewRepo(d).Sub(filepath.ToSlash(rest))
		}
	}
	return nil, mlflow.Errorf(mlflow.PermissionDenied, "The artifact location lies outside of the folders that this server was given.")
}
