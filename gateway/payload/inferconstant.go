package payload

import (
	"encoding/json"
	"errors"

	"sluice/runtime/tensor"
	"sluice/tracking/mlflow"
)

// InferConstant reads the answer of the Open Inference Protocol that a configuration has for everybody: {"outputs": [{"name", "datatype", "shape",
// "data"}, …]}. The batch is read only.
//
// Errors are *mlflow.Error with INVALID_PARAMETER_VALUE that name the output.
func InferConstant(answer []byte) (*tensor.Batch, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(answer, &fields); err != nil {
		return nil, mlflow.Invalidf("is not a JSON object")
	}
	outputs, ok := fields["outputs"]
	if !ok || len(fields) != 1 {
		return nil, mlflow.Invalidf("holds outputs, a list of tensors with name, datatype, shape and data, and nothing else")
	}
	var list []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(outputs, &list); err != nil || len(list) == 0 {
		return nil, mlflow.Invalidf("outputs is not a list of tensors")
	}
	seen := map[string]bool{}
	for i, o := range list {
		if o.Name == "" || seen[o.Name] {
			return nil, mlflow.Invalidf("outputs[%d].name is empty or stands twice", i)
		}
		seen[o.Name] = true
	}
	request, err := json.Marshal(map[string]json.RawMessage{"inputs": outputs})
	if err != nil {
		return nil, mlflow.Invalidf("outputs is not JSON")
	}
	var in Input
	var none InferRequest
	if err := Compile(nil, &Options{}).DecodeInfer(len(request), request, &in, &none); err != nil {
		var known *mlflow.Error
		if errors.As(err, &known) {
			return nil, mlflow.Invalidf("outputs: %s", known.Message)
		}
		return nil, err
	}
	return &in.Batch, nil
}

// OrAll makes a request that was not read, because its arm failed before, one for all outputs.
func (req *InferRequest) OrAll() *InferRequest {
	if len(req.outputs) == 0 {
		req.all = true
	}
	return req
}
