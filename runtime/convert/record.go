package convert

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// The files of a conversion.
const (
	// ModelFile is the converted graph.
	ModelFile = "model.onnx"
	// RecordFile is the Result.
	RecordFile = "conversion.json"
)

const maxRecordBytes = 16 << 20

func writeRecord(dir string, r Result) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, RecordFile), data, 0o600)
}

// ReadRecord reads the result of the conversion that left its files in dir. Returns os.ErrNotExist, wrapped, if there is none.
func ReadRecord(dir string) (Result, error) {
	var r Result
	return r, readJSON(dir, RecordFile, maxRecordBytes, &r)
}
