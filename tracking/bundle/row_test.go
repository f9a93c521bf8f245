package bundle

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func tableOf(t testing.TB, name string) *Table {
	t.Helper()
	for _, table := range Tables() {
		if table.Name == name {
			return table
		}
	}
	t.Fatalf("no table %s", name)
	return nil
}

// FuzzRow: a line that is read is written and read again to the same row, bit for bit.
func FuzzRow(f *testing.F) {
	for _, line := range []string{
		`{"key":"loss","value":"NaN","timestamp":9223372036854775807,"run_uuid":"a","step":-9223372036854775808,"is_nan":true}`,
		`{"key":"\u00e9\ud83d\ude00\n","value":-0.0,"timestamp":1,"run_uuid":"a","step":1,"is_nan":false}`,
		`{ "key" : "" , "value":"-Infinity","timestamp":0,"run_uuid":"A_-","step":0,"is_nan":false }`,
		`{"key":"a","value":5e-324,"timestamp":0,"run_uuid":"a","step":0,"is_nan":false}`, `{}`, `{"key":1}`, `{"key":"a"`, ``,
	} {
		f.Add([]byte(line))
	}
	table := tableOf(f, "metrics")
	f.Fuzz(func(t *testing.T, line []byte) {
		row, err := parseRow(table, line)
		if err != nil {
			return
		}
		text, err := appendRow(nil, table, row)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), "\n") != 1 {
			t.Fatalf("%q is not one line", text)
		}
		again, err := parseRow(table, text[:len(text)-1])
		if err != nil {
			t.Fatalf("%s became %s: %v", line, text, err)
		}
		for i := range row {
			if f, ok := row[i].(float64); ok {
				if math.Float64bits(f) != math.Float64bits(again[i].(float64)) {
					t.Fatalf("%v became %v", f, again[i])
				}
			} else if !reflect.DeepEqual(row[i], again[i]) {
				t.Fatalf("%q became %q", row[i], again[i])
			}
		}
	})
}

func TestPathsInOrder(t *testing.T) {
	t.Parallel()
	sorted := []string{"a", "a-b", "b/a", "b/a-c", "b/c/d", "b-a", "c"}
	for i, p := range sorted {
		for j, q := range sorted {
			if got := after(p, q); got != (i < j) {
				t.Errorf("after(%s, %s) = %v", p, q, got)
			}
		}
	}
	if after("a", "a/b") || after("a", "a") {
		t.Error("a file below a file, or a file twice, is in order")
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	roots := map[string]int64{"mlflow-artifacts:/1": 0, "mlflow-artifacts:/1/r/artifacts": 1, "file:///data/x": 2}
	for uri, want := range map[string]struct {
		root int64
		rest string
		ok   bool
	}{
		"mlflow-artifacts:/1/r/artifacts": {1, "", true}, "mlflow-artifacts:/1/r/artifacts/model/": {1, "model", true},
		"mlflow-artifacts:/1/r/other": {0, "r/other", true}, "mlflow-artifacts:/10": {0, "", false}, "file:///data/x/y/z": {2, "y/z", true},
		"file:///data": {0, "", false}, "s3://b": {0, "", false}, "": {0, "", false}, "/": {0, "", false},
	} {
		if root, rest, ok := within(roots, uri); ok != want.ok || ok && (root != want.root || rest != want.rest) {
			t.Errorf("%s: got %d, %q, %v", uri, root, rest, ok)
		}
	}
}

func BenchmarkMetricRow(b *testing.B) {
	table := tableOf(b, "metrics")
	row := Row{"validation/loss", 0.12345678901234567, int64(1_700_000_000_000), strings.Repeat("0123456789abcdef", 2), int64(12345), false}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		line, _ = appendRow(line[:0], table, row)
		if _, err := parseRow(table, line[:len(line)-1]); err != nil {
			b.Fatal(err)
		}
	}
}
