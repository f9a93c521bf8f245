package mlmodel

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/runtime/tensor"
)

// ErrSchema: a batch does not fit the schema; the text is a sentence for the client, worded as MLflow's, that names the column.
var ErrSchema = errors.New("schema enforcement failed")

type schemaError struct{ text string }

func (e *schemaError) Error() string        { return e.text }
func (e *schemaError) Is(target error) bool { return target == ErrSchema }

func mismatch(format string, args ...any) error { return &schemaError{fmt.Sprintf(format, args...)} }

// Enforce makes in what the schema declares, as pyfunc does before it calls a model (source: mlflow/models/utils.py, _enforce_schema):
//
//   - named columns and tensors are put in the schema's order, extra ones are dropped, missing required ones are an error; a missing
//     optional column stays missing;
//   - unnamed columns are taken by position and keep the names they came with;
//   - column types are widened where that is safe (see CanCast), any other difference is an error; text becomes Datetime;
//   - tensors must have the declared dtype and shape, −1 matching anything; the columns of a Table are reshaped and cast to the tensors.
//
// A column schema leaves a Table; a tensor schema leaves Named tensors, or one Bare tensor if it is unnamed.
// A nil schema, or an empty one, accepts everything. in is changed in place and unspecified after an error. Returns ErrSchema.
// Nothing is allocated when in already is what the schema declares.
func (s *Schema) Enforce(in *tensor.Batch) error {
	switch {
	case s.Len() == 0:
		return nil
	case s.IsTensor():
		return s.enforceTensors(in)
	}
	return s.enforceColumns(in)
}

func (s *Schema) enforceColumns(in *tensor.Batch) error {
	if in.Form != tensor.Table {
		if err := toTable(in); err != nil {
			return err
		}
	}
	if s.Named() {
		return s.enforceNamed(in)
	}
	if len(in.Columns) < len(s.Columns) {
		return mismatch("Model inference is missing inputs. The model signature declares %d inputs  but the provided value only has "+
			"%d inputs. Note: the inputs were not named in the signature so we can only verify their count.", len(s.Columns), len(in.Columns))
	}
	in.Columns = in.Columns[:len(s.Columns)]
	for i := range in.Columns {
		if err := enforceColumn(&in.Columns[i], &s.Columns[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Schema) enforceNamed(in *tensor.Batch) error {
	if err := s.checkMissing(in); err != nil {
		return err
	}
	n := 0
	for i := range s.Columns {
		spec := &s.Columns[i]
		at := find(in, n, spec.Name)
		if at < 0 {
			continue // optional: checkMissing knows the others
		}
		in.Columns[n], in.Columns[at] = in.Columns[at], in.Columns[n]
		if err := enforceColumn(&in.Columns[n], spec); err != nil {
			return err
		}
		n++
	}
	in.Columns = in.Columns[:n]
	return nil
}

// find looks for a column from position n on; the usual case is that it is already there.
func find(in *tensor.Batch, n int, name string) int {
	for i := n; i < len(in.Columns); i++ {
		if in.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// checkMissing returns the error that names every missing required input, with the extra ones as a hint.
func (s *Schema) checkMissing(in *tensor.Batch) error {
	if s.inOrder(in) {
		return nil
	}
	given := make(map[string]bool, len(in.Columns))
	for i := range in.Columns {
		if given[in.Columns[i].Name] {
			return mismatch("The input column '%s' is given twice.", in.Columns[i].Name)
		}
		given[in.Columns[i].Name] = true
	}
	var missing []string
	known := make(map[string]bool, s.Len())
	for i := range s.Len() {
		name := s.nameAt(i)
		known[name] = true
		if !given[name] && (s.IsTensor() || s.Columns[i].Required) {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var extra []string
	for i := range in.Columns {
		if name := in.Columns[i].Name; !known[name] {
			extra = append(extra, name)
		}
	}
	text := "Model is missing inputs " + pyList(missing) + "."
	if len(extra) > 0 {
		text += " Note that there were extra inputs: " + pyList(extra) + "."
	}
	return &schemaError{text}
}

// inOrder reports whether in's columns are exactly the schema's, by name and position.
func (s *Schema) inOrder(in *tensor.Batch) bool {
	if len(in.Columns) != s.Len() {
		return false
	}
	for i := range in.Columns {
		if in.Columns[i].Name != s.nameAt(i) {
			return false
		}
	}
	return true
}

// toTable makes columns of one bare matrix or of named one-dimensional tensors, as pandas.DataFrame does.
func toTable(in *tensor.Batch) error {
	if in.Form == tensor.Bare && len(in.Columns) == 1 {
		return bareToTable(in)
	}
	in.Form = tensor.Table
	for i := range in.Columns {
		if c := &in.Columns[i]; len(c.Tensor.Shape) == 0 {
			if err := c.Tensor.Reshape(1); err != nil {
				return mismatch("input '%s' has no shape", c.Name)
			}
		}
	}
	if err := in.CountRows(); err != nil {
		return mismatch("This model contains a column-based signature, which suggests a DataFrame input. There was an error casting the "+
			"input data to a DataFrame: %v", err)
	}
	return nil
}

// bareToTable makes column j of a matrix the column named "j".
func bareToTable(in *tensor.Batch) error {
	src := new(tensor.Tensor)
	src.CopyFrom(&in.Columns[0].Tensor)
	switch len(src.Shape) {
	case 1:
		if err := src.Reshape(src.Shape[0], 1); err != nil {
			return err
		}
	case 2:
	default:
		return mismatch("Must pass 2-d input. shape=%s", pyShape(src.Shape))
	}
	rows, width := src.Shape[0], int(src.Shape[1])
	in.Reset(tensor.Table)
	in.Grow(width)
	for j := range width {
		col := in.AddColumn(strconv.Itoa(j))
		col.Reset(src.Type, rows)
		for i := range int(rows) {
			if src.Type.Text() {
				col.Strings()[i] = src.Strings()[i*width+j]
				continue
			}
			size := src.Type.Size()
			copy(col.Raw()[i*size:(i+1)*size], src.Raw()[(i*width+j)*size:])
		}
	}
	in.Rows = int(rows)
	return nil
}

func enforceColumn(c *tensor.Column, spec *ColumnSpec) error {
	if spec.Kind == Array && spec.Elem.Kind.Scalar() && !c.JSON {
		return castColumn(c, spec.Elem.Kind)
	}
	if !spec.Kind.Scalar() { // nested values were checked by who decoded them: see ColumnSpec.CheckValue
		return nil
	}
	return castColumn(c, spec.Kind)
}

// castColumn converts a column to the kind's dtype where MLflow does.
func castColumn(c *tensor.Column, k Kind) error {
	t, want := &c.Tensor, k.DType()
	if t.Type == want {
		return nil
	}
	if c.JSON { // texts some of which are missing
		return mismatch("Incompatible input types for column %s. Can not safely convert text with missing values to %s.", c.Name, kinds[k].numpy)
	}
	if t.Type == tensor.String && k == Datetime {
		return textToDatetime(c)
	}
	if !CanCast(t.Type, k) && !(t.Type == tensor.Int64 && (k == Float || k == Double) && zeroOrOne(t)) {
		return mismatch("Incompatible input types for column %s. Can not safely convert %s to %s.%s",
			c.Name, pandasName(t.Type), kinds[k].numpy, missingHint(t, k))
	}
	var out tensor.Tensor
	if err := tensor.Convert(&out, want, t); err != nil {
		return mismatch("Incompatible input types for column %s. %v", c.Name, err)
	}
	c.Tensor = out
	return nil
}

// CanCast reports whether a column of dtype from may stand for kind k without looking at its values: the same dtype; a wider one of
// the same family; unsigned to a wider signed integer; an integer of at most 32 bits to double; String and Binary for each other.
// (Two exceptions look at values: int64 columns of zeros and ones pass as float and double, and ISO texts as datetime.)
func CanCast(from tensor.DType, k Kind) bool {
	want := k.DType()
	switch {
	case want == tensor.Invalid:
		return true
	case from == want, from.Text() && want.Text():
		return true
	case !from.Numeric() || !want.Numeric():
		return false
	case family(from) == family(want):
		return from.Size() <= want.Size()
	case family(from) == 'u' && family(want) == 'i':
		return from.Size() < want.Size()
	case from.Integer() && want == tensor.Float64:
		return from.Size() <= 6
	}
	return false
}

// family is NumPy's dtype.kind.
func family(d tensor.DType) byte {
	switch {
	case d >= tensor.Int8 && d <= tensor.Int64:
		return 'i'
	case d >= tensor.Uint8 && d <= tensor.Uint64:
		return 'u'
	case d.Float():
		return 'f'
	}
	return 'o'
}

func zeroOrOne(t *tensor.Tensor) bool {
	for _, v := range tensor.Of[int64](t) {
		if v != 0 && v != 1 {
			return false
		}
	}
	return true
}

// pandasName is the dtype that pandas shows for a column.
func pandasName(d tensor.DType) string {
	if d.Text() {
		return "object"
	}
	return d.String()
}

// missingHint explains the usual reason for floats in an integer column.
func missingHint(t *tensor.Tensor, k Kind) string {
	if t.Type != tensor.Float64 || (k != Integer && k != Long) {
		return ""
	}
	nan := false
	for _, v := range tensor.Of[float64](t) {
		if v != v {
			nan = true
		} else if v != float64(int64(v)) {
			return ""
		}
	}
	if !nan {
		return ""
	}
	return " Hint: the column has missing values, and integer columns cannot hold them, so it arrived as floats. Declare the column as " +
		"double in the model's signature if values may be missing."
}

func textToDatetime(c *tensor.Column) error {
	var out tensor.Tensor
	out.Reset(tensor.Datetime, c.Tensor.Shape...)
	ns := tensor.Of[int64](&out)
	for i, s := range c.Tensor.Strings() {
		v, err := ParseDatetime(s)
		if err != nil {
			return mismatch("Failed to convert column %s from type object to DataType.datetime.", c.Name)
		}
		ns[i] = v
	}
	c.Tensor = out
	return nil
}

// pyShape prints a shape as Python prints a tuple.
func pyShape(shape []int64) string {
	if len(shape) == 1 {
		return fmt.Sprintf("(%d,)", shape[0])
	}
	parts := make([]string, len(shape))
	for i, d := range shape {
		parts[i] = strconv.FormatInt(d, 10)
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// fitsShape reports whether have matches want, −1 in want matching anything.
func fitsShape(want, have []int64) bool {
	return slices.EqualFunc(want, have, func(w, h int64) bool { return w == -1 || w == h })
}
