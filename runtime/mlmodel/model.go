package mlmodel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// FileName is the name of the file that makes a folder a model package.
const FileName = "MLmodel"

// Bounds of a model package's files. A signature of a hundred thousand columns fits in maxFileBytes.
const (
	maxFileBytes    = 16 << 20
	maxExampleBytes = 16 << 20
)

var (
	// ErrNoModel: the folder holds no MLmodel file.
	ErrNoModel = errors.New("no MLmodel file")
	// ErrModel: the MLmodel file cannot be read; the wrapping text says where.
	ErrModel = errors.New("bad MLmodel file")
)

// Model is a parsed model package.
type Model struct {
	ArtifactPath  string // run-relative path, or models:/… in MLflow 3; may be empty
	RunID         string // the run that made it; may be empty
	ModelID       string // "m-…" of the logged model; empty before MLflow 3 or for a plain save
	UUID          string // new for each save
	MLflowVersion string // the version that wrote the file
	CreatedUTC    string // as written: "2006-01-02 15:04:05.000000"
	SizeBytes     int64  // model_size_bytes; 0 if not written
	Flavors       Flavors
	Signature     *Signature     // nil if the model has none
	Metadata      map[string]any // values are nil, bool, int64, float64, string, []any, map[string]any
	Example       *ExampleInfo   // where the input example lies; nil if the model has none
}

// ExampleInfo is saved_input_example_info.
type ExampleInfo struct {
	Path        string // relative to the package, "input_example.json"
	Kind        string // "dataframe", "ndarray", "json_object", "sparse_matrix_csr", "sparse_matrix_csc"
	ServingPath string // body ready for /invocations, "serving_input_example.json"; empty before MLflow 2.16
	HasParams   bool
}

// Load reads the MLmodel file of a model package. Nothing outside dir is opened, not even through links.
// Returns ErrNoModel, ErrModel or ErrSignature, wrapped.
func Load(dir string) (*Model, error) {
	data, err := readInside(dir, FileName, maxFileBytes)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w in %s", ErrNoModel, path.Base(dir))
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	return Parse(data)
}

// readInside reads a file below dir through os.Root, at most limit bytes.
func readInside(dir, name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	// Opening a named pipe or device would block or never end.
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, err
}

// Parse reads the content of an MLmodel file. Returns ErrModel or ErrSignature, wrapped. Unknown keys are ignored: MLflow adds some in
// every version.
func Parse(data []byte) (*Model, error) {
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrModel, maxFileBytes)
	}
	doc, err := decodeYAML(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	top, ok := doc.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: not a mapping", ErrModel)
	}
	m := &Model{
		ArtifactPath:  text(top, "artifact_path"),
		RunID:         text(top, "run_id"),
		ModelID:       text(top, "model_id"),
		UUID:          text(top, "model_uuid"),
		MLflowVersion: text(top, "mlflow_version"),
		CreatedUTC:    text(top, "utc_time_created"),
		SizeBytes:     integer(top, "model_size_bytes"),
	}
	m.Metadata, _ = top["metadata"].(map[string]any)
	if m.Flavors, err = parseFlavors(top["flavors"]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	if m.Example, err = parseExampleInfo(top["saved_input_example_info"]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	if m.Signature, err = parseSignature(top["signature"]); err != nil {
		return nil, err
	}
	return m, nil
}

func parseSignature(v any) (*Signature, error) {
	if v == nil {
		return nil, nil
	}
	top, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: not a mapping", ErrSignature)
	}
	s := new(Signature)
	var err error
	for _, part := range []struct {
		key string
		dst **Schema
	}{{"inputs", &s.Inputs}, {"outputs", &s.Outputs}} {
		doc := text(top, part.key)
		if doc == "" {
			continue
		}
		if *part.dst, err = ParseSchema(doc); err != nil {
			return nil, fmt.Errorf("%s: %w", part.key, err)
		}
	}
	if doc := text(top, "params"); doc != "" {
		if s.Params, err = ParseParams(doc); err != nil {
			return nil, fmt.Errorf("params: %w", err)
		}
	}
	return s, nil
}

func parseExampleInfo(v any) (*ExampleInfo, error) {
	top, ok := v.(map[string]any)
	if !ok {
		return nil, nil
	}
	e := &ExampleInfo{Path: text(top, "artifact_path"), Kind: text(top, "type"), ServingPath: text(top, "serving_input_path")}
	switch x := top["params"].(type) {
	case bool:
		e.HasParams = x
	case string:
		e.HasParams = strings.EqualFold(x, "true")
	}
	return e, nil
}

// text is a string value of a mapping; numbers and booleans are not text. Missing, null and other types are empty.
func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func integer(m map[string]any, key string) int64 {
	n, _ := m[key].(int64)
	return n
}
