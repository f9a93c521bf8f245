package predlog

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// TestScanReadsSegmentsWithoutTheColumnsThatCameLater writes a segment as it was before there was a column cached.
func TestScanReadsSegmentsWithoutTheColumnsThatCameLater(t *testing.T) {
	fields := slices.DeleteFunc(reflect.VisibleFields(reflect.TypeFor[row]()), func(f reflect.StructField) bool { return f.Name == "Cached" })
	older := reflect.New(reflect.StructOf(fields))
	older.Elem().FieldByName("PredictionID").SetBytes([]byte("0192f000-0000-7000-8000-000000000001"))
	older.Elem().FieldByName("Shadow").SetBool(true)
	older.Elem().FieldByName("Rows").SetInt(3)
	path := filepath.Join(t.TempDir(), "older.parquet")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := parquet.NewWriter(f, parquet.SchemaOf(older.Interface()))
	for key, value := range map[string]string{
		metaFormat: formatName, metaSegment: "older", metaVersion: "1", metaFirst: "2026-11-01T00:00:00Z", metaLast: "2026-11-01T00:00:00Z",
	} {
		w.SetKeyValueMetadata(key, value)
	}
	if err := w.Write(older.Interface()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for r, err := range Scan(path) {
		if err != nil {
			t.Fatal(err)
		}
		if rows++; !r.Shadow || r.Cached || r.Rows != 3 {
			t.Errorf("read %+v", r.Record)
		}
	}
	if rows != 1 {
		t.Errorf("read %d rows, want 1", rows)
	}
}
