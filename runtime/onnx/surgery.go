package onnx

import (
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/runtime/tensor"
)

// output is one output as the client knows it, and the tensor of the session that it is made of.
type output struct {
	name    string // the client's
	session string // the session's
	value          // type and shape of the session's tensor; name unused
	keys    []string
	half    tensor.DType // Float16 or BFloat16 if the session answers it widened to Float32, else Invalid
}

// edit is a replacement of a span of the graph.
type edit struct {
	start, end int
	with       []byte
}

// operate returns the model that the session loads and its outputs. Two operations make a model fit for bound tensors:
//
//   - a ZipMap at an output is taken out; its labels become keys of the tensor that it would have spread into maps (sequences of maps
//     cost 1.4 to 2.5 times the run and cannot be bound);
//   - a 16-bit output with free inner dimensions is widened to float32, because the binding library cannot read such outputs
//     unless it knows their shape.
//
// Where nothing applies, the bytes returned are the file's own.
func (m *modelFile) operate() ([]byte, []output) {
	outs := make([]output, len(m.outputs))
	var edits []edit
	var appended []byte
	for i := range m.outputs {
		v := &m.outputs[i]
		outs[i] = output{name: v.name, session: v.name, value: *v}
		switch {
		case v.maps:
			if e, ok := m.stripZipMap(&outs[i]); ok {
				edits = append(edits, e...)
			}
		case (v.dtype == tensor.Float16 || v.dtype == tensor.BFloat16) && !fixedInner(v):
			e, n := widen(&outs[i])
			edits = append(edits, e)
			appended = append(appended, n...)
		}
	}
	if len(edits) == 0 {
		return m.raw, outs
	}
	return m.rewrite(edits, appended), outs
}

// loops reports whether the graph has control flow: what a run costs then depends on the values.
func (m *modelFile) loops() bool {
	return slices.ContainsFunc(m.nodes, func(n node) bool {
		return n.op == "Loop" || n.op == "Scan" || n.op == "If" || n.op == "SequenceMap"
	})
}

// fixedInner reports whether all dimensions after the first are declared and fixed.
func fixedInner(v *value) bool {
	return v.rank && len(v.shape) > 0 && !slices.Contains(v.shape[1:], -1)
}

// rewrite applies edits to the graph, appends fields, and puts the graph back into the model.
func (m *modelFile) rewrite(edits []edit, appended []byte) []byte {
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	old := m.raw[m.graphStart:m.graphEnd]
	graph := make([]byte, 0, len(old)+len(appended)+256)
	at := 0
	for _, e := range edits {
		graph = append(append(graph, old[at:e.start]...), e.with...)
		at = e.end
	}
	graph = append(append(graph, old[at:]...), appended...)
	out := make([]byte, 0, len(m.raw)+len(appended)+256)
	out = append(out, m.raw[:m.fieldStart]...)
	out = protowire.AppendTag(out, modelGraph, protowire.BytesType)
	out = protowire.AppendBytes(out, graph)
	return append(out, m.raw[m.graphEnd:]...)
}

// stripZipMap finds the ZipMap behind an output. It is left in place if its input is used as an output too, or is not made by a node,
// or its labels cannot be read, or do not stand in the order in which its maps would be sorted.
func (m *modelFile) stripZipMap(o *output) ([]edit, bool) {
	i := slices.IndexFunc(m.nodes, func(n node) bool { return slices.Contains(n.outputs, o.name) })
	if i < 0 {
		return nil, false
	}
	zip := &m.nodes[i]
	if zip.op != "ZipMap" || zip.domain != "ai.onnx.ml" || len(zip.inputs) != 1 || m.isPublic(zip.inputs[0], o.name) || m.consumed(o.name) {
		return nil, false
	}
	keys, sorted := zipMapKeys(zip)
	if len(keys) == 0 || !sorted {
		return nil, false
	}
	o.session, o.keys = zip.inputs[0], keys
	o.value.dtype, o.value.shape, o.value.rank, o.value.maps = tensor.Float32, []int64{-1, int64(len(keys))}, true, false
	return []edit{{zip.start, zip.end, nil}, {o.start, o.end, outputField(o.session, tensor.Float32, o.shape)}}, true
}

// isPublic reports whether a tensor is an input, a weight, an output, or the source of another ZipMap, or is made by nobody.
func (m *modelFile) isPublic(name, except string) bool {
	made := false
	for i := range m.nodes {
		n := &m.nodes[i]
		made = made || slices.Contains(n.outputs, name)
		if n.op == "ZipMap" && slices.Contains(n.inputs, name) && !slices.Contains(n.outputs, except) {
			return true
		}
	}
	return !made || slices.ContainsFunc(m.outputs, func(v value) bool { return v.name == name })
}

// consumed reports whether a node reads the tensor.
func (m *modelFile) consumed(name string) bool {
	return slices.ContainsFunc(m.nodes, func(n node) bool { return slices.Contains(n.inputs, name) })
}

// zipMapKeys reads classlabels_strings or classlabels_int64s; integers are written in decimal, as JSON keys. sorted says that they ascend.
func zipMapKeys(zip *node) (keys []string, sorted bool) {
	sorted = true
	last := int64(math.MinInt64)
	integer := func(v uint64) {
		sorted = sorted && (len(keys) == 0 || last < int64(v))
		last = int64(v)
		keys = append(keys, strconv.FormatInt(last, 10))
	}
	for _, attr := range zip.attributes {
		err := scan(attr, func(num protowire.Number, content []byte, v uint64, _, _ int) error {
			switch {
			case num == attrStrings:
				sorted = sorted && (len(keys) == 0 || keys[len(keys)-1] < string(content))
				keys = append(keys, string(content))
			case num == attrInts && content == nil:
				integer(v)
			case num == attrInts: // packed
				for len(content) > 0 {
					v, n := protowire.ConsumeVarint(content)
					if n < 0 {
						return protowire.ParseError(n)
					}
					integer(v)
					content = content[n:]
				}
			}
			return nil
		})
		if err != nil {
			return nil, false
		}
	}
	return keys, sorted
}

// widen puts a Cast to float32 behind an output.
func widen(o *output) (edit, []byte) {
	o.half = o.value.dtype
	o.session = "sluice_widened/" + o.name
	o.value.dtype = tensor.Float32
	var attr []byte // to = FLOAT
	attr = protowire.AppendTag(attr, attrName, protowire.BytesType)
	attr = protowire.AppendString(attr, "to")
	attr = protowire.AppendTag(attr, 3, protowire.VarintType) // i
	attr = protowire.AppendVarint(attr, onnxType(tensor.Float32))
	attr = protowire.AppendTag(attr, 20, protowire.VarintType) // type
	attr = protowire.AppendVarint(attr, 2)                     // INT
	var n []byte
	n = protowire.AppendTag(n, nodeInput, protowire.BytesType)
	n = protowire.AppendString(n, o.name)
	n = protowire.AppendTag(n, nodeOutput, protowire.BytesType)
	n = protowire.AppendString(n, o.session)
	n = protowire.AppendTag(n, nodeOpType, protowire.BytesType)
	n = protowire.AppendString(n, "Cast")
	n = protowire.AppendTag(n, nodeAttribute, protowire.BytesType)
	n = protowire.AppendBytes(n, attr)
	var field []byte
	field = protowire.AppendTag(field, graphNode, protowire.BytesType)
	field = protowire.AppendBytes(field, n)
	shape := o.shape
	if !o.rank {
		shape = nil
	}
	return edit{o.start, o.end, outputField(o.session, tensor.Float32, shape)}, field
}

// outputField is the graph's output field for a tensor; a nil shape leaves the rank open.
func outputField(name string, d tensor.DType, shape []int64) []byte {
	var t []byte
	t = protowire.AppendTag(t, 1, protowire.VarintType)
	t = protowire.AppendVarint(t, onnxType(d))
	if shape != nil {
		var dims []byte
		for _, n := range shape {
			var dim []byte
			if n >= 0 {
				dim = protowire.AppendTag(dim, 1, protowire.VarintType)
				dim = protowire.AppendVarint(dim, uint64(n))
			}
			dims = protowire.AppendTag(dims, 1, protowire.BytesType)
			dims = protowire.AppendBytes(dims, dim)
		}
		t = protowire.AppendTag(t, 2, protowire.BytesType)
		t = protowire.AppendBytes(t, dims)
	}
	var typ []byte
	typ = protowire.AppendTag(typ, typeTensor, protowire.BytesType)
	typ = protowire.AppendBytes(typ, t)
	var v []byte
	v = protowire.AppendTag(v, valueName, protowire.BytesType)
	v = protowire.AppendString(v, name)
	v = protowire.AppendTag(v, valueType, protowire.BytesType)
	v = protowire.AppendBytes(v, typ)
	var field []byte
	field = protowire.AppendTag(field, graphOutput, protowire.BytesType)
	return protowire.AppendBytes(field, v)
}
