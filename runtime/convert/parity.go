package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"

	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// Bounds of what the program may write down.
const (
	maxAnswerBytes = 64 << 20
	singles        = 16 // rows that are asked one by one besides
)

// sheet is what the original was asked and what it answered.
type sheet struct {
	answer  shape
	rows    *tensor.Batch
	refused *tensor.Batch // nil: none
	columns []answerColumn
}

// answerColumn is one column of the original's answer, values flattened: numbers, booleans or texts; null is NaN.
type answerColumn struct {
	Name   string            `json:"name"`
	Kind   string            `json:"kind"` // "float", "int", "bool" or "text"
	Shape  []int64           `json:"shape"`
	Values []json.RawMessage `json:"values"`
}

func readSheet(dir string, model *mlmodel.Model, e *event) (*sheet, error) {
	s := &sheet{answer: e.shape}
	var err error
	if s.rows, err = readRows(dir, rowsFile, model, e.Tensor); err != nil {
		return nil, fmt.Errorf("%w: rows: %w", ErrProcess, err)
	}
	if e.Refused > 0 {
		if s.refused, err = readRows(dir, refusedFile, model, e.Tensor); err != nil {
			return nil, fmt.Errorf("%w: refused rows: %w", ErrProcess, err)
		}
	}
	if err := readJSON(dir, answersFile, maxAnswerBytes, &s.columns); err != nil {
		return nil, fmt.Errorf("%w: answers: %w", ErrProcess, err)
	}
	if s.rows.Rows < 1 || len(s.columns) == 0 || len(s.columns) != len(s.answer.Ranks) {
		return nil, fmt.Errorf("%w: no rows, or no answers", ErrProcess)
	}
	for _, c := range s.columns {
		if len(c.Shape) == 0 || c.Shape[0] != int64(s.rows.Rows) || !tensor.Fits(len(c.Values), c.Shape) {
			return nil, fmt.Errorf("%w: the answer's column %q has the shape %v and %d values", ErrProcess, c.Name, c.Shape, len(c.Values))
		}
	}
	return s, nil
}

// readRows reads rows as the input example of the model, enforced by its signature: a request's rows would arrive the same.
func readRows(dir, name string, model *mlmodel.Model, matrix bool) (*tensor.Batch, error) {
	m := *model
	m.Example = &mlmodel.ExampleInfo{Path: name, Kind: "dataframe"}
	if matrix {
		m.Example.Kind = "ndarray"
	}
	b, _, err := m.ReadExample(dir)
	return b, err
}

func readJSON(dir, name string, limit int64, v any) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// compare asks b every row, together and some of them alone, and returns the first difference as a sentence.
func (s *sheet) compare(ctx context.Context, b servable.Backend, tol Tolerance) error {
	var out, one tensor.Batch
	if err := b.Predict(ctx, s.rows, nil, &out); err != nil {
		return fmt.Errorf("the conversion does not answer: %w", err)
	}
	if err := s.check(&out, 0, s.rows.Rows, tol); err != nil {
		return err
	}
	for row := range min(singles, s.rows.Rows) {
		if err := one.CopyRows(s.rows, row, row+1); err != nil {
			return err
		}
		if err := b.Predict(ctx, &one, nil, &out); err != nil {
			return fmt.Errorf("the conversion does not answer row %d alone: %w", row, err)
		}
		if err := s.check(&out, row, 1, tol); err != nil {
			return err
		}
	}
	return s.compareRefused(ctx, b)
}

// compareRefused wants an error for every row that the original refuses, each alone.
func (s *sheet) compareRefused(ctx context.Context, b servable.Backend) error {
	if s.refused == nil {
		return nil
	}
	var one, out tensor.Batch
	for row := range s.refused.Rows {
		if err := one.CopyRows(s.refused, row, row+1); err != nil {
			return err
		}
		if err := b.Predict(ctx, &one, nil, &out); !errors.Is(err, servable.ErrBadInput) {
			return errors.New("the original refuses rows that the conversion answers: texts that it never saw, or values out of range")
		}
	}
	return nil
}

// check compares an answer with what the original said to n rows from one on.
func (s *sheet) check(out *tensor.Batch, from, n int, tol Tolerance) error {
	if len(out.Columns) != len(s.columns) {
		return fmt.Errorf("the conversion answers %d columns, the original %d", len(out.Columns), len(s.columns))
	}
	for i := range s.columns {
		want, got := &s.columns[i], &out.Columns[i].Tensor
		if out.Form != tensor.Bare && out.Columns[i].Name != want.Name {
			return fmt.Errorf("the conversion answers column %q, the original %q", out.Columns[i].Name, want.Name)
		}
		shape := slices.Clone(want.Shape)
		shape[0] = int64(n)
		if !slices.Equal(shape, got.Shape) {
			return fmt.Errorf("the conversion answers the shape %v, the original %v", got.Shape, shape)
		}
		width := len(want.Values) / int(want.Shape[0])
		if err := want.differs(got, from*width, n*width, width, tol); err != nil {
			return err
		}
	}
	return nil
}

// differs is an error for the first of n elements that is not the original's.
func (c *answerColumn) differs(got *tensor.Tensor, from, n, width int, tol Tolerance) error {
	if got.Type.Text() != (c.Kind == "text") || (got.Type == tensor.Bool) != (c.Kind == "bool") || got.Type.Float() != (c.Kind == "float") {
		return fmt.Errorf("the conversion answers %s, the original %s", got.Type, c.Kind)
	}
	read, err := reader(got)
	if err != nil {
		return err
	}
	for i := range n {
		want, have := c.Values[from+i], read(i)
		if !same(want, have, c.Kind, tol) {
			return fmt.Errorf("row %d: the conversion answers %s, the original %.60s", (from+i)/width, have, want)
		}
	}
	return nil
}

// reader writes elements of a tensor as JSON does.
func reader(t *tensor.Tensor) (func(i int) string, error) {
	if t.Type.Text() {
		return func(i int) string { return strconv.Quote(t.Strings()[i]) }, nil
	}
	if t.Type == tensor.Bool {
		return func(i int) string { return strconv.FormatBool(tensor.Of[bool](t)[i]) }, nil
	}
	if t.Type.Integer() {
		var wide tensor.Tensor
		if err := tensor.Convert(&wide, tensor.Int64, t); err != nil {
			return nil, err
		}
		return func(i int) string { return strconv.FormatInt(tensor.Of[int64](&wide)[i], 10) }, nil
	}
	var wide tensor.Tensor
	if err := tensor.Convert(&wide, tensor.Float64, t); err != nil {
		return nil, err
	}
	return func(i int) string { return strconv.FormatFloat(tensor.Of[float64](&wide)[i], 'g', -1, 64) }, nil
}

// same compares one value of the original, as JSON, with one of the conversion.
func same(want json.RawMessage, have, kind string, tol Tolerance) bool {
	switch kind {
	case "text":
		var a string
		b, err := strconv.Unquote(have)
		return json.Unmarshal(want, &a) == nil && err == nil && a == b
	case "float":
		a, okA := number(want)
		b, err := strconv.ParseFloat(have, 64)
		return okA && err == nil && tol.covers(b, a)
	}
	return string(want) == have
}

// number reads a float as the program writes it: null is NaN, infinities are texts.
func number(raw json.RawMessage) (float64, bool) {
	switch string(raw) {
	case "null":
		return math.NaN(), true
	case `"inf"`:
		return math.Inf(1), true
	case `"-inf"`:
		return math.Inf(-1), true
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil
}

// covers says whether a may stand for b.
func (t Tolerance) covers(a, b float64) bool {
	switch {
	case a == b:
		return true
	case math.IsNaN(a) || math.IsNaN(b):
		return math.IsNaN(a) && math.IsNaN(b)
	}
	return math.Abs(a-b) <= t.Absolute+t.Relative*math.Abs(b)
}
