package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
)

// FromInferenceProtocol asks a server of the Open Inference Protocol (KServe, Triton, MLServer) for a model's metadata and makes n JSON bodies
// for POST <base>/v2/models/<model>/infer, of one row each; free dimensions are 1.
// Source: Open Inference Protocol, REST, "Model Metadata" and "Inference".
func FromInferenceProtocol(ctx context.Context, base, model string, n int, seed uint64) ([][]byte, error) {
	body, err := fetch(ctx, base+"/v2/models/"+url.PathEscape(model))
	if err != nil {
		return nil, err
	}
	var metadata struct {
		Inputs []struct {
			Name     string `json:"name"`
			Datatype string `json:"datatype"`
			Shape    []int  `json:"shape"`
		} `json:"inputs"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil || len(metadata.Inputs) == 0 {
		return nil, fmt.Errorf("loadtest: model %s has no inputs in its metadata", model)
	}
	random := rand.New(rand.NewPCG(seed, 2))
	out := make([][]byte, n)
	for i := range out {
		inputs := make([]map[string]any, len(metadata.Inputs))
		for j, in := range metadata.Inputs {
			shape, elements := make([]int, len(in.Shape)), 1
			for k, d := range in.Shape {
				shape[k] = max(d, 1)
				if elements *= shape[k]; elements > 1<<20 {
					return nil, fmt.Errorf("loadtest: input %s is too large to generate", in.Name)
				}
			}
			kind, ok := protocolTypes[in.Datatype]
			if !ok {
				return nil, fmt.Errorf("loadtest: input %s has data type %s, which cannot be generated", in.Name, in.Datatype)
			}
			data := make([]any, elements)
			for k := range data {
				if data[k], err = scalarOf(kind, random); err != nil {
					return nil, err
				}
			}
			inputs[j] = map[string]any{"name": in.Name, "shape": shape, "datatype": in.Datatype, "data": data}
		}
		if out[i], err = json.Marshal(map[string]any{"inputs": inputs}); err != nil {
			return nil, err
		}
	}
	return out, nil
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

// InferenceModel returns the model that a URL of the Open Inference Protocol names, "" for any other URL.
func InferenceModel(of string) string {
	u, err := url.Parse(of)
	if err != nil {
		return ""
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) >= 4 && parts[0] == "v2" && parts[1] == "models" && parts[len(parts)-1] == "infer" {
		return parts[2]
	}
	return ""
}
