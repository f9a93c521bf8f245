package fileartifact

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"

	"sluice/tracking/artifact"
)

var _ artifact.Stager = (*Driver)(nil)

// Stage implements artifact.Stager.
func (d *Driver) Stage(ctx context.Context, r io.Reader) (string, int64, error) {
	return d.receive(ctx, r)
}

// Place implements artifact.Stager. Each folder is synced once, however many files it gets.
func (d *Driver) Place(ctx context.Context, files []artifact.Staging) error {
	for i, f := range files {
		err := ctx.Err()
		if err == nil {
			err = d.target(f.Path)
		}
		if err == nil {
			err = d.move(f)
		}
		if err != nil {
			return errors.Join(err, d.Unplace(context.WithoutCancel(ctx), files[:i]))
		}
	}
	synced := map[string]bool{}
	for _, f := range files {
		for dir := path.Dir(f.Path); !synced[dir]; dir = path.Dir(dir) {
			if err := d.syncDir(dir); err != nil {
				return errors.Join(err, d.Unplace(context.WithoutCancel(ctx), files))
			}
			synced[dir] = true
		}
	}
	return nil
}

func (d *Driver) move(f artifact.Staging) error {
	if _, err := d.mkdir(path.Dir(f.Path)); err != nil {
		return err
	}
	return notDir(d.root.Rename(f.Name, name(f.Path)))
}

// Unplace implements artifact.Stager.
func (d *Driver) Unplace(_ context.Context, files []artifact.Staging) error {
	var failed []error
	for _, f := range files {
		if err := d.root.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
			continue
		}
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if d.root.Remove(dir) != nil {
				break // something else lies in it
			}
		}
	}
	return errors.Join(failed...)
}

// Discard implements artifact.Stager.
func (d *Driver) Discard(names []string) error {
	var failed []error
	for _, n := range names {
		if err := d.root.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
