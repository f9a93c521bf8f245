package mlmodel

import (
	"slices"

	"sluice/runtime/tensor"
)

func (s *Schema) enforceTensors(in *tensor.Batch) error {
	if !s.Named() {
		return s.enforceBare(in)
	}
	if in.Form == tensor.Bare && len(s.Tensors) == 1 && len(in.Columns) == 1 {
		in.Columns[0].Name = s.Tensors[0].Name // MLflow matches a lone array with a lone input
	}
	if in.Form == tensor.Bare && len(s.Tensors) > 1 {
		return mismatch("This model contains a tensor-based model signature with input names, which suggests a dictionary input mapping " +
			"input name to tensor, or a pandas DataFrame input containing columns mapping input name to flattened list value from " +
			"tensor, but an input of type <class 'numpy.ndarray'> was found.")
	}
	if err := s.checkMissing(in); err != nil {
		return err
	}
	for i := range s.Tensors {
		spec := &s.Tensors[i]
		at := find(in, i, spec.Name)
		in.Columns[i], in.Columns[at] = in.Columns[at], in.Columns[i]
		if err := enforceTensor(&in.Columns[i], spec, in.Form == tensor.Table); err != nil {
			return err
		}
	}
	in.Columns = in.Columns[:len(s.Tensors)]
	in.Form = tensor.Named
	return in.CountRows()
}

func (s *Schema) enforceBare(in *tensor.Batch) error {
	spec := &s.Tensors[0]
	switch {
	case in.Form == tensor.Named:
		return mismatch("This model contains a tensor-based model signature with no input names, which suggests a numpy array input or a " +
			"pandas dataframe input with proper column values, but an input of type <class 'dict'> was found.")
	case len(in.Columns) == 0 || (in.Form == tensor.Table && in.Rows == 0):
		return mismatch("Input DataFrame is empty.")
	case len(in.Columns) > 1:
		if err := joinColumns(in, spec); err != nil {
			return err
		}
	}
	reshape := in.Form == tensor.Table
	in.Form = tensor.Bare
	if err := enforceTensor(&in.Columns[0], spec, reshape); err != nil {
		return err
	}
	in.Columns[0].Name = ""
	return in.CountRows()
}

// joinColumns makes one matrix of a frame's scalar columns; afterwards the only column has shape [rows, columns].
func joinColumns(in *tensor.Batch, spec *TensorSpec) error {
	width := int64(len(in.Columns))
	if !slices.Equal(spec.Shape, []int64{-1, width}) {
		return mismatch("This model contains a model signature with an unnamed input. Since the input data is a pandas DataFrame "+
			"containing multiple columns, the input shape must be of the structure (-1, number_of_dataframe_columns). Instead, the "+
			"input DataFrame passed had %d columns and an input shape of %s with all values within the DataFrame of scalar type. "+
			"Please adjust the passed in DataFrame to match the expected structure", width, pyShape(spec.Shape))
	}
	var m tensor.Tensor
	if err := tensor.Stack(&m, in.Columns); err != nil {
		return mismatch("dtype of input object does not match expected dtype %s", spec.Type)
	}
	in.Columns = in.Columns[:1]
	in.Columns[0].Tensor = m
	in.Form = tensor.Bare // typed as it is: a frame of several columns is checked, not cast
	return nil
}

// enforceTensor checks one tensor. A frame's column, whose shape and type the client could not write, is reshaped and cast first.
func enforceTensor(c *tensor.Column, spec *TensorSpec, column bool) error {
	if column {
		if err := reshapeColumn(c, spec); err != nil {
			return err
		}
	}
	if !fitsShape(spec.Shape, c.Tensor.Shape) {
		return mismatch("Shape of input %s does not match expected shape %s.", pyShape(c.Tensor.Shape), pyShape(spec.Shape))
	}
	if c.Tensor.Type != spec.Type && !(c.Tensor.Type.Text() && spec.Type.Text()) {
		return mismatch("dtype of input %s does not match expected dtype %s", c.Tensor.Type, spec.Type)
	}
	return nil
}

func reshapeColumn(c *tensor.Column, spec *TensorSpec) error {
	if len(spec.Shape) == 0 || spec.Shape[0] != -1 || slices.Contains(spec.Shape[1:], -1) {
		name := "the unnamed input"
		if spec.Name != "" {
			name = "input " + spec.Name
		}
		return mismatch("For pandas dataframe input, the first dimension of shape must be a variable dimension and other dimensions must "+
			"be fixed, but in model signature the shape of %s is %s.", name, pyShape(spec.Shape))
	}
	t := &c.Tensor
	shape := slices.Clone(spec.Shape)
	shape[0] = t.Shape[0]
	if !tensor.Fits(t.Len(), shape) {
		if len(t.Shape) == 1 {
			return mismatch("The input pandas dataframe column '%s' contains scalar values, which requires the shape to be (-1,) or "+
				"(-1, 1), but got tensor spec shape of %s.", c.Name, pyShape(spec.Shape))
		}
		return uncoercible(c, spec)
	}
	if t.Type != spec.Type {
		var out tensor.Tensor
		if err := tensor.Convert(&out, spec.Type, t); err != nil {
			return uncoercible(c, spec)
		}
		c.Tensor = out
	}
	return c.Tensor.Reshape(shape...)
}

func uncoercible(c *tensor.Column, spec *TensorSpec) error {
	return mismatch("The value in the Input DataFrame column '%s' could not be converted to the expected shape of: '%s'. Ensure that each "+
		"of the input list elements are of uniform length and that the data can be coerced to the tensor type '%s'",
		c.Name, pyShape(spec.Shape), spec.Type)
}
