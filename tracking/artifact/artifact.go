// Package artifact keeps the files that runs, logged models and model versions are made of.
//
// It owns the rules for paths (CleanPath), what an artifact URI means (Resolver), the concrete Repo with listing, ranges and
// checksums, and the contract of drivers (Driver). It is called by tracking/rest, registry/modelcache and gateway's prediction
// log; it must not know HTTP, SQL, or whose files they are. Drivers live in one folder each (fileartifact), know nothing of each
// other and pass artifacttest.
//
// # Paths and URIs
//
// A path is relative, slash-separated and was percent-decoded exactly once, at the edge. It never becomes part of a URI and a
// URI is never made by concatenation: a URI is parsed once by Resolver, what remains is a Repo rooted where the URI points, and
// everything below it is a path.
//
// A Repo and a Resolver are safe for concurrent use if their driver is.
package artifact

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that drivers return, wrapped. A file or folder that is not there is fs.ErrNotExist; everything else is a failure of the
// storage and becomes INTERNAL_ERROR at the edge.
var (
	// ErrIsDir means that the path names a folder where a file is needed.
	ErrIsDir = errors.New("artifact: is a folder")
	// ErrNotDir means that a part of the path in front of the last is a file.
	ErrNotDir = errors.New("artifact: is not a folder")
	// ErrLink means that the path leads over a symbolic link or names a device, socket or pipe.
	ErrLink = errors.New("artifact: is not a regular file")
	// ErrTooMany means that a folder has more entries than MaxEntries.
	ErrTooMany = errors.New("artifact: too many entries")
)

// MaxEntries is how many entries a folder may have to be listed.
const MaxEntries = 100_000

// Info describes a file or folder.
type Info struct {
	Path     string // relative to the driver's or Repo's root, without leading or trailing slash
	IsDir    bool
	Size     int64     // bytes; 0 for folders
	Modified time.Time // zero if the storage does not tell
	// Special says that the entry is a link, device, socket or pipe: it is known to be there but never opened.
	Special bool
}

// Driver stores files below one root. Paths have passed CleanPath; "" is the root itself.
//
// Every method is safe for concurrent use. Two writers of one path both succeed and the file is that of one of them, whole.
type Driver interface {
	Reader
	Writer
}

// Reader is the reading half of Driver.
type Reader interface {
	// List returns what lies directly in the folder dir, in any order; links and the like are marked Special. A folder that is
	// not there is empty; a file has no entries either. Returns ErrTooMany above MaxEntries.
	List(ctx context.Context, dir string) ([]Info, error)
	// Stat describes one file or folder. Returns fs.ErrNotExist, ErrLink.
	Stat(ctx context.Context, path string) (Info, error)
	// Open reads length bytes of a file from offset on, to its end if length is negative. Info describes the whole file as
	// opened: a later write does not change what the reader gives. Returns fs.ErrNotExist, ErrIsDir, ErrLink. The caller closes.
	Open(ctx context.Context, path string, offset, length int64) (io.ReadCloser, Info, error)
}

// Writer is the writing half of Driver.
type Writer interface {
	// Write stores everything that r gives as the file path and makes the folders above it. The file appears whole and durable,
	// or, if r or the storage fails, not at all; a file that was there is replaced in one step and its open readers keep the
	// old content. The error of r is returned wrapped. Returns ErrIsDir, ErrNotDir, ErrLink.
	Write(ctx context.Context, path string, r io.Reader) (int64, error)
	// Delete removes a file or a folder with everything in it. Returns fs.ErrNotExist. A tree may be half gone on error.
	Delete(ctx context.Context, path string) error
}

// LocalPath is the optional power of a driver whose files are files of this machine.
type LocalPath interface {
	// LocalPath returns the absolute path of the file or folder; it need not exist.
	LocalPath(path string) string
}

// Stager is the optional power of a driver to take files in without showing them, and to show many of them at once.
type Stager interface {
	// Stage stores everything that r gives under a name that clients can't see. What is never placed or discarded goes by itself
	// after a day.
	Stage(ctx context.Context, r io.Reader) (name string, bytes int64, err error)
	// Place moves staged files to their paths, replacing files that are there; durable when it returns. On an error none of them is
	// placed. Returns ErrIsDir, ErrNotDir, ErrLink.
	Place(ctx context.Context, files []Staging) error
	// Unplace removes what Place placed, and the folders that are empty then.
	Unplace(ctx context.Context, files []Staging) error
	// Discard removes staged files that were not placed.
	Discard(names []string) error
}

// Staging is a staged file and its path.
type Staging struct{ Name, Path string }
