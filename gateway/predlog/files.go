package predlog

import "os"

// files is the slice of the file system whose failures the Log must survive; tests replace single functions.
type files struct {
	// create opens a new file for writing; it exists already: an error.
	create func(name string) (file, error)
	// free returns the bytes that a write may still take on the file system of dir.
	free func(dir string) (int64, error)
}

// file is what the Log does to an open file; *os.File implements it.
type file interface {
	Write(p []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

func osFiles() *files {
	return &files{
		create: func(name string) (file, error) {
			return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o640)
		},
		free: freeBytes,
	}
}
