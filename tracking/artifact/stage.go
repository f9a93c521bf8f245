package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"sluice/tracking/mlflow"
)

// Batch is files that become visible together, in any number of Repos: a bundle's. It is used by one goroutine at a time and ends with
// Commit, or with Discard, which is always allowed.
type Batch struct {
	staged map[Stager][]string
	files  map[Stager][]Staging
	placed []Stager
}

// NewBatch returns an empty Batch.
func NewBatch() *Batch { return &Batch{map[Stager][]string{}, map[Stager][]Staging{}, nil} }

// Staged is one file that waits in a Batch.
type Staged struct {
	Bytes  int64
	SHA256 string // of the content, hexadecimal
	name   string
	in     Stager
}

// Stage streams src into the storage of r, unseen. Returns NOT_IMPLEMENTED for a storage that cannot do that. An error of src is returned
// as it is.
func (b *Batch) Stage(ctx context.Context, r *Repo, src io.Reader) (Staged, error) {
	in, ok := r.driver.(Stager)
	if !ok {
		return Staged{}, mlflow.Errorf(mlflow.NotImplemented, "The storage of these artifacts cannot take files in without showing them.")
	}
	from, sum := &source{r: src}, sha256.New()
	name, n, err := in.Stage(ctx, io.TeeReader(from, sum))
	if from.err != nil {
		return Staged{}, from.err
	}
	if err != nil {
		return Staged{}, classify("", err)
	}
	b.staged[in] = append(b.staged[in], name)
	return Staged{n, hex.EncodeToString(sum.Sum(nil)), name, in}, nil
}

// Add says where a staged file goes. Returns RESOURCE_CONFLICT if r lies in another storage than the file waits in.
func (b *Batch) Add(s Staged, r *Repo, p string) error {
	full, err := r.full(p)
	if err != nil {
		return err
	}
	if in, ok := r.driver.(Stager); !ok || in != s.in {
		return mlflow.Errorf(mlflow.ResourceConflict, "The artifact location moved to another storage meanwhile; try again.")
	}
	b.files[s.in] = append(b.files[s.in], Staging{s.name, full})
	return nil
}

// Place makes the added files visible. After an error Discard removes those that are.
func (b *Batch) Place(ctx context.Context) error {
	for in, files := range b.files {
		if err := in.Place(ctx, files); err != nil {
			return classify("", err)
		}
		b.placed = append(b.placed, in)
		delete(b.staged, in)
	}
	return nil
}

// Commit keeps what was placed; Discard does not touch it any more.
func (b *Batch) Commit() { b.placed = nil }

// Discard removes everything that is not committed.
func (b *Batch) Discard(ctx context.Context) error {
	var failed []error
	for _, in := range b.placed {
		failed = append(failed, in.Unplace(ctx, b.files[in]))
	}
	for in, names := range b.staged {
		failed = append(failed, in.Discard(names))
	}
	b.placed, b.staged, b.files = nil, map[Stager][]string{}, map[Stager][]Staging{}
	return errors.Join(failed...)
}
