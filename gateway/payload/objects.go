package payload

import "slices"

// acceptObjects reads a list of objects, each one row. "instances" stacks the values of each name and wants every name in every row;
// in "inputs" a name that a row lacks is null there.
func (p *Plan) acceptObjects(t *text, n uint32, instances bool, field string, in *Input) error {
	f := &frame{t: t, array: p.typed}
	if err := f.readRecords(field, n, p.maxCells); err != nil {
		return err
	}
	switch {
	case p.typed && p.byName == nil:
		return badf("Failed to parse input data. This model has an unnamed signature, which expects arrays, not objects.")
	case len(p.tensors) > 0 && !instances:
		return schemaf("the model's tensors take an object of arrays in 'inputs'; a list of objects belongs into 'instances'.")
	}
	if instances {
		if err := p.checkWhole(f); err != nil {
			return err
		}
	}
	if len(p.columns) > 0 || !instances {
		return p.acceptFrame(f, in)
	}
	return p.stackObjects(f, in)
}

// checkWhole refuses a column that some rows lack, if the model looks at it.
func (p *Plan) checkWhole(f *frame) error {
	for j, name := range f.names {
		if p.typed && p.index(name) < 0 {
			continue
		}
		if row := slices.Index(f.cells[j], 0); row >= 0 {
			return badf("The length of values for each input/column name are not the same: row %d lacks %s.", row, quoteName(name))
		}
	}
	return nil
}

// stackObjects makes one array of each name's values, the rows on the first axis.
func (p *Plan) stackObjects(f *frame, in *Input) error {
	members := make([]named, len(f.names))
	arrays := make([]array, len(f.names))
	for j, name := range f.names {
		members[j].name = name
		if p.typed && p.index(name) < 0 {
			continue
		}
		var err error
		if arrays[j], err = f.t.stack(f.cells[j], name); err != nil {
			return err
		}
	}
	if len(p.tensors) > 0 {
		return p.storeTensors(f.t, members, arrays, true, in)
	}
	return p.storeInferred(f.t, members, arrays, true, in)
}

// stack joins arrays of one shape on a new first axis.
func (t *text) stack(rows []uint32, name string) (array, error) {
	var out array
	for i, n := range rows {
		a, err := t.readArray(n, "input "+quoteName(name))
		if err != nil {
			return out, err
		}
		if i == 0 {
			out.shape = append([]int64{int64(len(rows))}, a.shape...)
		}
		if !slices.Equal(out.shape[1:], a.shape) {
			return out, badf("Input %s has the shape %v in row %d and %v in row 0.", quoteName(name), a.shape, i, out.shape[1:])
		}
		out.leaves = append(out.leaves, a.leaves...)
	}
	return out, nil
}
