package payload

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

// EncodeInfer appends the answer to req: JSON, and behind it the bytes of the outputs that were asked for as bytes. jsonLength is the length
// of the JSON; −1 if nothing follows it. A map output (of a classifier) is a matrix whose columns its parameter "labels" names; an output
// without a name is "output-0". NaN and infinities are null in JSON, as everywhere.
//
// Errors: *mlflow.Error with INVALID_PARAMETER_VALUE for an output that the model does not have; others are the model's failure.
// On error dst is returned as it was given.
func EncodeInfer(dst []byte, out *tensor.Batch, req *InferRequest, model, version string) (answer []byte, jsonLength int, err error) {
	start := len(dst)
	order, err := req.order(out)
	if err != nil {
		return dst, -1, err
	}
	dst = appendString(append(dst, `{"model_name":`...), model)
	dst = appendString(append(dst, `,"model_version":`...), version)
	if req.ID != "" {
		dst = appendString(append(dst, `,"id":`...), req.ID)
	}
	dst = append(dst, `,"outputs":[`...)
	jsonLength = -1
	for i, o := range order {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendInferOutput(dst, o); err != nil {
			return dst[:start], -1, err
		}
	}
	dst = append(dst, "]}"...)
	for _, o := range order {
		if !o.binary {
			continue
		}
		if jsonLength < 0 {
			jsonLength = len(dst) - start
		}
		dst = appendTensorBytes(dst, &o.column.Tensor)
	}
	return dst, jsonLength, nil
}

// chosenOutput is an output of the answer.
type chosenOutput struct {
	column *tensor.Column
	binary bool
}

// order finds the outputs that were asked for.
func (req *InferRequest) order(out *tensor.Batch) ([]chosenOutput, error) {
	chosen := make([]chosenOutput, 0, max(len(out.Columns), len(req.outputs)))
	for i := range out.Columns {
		if c := &out.Columns[i]; req.all {
			chosen = append(chosen, chosenOutput{c, req.binary})
		}
	}
	for _, o := range req.outputs {
		found := false
		for i := range out.Columns {
			if c := &out.Columns[i]; inferName(c) == o.name {
				chosen, found = append(chosen, chosenOutput{c, o.binary}), true
			}
		}
		if !found {
			return nil, mlflow.Errorf(mlflow.InvalidParameterValue, "the model has no output %s", quoteName(o.name))
		}
	}
	return chosen, nil
}

func inferName(c *tensor.Column) string {
	if c.Name == "" {
		return "output-0"
	}
	return c.Name
}

func appendInferOutput(dst []byte, o chosenOutput) ([]byte, error) {
	c, t := o.column, &o.column.Tensor
	if !tensor.Fits(t.Len(), t.Shape) {
		return dst, fmt.Errorf("output %q has the shape %v but %d elements", c.Name, t.Shape, t.Len())
	}
	dst = appendString(append(dst, `{"name":`...), inferName(c))
	dst = appendString(append(dst, `,"datatype":`...), InferType(t.Type))
	dst = append(dst, `,"shape":[`...)
	for i, n := range t.Shape {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, n, 10)
	}
	dst = appendInferParameters(append(dst, ']'), o)
	if o.binary {
		return append(dst, '}'), nil
	}
	dst = append(dst, `,"data":[`...)
	for i := range t.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendElement(dst, t, i, true)
	}
	return append(dst, "]}"...), nil
}

func appendInferParameters(dst []byte, o chosenOutput) []byte {
	keys := o.column.Keys
	if !o.binary && keys == nil {
		return dst
	}
	dst = append(dst, `,"parameters":{`...)
	if o.binary {
		dst = strconv.AppendInt(append(dst, `"binary_data_size":`...), int64(tensorBytes(&o.column.Tensor)), 10)
	}
	if keys != nil {
		if o.binary {
			dst = append(dst, ',')
		}
		dst = append(dst, `"labels":[`...)
		for i, k := range keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, k)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// tensorBytes is how many bytes appendTensorBytes appends.
func tensorBytes(t *tensor.Tensor) int {
	if t.Type != tensor.Datetime && !t.Type.Text() {
		return len(t.Raw())
	}
	n := 4 * t.Len()
	for i := range t.Len() {
		n += len(inferText(t, i))
	}
	return n
}

// appendTensorBytes appends a tensor as the protocol's bytes: little endian, row-major; text as a length in 4 bytes and the bytes.
func appendTensorBytes(dst []byte, t *tensor.Tensor) []byte {
	if t.Type != tensor.Datetime && !t.Type.Text() {
		return append(dst, t.Raw()...)
	}
	for i := range t.Len() {
		s := inferText(t, i)
		dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(s))), s...)
	}
	return dst
}

// inferText is element i of a tensor that travels as BYTES; a time that is none is "null".
func inferText(t *tensor.Tensor, i int) string {
	if t.Type.Text() {
		return t.Strings()[i]
	}
	return strings.Trim(string(appendDatetime(nil, tensor.Of[int64](t)[i], true)), `"`)
}
