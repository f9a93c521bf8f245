package artifact

import (
	"context"
	"errors"
	"io/fs"
)

// Clear removes everything below the Repo's root, and the root itself unless it is the driver's. A root that is not there is nothing.
// A tree may be half gone on error.
func (r *Repo) Clear(ctx context.Context) error {
	if r.base != "" {
		err := r.driver.Delete(ctx, r.base)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return classify("", err)
	}
	entries, err := r.driver.List(ctx, "")
	if err != nil {
		return classify("", err)
	}
	for _, e := range entries {
		if err := r.driver.Delete(ctx, e.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return classify(e.Path, err)
		}
	}
	return nil
}
