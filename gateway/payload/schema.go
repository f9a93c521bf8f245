package payload

import (
	"slices"

	"sluice/runtime/tensor"
)

// acceptFrame gives a frame's columns their types: the signature's, or those that pandas would infer.
func (p *Plan) acceptFrame(f *frame, in *Input) error {
	if err := checkCells(f.rows, len(f.cells), p.maxCells); err != nil {
		return err
	}
	if len(p.tensors) > 0 {
		return p.acceptTensorFrame(f, in)
	}
	in.Batch.Reset(tensor.Table)
	in.Batch.Rows = f.rows
	if !p.typed {
		return p.inferFrame(f, in)
	}
	at, err := p.matchColumns(f.names, f.named)
	if err != nil {
		return err
	}
	for i := range p.columns {
		if at[i] < 0 {
			continue
		}
		c, name := &p.columns[i], f.names[at[i]]
		out := in.Batch.AddColumn(name)
		if c.dtype == tensor.Invalid {
			in.Batch.Columns[len(in.Batch.Columns)-1].JSON = true
			err = f.convertNested(out, c, name, f.cells[at[i]])
		} else {
			err = f.convert(out, c.dtype, name, c.want(), f.cells[at[i]], in)
		}
		if err != nil {
			return err
		}
	}
	in.dropEmpty()
	return nil
}

// dropEmpty makes a table without columns one without rows, as pyfunc does when every column is optional and none was sent.
func (in *Input) dropEmpty() {
	if len(in.Batch.Columns) == 0 {
		in.Batch.Rows = 0
	}
}

func checkCells(rows, columns, limit int) error {
	if columns > 0 && rows > limit/columns {
		return tooManyCells(limit)
	}
	return nil
}

// matchColumns finds where each column of the schema stands among the given names: −1 for an optional one that is not there.
// Columns that the schema lacks are dropped. An unnamed schema takes columns by position.
func (p *Plan) matchColumns(names []string, named bool) ([]int, error) {
	if named {
		if err := checkTwice(names); err != nil {
			return nil, err
		}
	}
	at := make([]int, len(p.columns))
	if p.byName == nil {
		if len(names) < len(p.columns) {
			return nil, schemaf("the model's signature declares %d unnamed inputs but the body has only %d.", len(p.columns), len(names))
		}
		for i := range at {
			at[i] = i
		}
		return at, nil
	}
	for i := range at {
		at[i] = -1
	}
	if named {
		for j, name := range names {
			if i := p.index(name); i >= 0 {
				at[i] = j
			}
		}
	}
	return at, p.checkMissing(at, names)
}

// checkTwice refuses a frame with two columns of one name.
func checkTwice(names []string) error {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			return schemaf("column %s stands twice in the input.", quoteName(name))
		}
		seen[name] = true
	}
	return nil
}

// checkMissing names the required columns for which at is negative.
func (p *Plan) checkMissing(at []int, names []string) error {
	var lacking []string
	for i := range p.columns {
		if at[i] < 0 && p.columns[i].required {
			lacking = append(lacking, p.columns[i].name)
		}
	}
	if lacking == nil {
		return nil
	}
	extra := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return p.index(n) >= 0 })
	if len(extra) == 0 {
		return schemaf("Model is missing inputs %s.", quoteNames(lacking))
	}
	return schemaf("Model is missing inputs %s. Note that there were extra inputs: %s.", quoteNames(lacking), quoteNames(extra))
}

// inferFrame gives every column the type that pandas would infer.
func (p *Plan) inferFrame(f *frame, in *Input) error {
	if err := checkTwice(f.names); err != nil {
		return err
	}
	for j, name := range f.names {
		d := tensor.Float64
		if f.rows > 0 {
			d = f.look(f.cells[j]).dtype()
		}
		if d == tensor.Invalid {
			return badf("Column %s mixes values of different types, and the model has no signature that says which it wants.", quoteName(name))
		}
		if err := f.convert(in.Batch.AddColumn(name), d, name, d.String(), f.cells[j], in); err != nil {
			return err
		}
	}
	return nil
}
