// Package examples carries the example models inside the binary: two versions of a wine classifier as MLflow model packages.
//
// It owns the files and their order. It is called by cmd (`serve --demo`) and by tests; it must not know how a model is stored or served.
// The files are made by wine/train.py.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed wine
var files embed.FS

// Wine returns the model package of version 1 or 2 of the wine classifier; version 2 is the better one.
// Any other number is fs.ErrNotExist when the file system is read.
func Wine(version int) (fs.FS, error) {
	name := "wine/v1"
	if version == 2 {
		name = "wine/v2"
	} else if version != 1 {
		return nil, fs.ErrNotExist
	}
	return fs.Sub(files, name)
}

// WineReport returns the accuracy of each version on held-out rows, as JSON {"v1": {"accuracy": …}, …}.
func WineReport() ([]byte, error) { return files.ReadFile("wine/report.json") }
