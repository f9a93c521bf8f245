package payload

import (
	"slices"

	"sluice/runtime/tensor"
)

// array is a nested list as NumPy sees it: a shape, and the values in row-major order. A bare value has no dimensions.
type array struct {
	shape  []int64
	leaves []uint32
}

// readArray reads a nested list; lists of unequal lengths at one depth are refused.
func (t *text) readArray(n uint32, what string) (array, error) {
	var a array
	for at := n; t.first(at) == '['; at++ {
		a.shape = append(a.shape, int64(t.count(at)))
		if t.tape[at].next == at+1 {
			break
		}
	}
	if !t.gather(&a, n, 0) {
		return a, badf("%s is not an array: its lists are of unequal lengths or depths.", what)
	}
	return a, nil
}

func (t *text) gather(a *array, n uint32, depth int) bool {
	if depth == len(a.shape) {
		a.leaves = append(a.leaves, n)
		return t.first(n) != '['
	}
	if t.first(n) != '[' {
		return false
	}
	count, ok := int64(0), true
	t.children(n, func(c uint32) bool {
		count++
		ok = t.gather(a, c, depth+1)
		return ok
	})
	return ok && count == a.shape[depth]
}

// store makes out a tensor of type d of the array's values, by NumPy's rules.
func (a *array) store(t *text, out *tensor.Tensor, d tensor.DType, name, want string, in *Input) error {
	per := int64(1)
	for i := 1; i < len(a.shape); i++ {
		per *= a.shape[i]
	}
	bad := func(i int, got string) error { return convertError(name, i/int(max(per, 1)), want, got) }
	if d.Text() {
		out.Reset(d, a.shape...)
		to := out.Strings()
		for i, n := range a.leaves {
			s, why := t.string(n, d, rules{})
			if why != "" {
				return bad(i, why)
			}
			to[i] = s
		}
		return nil
	}
	words := slices.Grow(in.words[:0], len(a.leaves))
	for i, n := range a.leaves {
		w, why := t.word(n, d, rules{})
		if why != "" {
			return bad(i, why)
		}
		words = append(words, w)
	}
	in.words = words
	store(out, d, a.shape, words, 0, 1)
	return nil
}

// infer is the type that NumPy would choose. Mixtures that it would turn into text or objects are Invalid.
func (a *array) infer(t *text) tensor.DType {
	s := (&frame{t: t}).look(a.leaves)
	switch {
	case len(a.leaves) == 0:
		return tensor.Float64
	case s.others || s.huge || s.nulls:
		return tensor.Invalid
	case s.strings:
		if s.bools || s.ints || s.floats || s.uints {
			return tensor.Invalid
		}
		return tensor.String
	case s.floats:
		return tensor.Float64
	case s.uints:
		if s.negative {
			return tensor.Invalid
		}
		return tensor.Uint64
	case s.ints:
		return tensor.Int64
	}
	return tensor.Bool
}

// named is a named value of "inputs" or "instances".
type named struct {
	name  string
	value uint32
}

// decodeArrays reads the TensorFlow Serving fields: "inputs" and "instances" (source: mlflow/utils/proto_json_utils.py,
// parse_tf_serving_input). They differ for a list of objects, which instances stacks to one array a name.
func (p *Plan) decodeArrays(t *text, n uint32, instances bool, in *Input) error {
	field := keyInputs
	if instances {
		field = keyInstances
	}
	switch {
	case t.first(n) == '{':
		return p.acceptNamed(t, lastOf(t, n), instances, in)
	case t.first(n) == '[' && n+1 < t.tape[n].next && t.first(n+1) == '{':
		return p.acceptObjects(t, n, instances, field, in)
	}
	return p.acceptBare(t, n, field, in)
}

// lastOf lists the members of an object, each name once with its last value.
func lastOf(t *text, n uint32) []named {
	var out []named
	index := map[string]int{}
	t.members(n, func(key string, v uint32) bool {
		if i, ok := index[key]; ok {
			out[i].value = v
			return true
		}
		index[key] = len(out)
		out = append(out, named{key, v})
		return true
	})
	return out
}

// acceptNamed reads an object of arrays.
func (p *Plan) acceptNamed(t *text, members []named, sameLength bool, in *Input) error {
	if p.typed && p.byName == nil {
		return badf("Failed to parse input data. This model has an unnamed signature, which expects one array or value, not an object.")
	}
	arrays := make([]array, len(members))
	for i, m := range members {
		if p.typed && p.index(m.name) < 0 {
			continue // the schema lacks it: dropped without a look
		}
		var err error
		if arrays[i], err = t.readArray(m.value, "input "+quoteName(m.name)); err != nil {
			return err
		}
	}
	switch {
	case len(p.tensors) > 0:
		return p.storeTensors(t, members, arrays, sameLength, in)
	case p.typed:
		return p.storeColumns(t, members, arrays, in)
	}
	return p.storeInferred(t, members, arrays, sameLength, in)
}

func (p *Plan) storeTensors(t *text, members []named, arrays []array, sameLength bool, in *Input) error {
	in.Batch.Reset(tensor.Named)
	at := make([]int, len(p.tensors))
	var lacking []string
	for i := range p.tensors {
		at[i] = slices.IndexFunc(members, func(m named) bool { return m.name == p.tensors[i].name })
		if at[i] < 0 {
			lacking = append(lacking, p.tensors[i].name)
		}
	}
	if lacking != nil {
		return schemaf("Model is missing inputs %s.", quoteNames(lacking))
	}
	for i := range p.tensors {
		if err := p.storeTensor(t, &p.tensors[i], &arrays[at[i]], in); err != nil {
			return err
		}
	}
	return finishNamed(in, sameLength)
}

func (p *Plan) storeTensor(t *text, spec *tensorInput, a *array, in *Input) error {
	if !spec.fits(a.shape) {
		return schemaf("Shape of input %s %v does not match expected shape %v.", quoteName(spec.name), a.shape, spec.shape)
	}
	return a.store(t, in.Batch.AddColumn(spec.name), spec.dtype, spec.name, spec.dtype.String(), in)
}

// fits reports whether shape is one that the tensor takes; −1 takes anything.
func (s *tensorInput) fits(shape []int64) bool {
	if len(shape) != len(s.shape) {
		return false
	}
	for i, d := range s.shape {
		if d != -1 && d != shape[i] {
			return false
		}
	}
	return true
}

func finishNamed(in *Input, sameLength bool) error {
	if err := in.Batch.CountRows(); err != nil {
		return schemaf("%v", err)
	}
	if in.Batch.Rows == tensor.NoRows && sameLength {
		return badf("The length of values for each input/column name are not the same.")
	}
	return nil
}

func (p *Plan) storeInferred(t *text, members []named, arrays []array, sameLength bool, in *Input) error {
	in.Batch.Reset(tensor.Named)
	for i, m := range members {
		d := arrays[i].infer(t)
		if d == tensor.Invalid {
			return mixedError(m.name)
		}
		if err := arrays[i].store(t, in.Batch.AddColumn(m.name), d, m.name, d.String(), in); err != nil {
			return err
		}
	}
	return finishNamed(in, sameLength)
}

func mixedError(name string) error {
	return badf("Input %s mixes values of different types, and the model has no signature that says which it wants.", quoteName(name))
}

// storeColumns makes a frame of named arrays: arrays of one dimension and equal lengths; a bare value stands for every row.
func (p *Plan) storeColumns(t *text, members []named, arrays []array, in *Input) error {
	names := make([]string, len(members))
	rows := -1
	for i, m := range members {
		names[i] = m.name
		j := p.index(m.name)
		if j < 0 || len(arrays[i].shape) == 0 {
			continue
		}
		if len(arrays[i].shape) > 1 {
			return schemaf("column %s holds lists of lists, where its type is '%s'.", quoteName(m.name), p.columns[j].want())
		}
		if n := int(arrays[i].shape[0]); rows >= 0 && n != rows {
			return schemaf("column %s has %d values where another has %d.", quoteName(m.name), n, rows)
		}
		rows = int(arrays[i].shape[0])
	}
	at, err := p.matchColumns(names, true)
	if err != nil {
		return err
	}
	if rows < 0 {
		rows = 1
	}
	if err := checkCells(rows, len(p.columns), p.maxCells); err != nil {
		return err
	}
	in.Batch.Reset(tensor.Table)
	in.Batch.Rows = rows
	for i := range p.columns {
		if at[i] < 0 {
			continue
		}
		if err := p.storeColumn(t, i, &arrays[at[i]], rows, in); err != nil {
			return err
		}
	}
	in.dropEmpty()
	return nil
}

func (p *Plan) storeColumn(t *text, i int, a *array, rows int, in *Input) error {
	c := &p.columns[i]
	if c.dtype == tensor.Invalid {
		return nestedError(c.name, c.want())
	}
	if len(a.shape) == 0 {
		a.shape = []int64{int64(rows)}
		a.leaves = slices.Repeat(a.leaves, rows)
	}
	return a.store(t, in.Batch.AddColumn(c.name), c.dtype, c.name, c.want(), in)
}

// acceptBare reads a list of values or lists, or one value.
func (p *Plan) acceptBare(t *text, n uint32, field string, in *Input) error {
	if len(p.byName) == 1 && t.first(n) == '[' {
		return p.acceptNamed(t, []named{{p.onlyName(), n}}, false, in)
	}
	if p.typed && t.first(n) == 'n' {
		return badf("Failed to parse input data. Field '%s' is null, where an array or a value is expected.", field)
	}
	a, err := t.readArray(n, "field '"+field+"'")
	if err != nil {
		return err
	}
	in.Batch.Reset(tensor.Bare)
	switch {
	case p.byName != nil:
		return p.acceptNameless(field, in)
	case len(p.tensors) > 0:
		err = p.storeTensor(t, &p.tensors[0], &a, in)
	case p.typed:
		return p.storeUnnamed(t, &a, in)
	default:
		d := a.infer(t)
		if d == tensor.Invalid {
			return mixedError(field)
		}
		err = a.store(t, in.Batch.AddColumn(""), d, field, d.String(), in)
	}
	if err == nil {
		err = finishNamed(in, false)
	}
	return err
}

// acceptNameless names the inputs that an array without names lacks; with optional columns only, none is, and the table is empty.
func (p *Plan) acceptNameless(field string, in *Input) error {
	var names []string
	for i := range p.columns {
		if p.columns[i].required {
			names = append(names, p.columns[i].name)
		}
	}
	for i := range p.tensors {
		names = append(names, p.tensors[i].name)
	}
	if names == nil {
		in.Batch.Reset(tensor.Table)
		return nil
	}
	return schemaf("Model is missing inputs %s: field '%s' has values without names.", quoteNames(names), field)
}

func (p *Plan) onlyName() string {
	if len(p.tensors) > 0 {
		return p.tensors[0].name
	}
	return p.columns[0].name
}

// storeUnnamed makes the columns of an unnamed schema of an array: one column of a list, columns by position of a list of rows.
func (p *Plan) storeUnnamed(t *text, a *array, in *Input) error {
	var rows, width int
	switch len(a.shape) {
	case 0:
		rows, width = 1, 1
	case 1:
		rows, width = int(a.shape[0]), 1
	case 2:
		rows, width = int(a.shape[0]), int(a.shape[1])
	default:
		return schemaf("the input has %d dimensions, where a table has two.", len(a.shape))
	}
	f := &frame{t: t, rows: rows, cells: make([][]uint32, width)}
	f.numberColumns()
	at, err := p.matchColumns(f.names, false)
	if err != nil {
		return err
	}
	in.Batch.Reset(tensor.Table)
	in.Batch.Rows = rows
	for i := range p.columns {
		c := &p.columns[i]
		if c.dtype == tensor.Invalid {
			return nestedError(f.names[i], c.want())
		}
		one := array{shape: []int64{int64(rows)}}
		for r := range rows {
			one.leaves = append(one.leaves, a.leaves[r*width+at[i]])
		}
		if err := one.store(t, in.Batch.AddColumn(f.names[i]), c.dtype, f.names[i], c.want(), in); err != nil {
			return err
		}
	}
	return nil
}
