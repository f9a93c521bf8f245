package baseline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"sluice/gateway/payload"
	"sluice/runtime/mlmodel"
	"sluice/tracking/mlflow"
)

// maxBytes bounds a file that is read, and maxCells the values in it.
const (
	maxBytes = 64 << 20
	maxCells = 8 << 20
)

// unusable is why rows are not taken, in words; it is not tried again.
type unusable string

func (u unusable) Error() string { return string(u) }

// reason says whether an error is one that another try will not mend, and why the rows are not taken then.
func reason(err error) (why string, final bool) {
	var u unusable
	if errors.As(err, &u) {
		return string(u), true
	}
	switch mlflow.CodeOf(err) {
	case mlflow.ResourceDoesNotExist, mlflow.InvalidParameterValue, mlflow.PermissionDenied:
		return mlflow.Truncate(err.Error(), 300), true
	}
	return "", false
}

func hasScheme(uri string) bool { return strings.Contains(uri, ":") }

// within is the URI of a file in a folder.
func within(folder, name string) string { return strings.TrimRight(folder, "/") + "/" + name }

// read reads the file that an artifact URI names.
func (f *Finder) read(ctx context.Context, uri string) ([]byte, error) {
	located, err := f.deps.Locate(ctx, uri)
	if err != nil {
		return nil, err
	}
	i := strings.LastIndexByte(located, '/')
	if i < 0 || i == len(located)-1 {
		return nil, unusable("it names no file")
	}
	repo, err := f.deps.Resolve(located[:i])
	if err != nil {
		return nil, err
	}
	file, info, err := repo.Open(ctx, located[i+1:])
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size > maxBytes {
		return nil, unusable(fmt.Sprintf("it has %d bytes, at most %d are read", info.Size, maxBytes))
	}
	text, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err == nil && len(text) > maxBytes {
		err = unusable(fmt.Sprintf("it has more than %d bytes", maxBytes))
	}
	return text, err
}

// mediaTypes are those of the tables that are read, by the ends of their names.
var mediaTypes = map[string]string{
	".parquet": "application/vnd.apache.parquet", ".csv": "text/csv", ".json": "application/json",
}

// decode makes a batch of a table, as the model with that signature takes it.
func decode(name string, text []byte, signature *mlmodel.Signature, in *payload.Input) error {
	kind, ok := mediaTypes[strings.ToLower(path.Ext(name))]
	if !ok {
		return unusable("it is no .parquet, .csv or .json")
	}
	if kind == mediaTypes[".json"] {
		text = scored(text)
	}
	if err := payload.Compile(signature, &payload.Options{MaxCells: maxCells}).Decode(kind, text, in); err != nil {
		return unusable(mlflow.Truncate(err.Error(), 300))
	}
	return nil
}

// scored makes a body of the scoring protocol of a table as mlflow.log_table and input examples write it, {"columns": …, "data": …}.
func scored(text []byte) []byte {
	var top map[string]json.RawMessage
	if json.Unmarshal(bytes.TrimSpace(text), &top) != nil || top["columns"] == nil || top["data"] == nil {
		return text
	}
	split, err := json.Marshal(map[string]any{"dataframe_split": top})
	if err != nil {
		return text
	}
	return split
}
