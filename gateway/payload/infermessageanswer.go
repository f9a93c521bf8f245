package payload

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/runtime/tensor"
)

// EncodeInferMessage appends the answer to req as gRPC carries it: a ModelInferResponse whose tensors are raw_output_contents. A map output
// is a matrix, as EncodeInfer's; its parameter "labels" is a JSON list, as text.
//
// Errors: as EncodeInfer's. On error dst is returned as it was given.
func EncodeInferMessage(dst []byte, out *tensor.Batch, req *InferRequest, model, version string) ([]byte, error) {
	start := len(dst)
	order, err := req.order(out)
	if err != nil {
		return dst, err
	}
	dst = appendField(dst, answerModel, model)
	dst = appendField(dst, answerVersion, version)
	if req.ID != "" {
		dst = appendField(dst, answerID, req.ID)
	}
	for _, o := range order {
		c := o.column
		if !tensor.Fits(c.Tensor.Len(), c.Tensor.Shape) {
			return dst[:start], fmt.Errorf("output %q has the shape %v but %d elements", c.Name, c.Tensor.Shape, c.Tensor.Len())
		}
		at := len(dst)
		dst = appendOutputTensor(dst, c)
		dst = asMessage(dst, at, answerOutputs)
	}
	for _, o := range order {
		t := &o.column.Tensor
		dst = protowire.AppendTag(dst, answerRaw, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(tensorBytes(t)))
		dst = appendTensorBytes(dst, t)
	}
	return dst, nil
}

func appendField(dst []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), text)
}

// asMessage makes what was appended since at a field of the number.
func asMessage(dst []byte, at int, number protowire.Number) []byte {
	size := len(dst) - at
	var room [20]byte // two varints at most
	head := protowire.AppendVarint(protowire.AppendTag(room[:0], number, protowire.BytesType), uint64(size))
	dst = append(dst, head...)
	copy(dst[at+len(head):], dst[at:at+size])
	copy(dst[at:], head)
	return dst
}

func appendOutputTensor(dst []byte, c *tensor.Column) []byte {
	dst = appendField(dst, tensorName, inferName(c))
	dst = appendField(dst, tensorDatatype, InferType(c.Tensor.Type))
	if len(c.Tensor.Shape) > 0 {
		at := len(dst)
		for _, n := range c.Tensor.Shape {
			dst = protowire.AppendVarint(dst, uint64(n))
		}
		dst = asMessage(dst, at, tensorShape)
	}
	if c.Keys == nil {
		return dst
	}
	entry := len(dst)
	dst = appendField(dst, entryKey, "labels")
	value := len(dst)
	labels := []byte{'['}
	for i, k := range c.Keys {
		if i > 0 {
			labels = append(labels, ',')
		}
		labels = appendString(labels, k)
	}
	dst = appendField(dst, choiceString, string(append(labels, ']')))
	dst = asMessage(dst, value, entryValue)
	return asMessage(dst, entry, tensorParameters)
}
