package onnx

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/runtime/tensor"
)

// ErrNotONNX: the file is not an ONNX model, or a damaged one; the wrapping text says what is wrong.
var ErrNotONNX = errors.New("not an ONNX model")

// maxGraphDepth bounds sub-graphs in sub-graphs (If, Loop, Scan).
const maxGraphDepth = 64

// Field numbers of onnx.proto3 (onnx 1.19, github.com/onnx/onnx:onnx/onnx.proto).
const (
	modelIRVersion = 1
	modelGraph     = 7
	modelOpset     = 8
	modelFunctions = 25

	graphNode        = 1
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12
	graphSparse      = 15

	nodeInput     = 1
	nodeOutput    = 2
	nodeOpType    = 4
	nodeAttribute = 5
	nodeDomain    = 7

	functionNode = 7

	attrName    = 1
	attrTensor  = 5
	attrGraph   = 6
	attrInts    = 8
	attrStrings = 9
	attrTensors = 10
	attrGraphs  = 11

	tensorName     = 8
	tensorExternal = 13
	tensorLocation = 14
	external       = 1 // TensorProto.DataLocation.EXTERNAL

	sparseValues  = 1
	sparseIndices = 2

	valueName = 1
	valueType = 2

	typeTensor   = 1
	typeSequence = 4
	typeMap      = 5
)

// node is a NodeProto as far as we look at it; at is its span in the graph.
type node struct {
	inputs, outputs []string
	op, domain      string
	attributes      [][]byte
	start, end      int
}

// value is a ValueInfoProto of the graph's inputs or outputs.
type value struct {
	name  string
	dtype tensor.DType // Invalid for anything but a tensor of a type that we hold
	shape []int64      // −1: free; nil: rank unknown or scalar (see ranked)
	rank  bool         // the model declares a shape
	maps  bool         // a sequence of maps: what ZipMap answers
	list  bool         // a sequence of tensors of type dtype
	other string       // why it cannot be served, if it cannot
	start int          // span in the graph
	end   int
}

// modelFile is what we know of an .onnx file before ONNX Runtime sees it.
type modelFile struct {
	raw        []byte
	graphStart int // content of the graph in raw
	graphEnd   int
	fieldStart int // its field, tag included
	inputs     []value
	outputs    []value
	nodes      []node
	locations  map[string]bool // files of external data
	inits      map[string]bool
}

// scan walks the fields of a message; f gets the number, type, the content of length-delimited fields or the value of varints, and the
// field's span.
func scan(b []byte, f func(num protowire.Number, content []byte, v uint64, start, end int) error) error {
	for at := 0; at < len(b); {
		num, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 {
			return protowire.ParseError(n)
		}
		start := at
		at += n
		var content []byte
		var v uint64
		switch typ {
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(b[at:])
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b[at:])
		case protowire.StartGroupType, protowire.EndGroupType:
			return errors.New("group in a message")
		default:
			n = protowire.ConsumeFieldValue(num, typ, b[at:])
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		at += n
		if err := f(num, content, v, start, at); err != nil {
			return err
		}
	}
	return nil
}

// parseModel reads the structure of a model: no weights are copied, raw is kept.
func parseModel(raw []byte) (*modelFile, error) {
	m := &modelFile{raw: raw, locations: map[string]bool{}, inits: map[string]bool{}}
	version := uint64(0)
	err := scan(raw, func(num protowire.Number, content []byte, v uint64, start, end int) error {
		switch num {
		case modelIRVersion:
			version = v
		case modelGraph:
			m.fieldStart, m.graphStart, m.graphEnd = start, end-len(content), end
			return m.parseGraph(content)
		case modelFunctions:
			return scan(content, func(num protowire.Number, c []byte, _ uint64, _, _ int) error {
				if num == functionNode {
					return m.walkNode(c, 0)
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotONNX, err)
	}
	if version == 0 || m.graphEnd == 0 {
		return nil, fmt.Errorf("%w: no graph", ErrNotONNX)
	}
	m.dropInitialized()
	if len(m.inputs) == 0 || len(m.outputs) == 0 {
		return nil, fmt.Errorf("%w: %d inputs and %d outputs", ErrNotONNX, len(m.inputs), len(m.outputs))
	}
	return m, nil
}

func (m *modelFile) parseGraph(b []byte) error {
	return scan(b, func(num protowire.Number, content []byte, _ uint64, start, end int) error {
		switch num {
		case graphNode:
			n, err := parseNode(content)
			if err != nil {
				return err
			}
			n.start, n.end = start, end
			m.nodes = append(m.nodes, n)
			return m.walkNode(content, 0)
		case graphInput, graphOutput:
			v, err := parseValue(content)
			if err != nil {
				return err
			}
			v.start, v.end = start, end
			if num == graphInput {
				m.inputs = append(m.inputs, v)
			} else {
				m.outputs = append(m.outputs, v)
			}
		case graphInitializer, graphSparse:
			return m.walkTensor(content, num == graphSparse)
		}
		return nil
	})
}

// dropInitialized removes inputs that have a default: old models list their weights as inputs.
func (m *modelFile) dropInitialized() {
	kept := m.inputs[:0]
	for _, v := range m.inputs {
		if !m.inits[v.name] {
			kept = append(kept, v)
		}
	}
	m.inputs = kept
}

func parseNode(b []byte) (node, error) {
	var n node
	err := scan(b, func(num protowire.Number, content []byte, _ uint64, _, _ int) error {
		switch num {
		case nodeInput:
			n.inputs = append(n.inputs, string(content))
		case nodeOutput:
			n.outputs = append(n.outputs, string(content))
		case nodeOpType:
			n.op = string(content)
		case nodeDomain:
			n.domain = string(content)
		case nodeAttribute:
			n.attributes = append(n.attributes, content)
		}
		return nil
	})
	return n, err
}

// walkNode looks for external data in a node's attributes and sub-graphs.
func (m *modelFile) walkNode(b []byte, level int) error {
	if level > maxGraphDepth {
		return errors.New("graphs nested too deep")
	}
	return scan(b, func(num protowire.Number, attr []byte, _ uint64, _, _ int) error {
		if num != nodeAttribute {
			return nil
		}
		return scan(attr, func(num protowire.Number, content []byte, _ uint64, _, _ int) error {
			switch num {
			case attrTensor, attrTensors:
				return m.walkTensor(content, false)
			case attrGraph, attrGraphs:
				return m.walkGraph(content, level+1)
			}
			return nil
		})
	})
}

func (m *modelFile) walkGraph(b []byte, level int) error {
	return scan(b, func(num protowire.Number, content []byte, _ uint64, _, _ int) error {
		switch num {
		case graphNode:
			return m.walkNode(content, level)
		case graphInitializer, graphSparse:
			return m.walkTensor(content, num == graphSparse)
		}
		return nil
	})
}

// walkTensor notes a tensor's name and the file of its external data.
func (m *modelFile) walkTensor(b []byte, sparse bool) error {
	if sparse {
		return scan(b, func(num protowire.Number, content []byte, _ uint64, _, _ int) error {
			if num == sparseValues || num == sparseIndices {
				return m.walkTensor(content, false)
			}
			return nil
		})
	}
	outside, location := false, ""
	err := scan(b, func(num protowire.Number, content []byte, v uint64, _, _ int) error {
		switch num {
		case tensorName:
			m.inits[string(content)] = true
		case tensorLocation:
			outside = v == external
		case tensorExternal:
			key, val, err := parsePair(content)
			if key == "location" {
				location, outside = val, true
			}
			return err
		}
		return nil
	})
	if outside {
		m.locations[location] = true
	}
	return err
}

// parsePair reads a StringStringEntryProto.
func parsePair(b []byte) (key, val string, err error) {
	err = scan(b, func(num protowire.Number, content []byte, _ uint64, _, _ int) error {
		switch num {
		case 1:
			key = string(content)
		case 2:
			val = string(content)
		}
		return nil
	})
	return key, val, err
}

func parseValue(b []byte) (value, error) {
	var v value
	err := scan(b, func(num protowire.Number, content []byte, _ uint64, _, _ int) error {
		switch num {
		case valueName:
			v.name = string(content)
		case valueType:
			return v.parseType(content)
		}
		return nil
	})
	return v, err
}

func (v *value) parseType(b []byte) error {
	return scan(b, func(num protowire.Number, content []byte, _ uint64, _, _ int) error {
		switch num {
		case typeTensor:
			return v.parseTensorType(content)
		case typeSequence:
			return v.parseSequence(content)
		case typeMap:
			v.other = "a map without a sequence"
		default:
			v.other = fmt.Sprintf("a value of kind %d", num)
		}
		return nil
	})
}

// parseSequence accepts a sequence of maps or of tensors, but not of 16-bit floats, of which the binding library copies half, nor of
// scalars, at which it fails.
func (v *value) parseSequence(b []byte) error {
	v.other = "a sequence"
	return scan(b, func(num protowire.Number, elem []byte, _ uint64, _, _ int) error {
		if num != 1 {
			return nil
		}
		return scan(elem, func(num protowire.Number, content []byte, _ uint64, _, _ int) error {
			switch num {
			case typeMap:
				v.maps, v.other = true, ""
			case typeTensor:
				var of value
				if err := of.parseTensorType(content); err != nil {
					return err
				}
				switch v.other = of.other; {
				case of.dtype == tensor.Float16 || of.dtype == tensor.BFloat16:
					v.other = "a sequence of 16-bit floats"
				case of.rank && len(of.shape) == 0:
					v.other = "a sequence of scalars"
				}
				v.list, v.dtype = true, of.dtype
			}
			return nil
		})
	})
}

func (v *value) parseTensorType(b []byte) error {
	return scan(b, func(num protowire.Number, content []byte, n uint64, _, _ int) error {
		switch num {
		case 1:
			if n < uint64(len(elementTypes)) {
				v.dtype = elementTypes[n]
			}
			if v.dtype == tensor.Invalid {
				v.other = fmt.Sprintf("a tensor of ONNX type %d", n)
			}
		case 2:
			v.rank = true
			return scan(content, func(num protowire.Number, dim []byte, _ uint64, _, _ int) error {
				if num != 1 {
					return nil
				}
				d, err := parseDim(dim)
				v.shape = append(v.shape, d)
				return err
			})
		}
		return nil
	})
}

// parseDim is a fixed dimension, or −1 for a named or missing one. A declared 0 means free too: exporters write it for "unknown".
func parseDim(b []byte) (int64, error) {
	d := int64(-1)
	err := scan(b, func(num protowire.Number, _ []byte, n uint64, _, _ int) error {
		if num == 1 && int64(n) > 0 {
			d = int64(n)
		}
		return nil
	})
	return d, err
}

// elementTypes maps TensorProto.DataType to ours.
var elementTypes = [...]tensor.DType{
	1: tensor.Float32, 2: tensor.Uint8, 3: tensor.Int8, 4: tensor.Uint16, 5: tensor.Int16, 6: tensor.Int32, 7: tensor.Int64,
	8: tensor.String, 9: tensor.Bool, 10: tensor.Float16, 11: tensor.Float64, 12: tensor.Uint32, 13: tensor.Uint64, 16: tensor.BFloat16,
}

// onnxType is the TensorProto.DataType of d; 0 if there is none.
func onnxType(d tensor.DType) uint64 {
	for n, e := range elementTypes {
		if e == d && d != tensor.Invalid {
			return uint64(n)
		}
	}
	return 0
}
