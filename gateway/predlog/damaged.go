package predlog

import (
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go"
)

// ErrDamaged: a segment is not what the log wrote.
var ErrDamaged = errors.New("predlog: damaged segment")

// guarded turns a panic of the Parquet library into ErrDamaged. Delivered segments lie where whoever may write to the run's artifacts can write,
// and a hostile one must not end the process.
func guarded(read func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return read()
}

// rowSchema is the schema of the segments that this program writes, and rowKinds are the types of its columns.
var (
	rowSchema = parquet.SchemaOf(row{})
	rowKinds  = func() (kinds []parquet.Kind) {
		for _, path := range rowSchema.Columns() {
			leaf, _ := rowSchema.Lookup(path...)
			kinds = append(kinds, leaf.Node.Type().Kind())
		}
		return kinds
	}()
)

// sameTypes returns ErrDamaged if a column has another type in a file than in row. A column may be missing, as in segments of older versions,
// and others may be there.
func sameTypes(file *parquet.Schema) error {
	for i, path := range rowSchema.Columns() {
		want, _ := rowSchema.Lookup(path...)
		got, ok := file.Lookup(path...)
		if ok && (got.Node.Type().Kind() != rowKinds[i] || got.Node.Optional() != want.Node.Optional() || got.Node.Repeated()) {
			return fmt.Errorf("%w: column %s is %s, want %s", ErrDamaged, path[0], got.Node, want.Node)
		}
	}
	return nil
}

// reconstruct fills r from the values of one row, all of rowSchema. The Parquet library takes each value for what r's field says that it is, a
// number taken for a text is a wild pointer, and values left out leave those of another row in place: so that is looked at first.
func reconstruct(r *row, values parquet.Row) error {
	if len(values) != len(rowKinds) {
		return fmt.Errorf("%w: a row of %d values, want %d", ErrDamaged, len(values), len(rowKinds))
	}
	for i, v := range values {
		if v.Column() != i || !v.IsNull() && v.Kind() != rowKinds[i] {
			return fmt.Errorf("%w: value %d is a %s of column %d, want a %s", ErrDamaged, i, v.Kind(), v.Column(), rowKinds[i])
		}
	}
	return rowSchema.Reconstruct(r, values)
}
