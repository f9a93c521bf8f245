package bundle

import (
	"encoding/hex"
	"hash"
	"strconv"
	"strings"

	"sluice/tracking/artifact"
)

// Format is the version of the format that this package writes, and the only one that it reads.
const Format = 1

// Names of the entries.
const (
	manifestName = "manifest.json"
	rowsPrefix   = "rows/"
	rowsSuffix   = ".jsonl"
	rootsName    = "roots.jsonl"
	filesPrefix  = "files/"
	indexName    = "files.jsonl"
	endName      = "end.json"
)

// MediaType is what a bundle is over HTTP; FileSuffix ends the names of bundles.
const (
	MediaType  = "application/zstd"
	FileSuffix = ".sluice.tar.zst"
)

// Kind is what a bundle was made of.
type Kind string

// The kinds.
const (
	KindRun        Kind = "run"
	KindExperiment Kind = "experiment"
	KindModel      Kind = "model" // a registered model
)

// Manifest is the first entry.
type Manifest struct {
	Format int  `json:"format"`
	Kind   Kind `json:"kind"`
	// ID is the run's or the experiment's id, or the registered model's name.
	ID        string `json:"id"`
	CreatedMS int64  `json:"created_ms"` // Unix time, milliseconds
	// Schema is the Alembic revision of MLflow's tables at the source, MLflow the release whose surface the source speaks.
	Schema string           `json:"mlflow_schema"`
	MLflow string           `json:"mlflow_version"`
	Rows   map[string]int64 `json:"rows"` // by table
	Roots  int64            `json:"roots"`
	Files  int64            `json:"files"`
	Bytes  int64            `json:"bytes"` // of the files
	// Foreign counts the locations outside of the source's own storage, whose files are not in the bundle; ForeignSome are up to 20 of
	// them.
	Foreign     int64    `json:"foreign_locations"`
	ForeignSome []string `json:"foreign_locations_some,omitempty"`
}

// Root is a place of the source's own storage.
type Root struct {
	N     int64  `json:"n"` // counted from 0, in order
	Class Class  `json:"class"`
	ID    string `json:"id"` // of a version: name/number
	URI   string `json:"uri"`
	Files int64  `json:"files"`
}

// File is one artifact file.
type File struct {
	Root   int64  `json:"root"`
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// End is the last entry.
type End struct {
	Entries int64  `json:"entries"` // before this one
	Bytes   int64  `json:"bytes"`   // of their contents
	SHA256  string `json:"sha256"`  // of the chain of entries
}

// chain sums entries: name, size and content digest of each.
type chain struct {
	sum hash.Hash
	End
}

func (c *chain) add(name string, size int64, digest []byte) {
	c.Entries++
	c.Bytes += size
	c.sum.Write([]byte(strconv.Itoa(len(name)) + ":" + name + " " + strconv.FormatInt(size, 10) + " " + hex.EncodeToString(digest) + "\n"))
}

func (c *chain) end() End {
	out := c.End
	out.SHA256 = hex.EncodeToString(c.sum.Sum(nil))
	return out
}

func fileEntry(root int64, p string) string {
	return filesPrefix + strconv.FormatInt(root, 10) + "/" + p
}

// parseFileEntry takes the name of an artifact's entry apart; ok is false for a name that no Exporter writes.
func parseFileEntry(name string) (root int64, p string, ok bool) {
	rest, ok := strings.CutPrefix(name, filesPrefix)
	if !ok {
		return 0, "", false
	}
	number, p, ok := strings.Cut(rest, "/")
	root, err := strconv.ParseInt(number, 10, 64)
	clean, unsafe := artifact.CleanPath(p)
	if !ok || err != nil || root < 0 || strconv.FormatInt(root, 10) != number || unsafe != nil || clean != p || p == "" {
		return 0, "", false
	}
	return root, p, true
}

// after says whether path b may follow path a in a bundle: later, folder by folder, and not below it.
func after(a, b string) bool {
	if strings.HasPrefix(b, a+"/") {
		return false
	}
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return as[i] < bs[i]
		}
	}
	return false
}
