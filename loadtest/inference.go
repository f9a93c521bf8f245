package loadtest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
)

// headerInferLength says how long the JSON before the tensors' bytes is.
// Source: Open Inference Protocol, binary tensor data extension.
const headerInferLength = "Inference-Header-Content-Length"

// errNoMetadata: a server does not say what its model takes, as MLServer does not for most models.
var errNoMetadata = errors.New("has no inputs in its metadata: give a body")

// input is one tensor of a model's metadata.
type input struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// FromInferenceProtocol asks a server of the Open Inference Protocol (KServe, Triton, MLServer) for a model's metadata and makes payloads for
// POST <base>/v2/models/<model>/infer, JSON or binary; free dimensions but the first are 1. version may be empty.
// Source: Open Inference Protocol, REST, "Model Metadata" and "Inference".
func (s Source) FromInferenceProtocol(ctx context.Context, base, model, version string, m Make) ([]Payload, error) {
	at := base + "/v2/models/" + url.PathEscape(model)
	if version != "" {
		at += "/versions/" + url.PathEscape(version)
	}
	body, err := s.fetch(ctx, at)
	if err != nil {
		return nil, err
	}
	var metadata struct {
		Inputs []input `json:"inputs"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil || len(metadata.Inputs) == 0 {
		return nil, fmt.Errorf("loadtest: model %s %w", model, errNoMetadata)
	}
	random := rand.New(rand.NewPCG(m.Seed, 2))
	out := make([]Payload, max(m.Requests, 1))
	for i := range out {
		if out[i], err = inferPayload(metadata.Inputs, max(m.Rows, 1), m.Binary, random); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func inferPayload(inputs []input, rows int, asBytes bool, random *rand.Rand) (Payload, error) {
	tensors, tail := make([]map[string]any, len(inputs)), []byte(nil)
	for i, in := range inputs {
		shape, data, err := in.values(rows, random)
		if err != nil {
			return Payload{}, err
		}
		tensors[i] = map[string]any{"name": in.Name, "shape": shape, "datatype": in.Datatype}
		if !asBytes {
			tensors[i]["data"] = data
			continue
		}
		before := len(tail)
		if tail, err = appendBytes(tail, in.Datatype, data); err != nil {
			return Payload{}, fmt.Errorf("loadtest: input %s: %w", in.Name, err)
		}
		tensors[i]["parameters"] = map[string]any{"binary_data_size": len(tail) - before}
	}
	request := map[string]any{"inputs": tensors}
	if asBytes {
		request["parameters"] = map[string]any{"binary_data_output": true}
	}
	head, err := json.Marshal(request)
	if err != nil || !asBytes {
		return Payload{Body: head, ContentType: jsonType}, err
	}
	return Payload{
		Body: append(head, tail...), ContentType: binaryType, Header: map[string]string{headerInferLength: strconv.Itoa(len(head))},
	}, nil
}

// values fills the free dimensions and draws the elements, row-major.
func (in *input) values(rows int, random *rand.Rand) (shape []int, data []any, err error) {
	if shape, err = shapeOf(in.Shape, rows); err != nil {
		return nil, nil, fmt.Errorf("loadtest: input %s: %w", in.Name, err)
	}
	kind, ok := protocolTypes[in.Datatype]
	if !ok {
		return nil, nil, fmt.Errorf("loadtest: input %s has data type %s, which cannot be generated", in.Name, in.Datatype)
	}
	data = make([]any, product(shape))
	for k := range data {
		if data[k], err = scalarOf(kind, random); err != nil {
			return nil, nil, err
		}
	}
	return shape, data, nil
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// appendBytes appends values as the protocol's binary tensors have them: little-endian, text with its length before it.
func appendBytes(to []byte, datatype string, values []any) ([]byte, error) {
	for _, value := range values {
		switch v := value.(type) {
		case bool:
			to = append(to, map[bool]byte{true: 1}[v])
		case string:
			to = append(binary.LittleEndian.AppendUint32(to, uint32(len(v))), v...)
		case int:
			bits, err := strconv.Atoi(strings.TrimLeft(datatype, "UINT"))
			if err != nil {
				return nil, fmt.Errorf("data type %s cannot be sent as bytes", datatype)
			}
			to = append(to, binary.LittleEndian.AppendUint64(nil, uint64(v))[:bits/8]...)
		case float64:
			switch datatype {
			case "FP32":
				to = binary.LittleEndian.AppendUint32(to, math.Float32bits(float32(v)))
			case "FP64":
				to = binary.LittleEndian.AppendUint64(to, math.Float64bits(v))
			default:
				return nil, fmt.Errorf("data type %s cannot be sent as bytes", datatype)
			}
		}
	}
	return to, nil
}

// protocolTypes maps the protocol's data types to those of signatures.
var protocolTypes = map[string]string{
	"BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64", "INT8": "int8", "INT16": "int16",
	"INT32": "int32", "INT64": "int64", "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "string",
}

// Base returns scheme and host of a URL.
func Base(of string) (string, error) {
	u, err := url.Parse(of)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("loadtest: %q is not a URL", of)
	}
	return u.Scheme + "://" + u.Host, nil
}

// InferenceModel returns the model, and the version if there is one, that a URL of the Open Inference Protocol names, "" for any other URL.
func InferenceModel(of string) (model, version string) {
	u, err := url.Parse(of)
	if err != nil {
		return "", ""
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	for i := range parts {
		if !strings.HasPrefix(strings.Join(parts[i:], "/"), "v2/models/") || parts[len(parts)-1] != "infer" {
			continue
		}
		switch rest := parts[i+2 : len(parts)-1]; {
		case len(rest) == 1:
			return rest[0], ""
		case len(rest) == 3 && rest[1] == "versions":
			return rest[0], rest[2]
		}
	}
	return "", ""
}
