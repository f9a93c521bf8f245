package loadtest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"

	"google.golang.org/protobuf/encoding/protowire"
)

// Output is one tensor of an answer of the Open Inference Protocol.
type Output struct {
	Name, Datatype string
	Shape          []int
	// Values are the elements, row-major: float64, bool, string, or nil for null. What no JSON number is (NaN, infinities) is a string.
	Values []any
}

var errOutputs = errors.New("the answer is not one of the Open Inference Protocol")

// Outputs reads an answer of the Open Inference Protocol: JSON, JSON and tensors' bytes, or a ModelInferResponse, by its content type.
// Source: Open Inference Protocol, REST "Inference Response", binary tensor data extension, gRPC "ModelInferResponse".
func Outputs(contentType string, body []byte) ([]Output, error) {
	media, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return nil, errOutputs
	case media == MessageType:
		return messageOutputs(body)
	case media != jsonType && media != binaryType:
		return nil, errOutputs
	}
	var answer struct {
		Outputs []struct {
			Name       string          `json:"name"`
			Datatype   string          `json:"datatype"`
			Shape      []int           `json:"shape"`
			Data       json.RawMessage `json:"data"`
			Parameters struct {
				Size *int `json:"binary_data_size"`
			} `json:"parameters"`
		} `json:"outputs"`
	}
	head := jsonHead(body)
	if json.Unmarshal(head, &answer) != nil || answer.Outputs == nil {
		return nil, errOutputs
	}
	rest := body[len(head):]
	out := make([]Output, len(answer.Outputs))
	for i, o := range answer.Outputs {
		out[i] = Output{Name: o.Name, Datatype: o.Datatype, Shape: o.Shape}
		switch size := o.Parameters.Size; {
		case size == nil:
			var data any
			if json.Unmarshal(o.Data, &data) != nil {
				return nil, errOutputs
			}
			out[i].Values = flat(nil, data)
		case *size < 0 || *size > len(rest):
			return nil, fmt.Errorf("%w: output %s is not whole", errOutputs, o.Name)
		default:
			if out[i].Values, err = elements(o.Datatype, rest[:*size]); err != nil {
				return nil, err
			}
			rest = rest[*size:]
		}
	}
	if len(rest) > 0 && len(head) < len(body) {
		return nil, fmt.Errorf("%w: %d bytes are left", errOutputs, len(rest))
	}
	return out, nil
}

// flat appends the values of a nested list.
func flat(to []any, data any) []any {
	list, ok := data.([]any)
	if !ok {
		return append(to, data)
	}
	for _, v := range list {
		to = flat(to, v)
	}
	return to
}

// elements reads a tensor's bytes: little endian, text with its length before it.
func elements(datatype string, raw []byte) ([]any, error) {
	if datatype == "BYTES" {
		return texts(raw)
	}
	size, ok := map[string]int{
		"BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8, "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8,
	}[datatype]
	if !ok || len(raw)%size != 0 {
		return nil, fmt.Errorf("%w: %d bytes of %s", errOutputs, len(raw), datatype)
	}
	out := make([]any, 0, len(raw)/size)
	for at := 0; at < len(raw); at += size {
		var word [8]byte
		copy(word[:], raw[at:at+size])
		out = append(out, element(datatype, binary.LittleEndian.Uint64(word[:])))
	}
	return out, nil
}

// element is the value of a word.
func element(datatype string, word uint64) any {
	switch datatype {
	case "BOOL":
		return word != 0
	case "INT8":
		return float64(int8(word))
	case "INT16":
		return float64(int16(word))
	case "INT32":
		return float64(int32(word))
	case "INT64":
		return float64(int64(word))
	case "FP16":
		return number(half(uint16(word)))
	case "BF16":
		return number(float64(math.Float32frombits(uint32(word) << 16)))
	case "FP32":
		return number(float64(math.Float32frombits(uint32(word))))
	case "FP64":
		return number(math.Float64frombits(word))
	}
	return float64(word)
}

// half is an IEEE 754 binary16.
func half(bits uint16) float64 {
	sign, exponent, fraction := 1-2*float64(bits>>15), int(bits>>10&31), float64(bits&1023)
	switch {
	case exponent == 0:
		return sign * math.Ldexp(fraction, -24)
	case exponent < 31:
		return sign * math.Ldexp(1024+fraction, exponent-25)
	case fraction == 0:
		return math.Inf(int(sign))
	}
	return math.NaN()
}

func number(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Sprint(x)
	}
	return x
}

func texts(raw []byte) (out []any, err error) {
	for len(raw) > 0 {
		if len(raw) < 4 || uint64(binary.LittleEndian.Uint32(raw)) > uint64(len(raw)-4) {
			return nil, fmt.Errorf("%w: a text is not whole", errOutputs)
		}
		end := 4 + int(binary.LittleEndian.Uint32(raw))
		out, raw = append(out, string(raw[4:end])), raw[end:]
	}
	return out, nil
}

// messageOutputs reads a ModelInferResponse with raw contents, as ours are.
func messageOutputs(message []byte) ([]Output, error) {
	var out []Output
	var raws [][]byte
	err := eachField(message, func(number protowire.Number, _ uint64, value []byte) error {
		switch number {
		case 5:
			in, err := headOf(value)
			out = append(out, Output{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape})
			return err
		case 6:
			raws = append(raws, value)
		}
		return nil
	})
	if err != nil || len(out) == 0 || len(raws) != len(out) {
		return nil, errOutputs
	}
	for i := range out {
		if out[i].Values, err = elements(out[i].Datatype, raws[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
