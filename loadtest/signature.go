package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// FromEndpoint asks a server with MLflow's registry what an endpoint's model takes and makes payloads from that: the model's own serving
// example if it has one and m.Rows is 0, else rows drawn from the columns or tensors of its signature. base is scheme://host:port.
func (s Source) FromEndpoint(ctx context.Context, base, endpoint string, m Make) ([]Payload, error) {
	name, version, err := s.servedVersion(ctx, base, endpoint)
	if err != nil {
		return nil, err
	}
	file := func(path string) ([]byte, error) {
		return s.fetch(ctx, base+"/model-versions/get-artifact?"+url.Values{"name": {name}, "version": {version}, "path": {path}}.Encode())
	}
	if m.Rows == 0 {
		if example, err := file("serving_input_example.json"); err == nil && json.Valid(example) {
			return []Payload{{Body: example, ContentType: jsonType}}, nil
		}
	}
	model, err := file("MLmodel")
	if err != nil {
		return nil, err
	}
	out, err := FromMLmodel(model, m)
	if err != nil {
		return nil, fmt.Errorf("%s version %s: %w", name, version, err)
	}
	return out, nil
}

// FromMLmodel makes payloads from the signature in an MLmodel file.
func FromMLmodel(file []byte, m Make) ([]Payload, error) {
	var parsed struct {
		Signature struct {
			Inputs string `yaml:"inputs"`
		} `yaml:"signature"`
	}
	if err := yaml.Unmarshal(file, &parsed); err != nil {
		return nil, fmt.Errorf("loadtest: MLmodel: %w", err)
	}
	return Generate([]byte(parsed.Signature.Inputs), m)
}

// servedVersion asks the endpoint API for the first entity that gets traffic.
func (s Source) servedVersion(ctx context.Context, base, endpoint string) (name, version string, err error) {
	body, err := s.fetch(ctx, base+"/api/2.0/serving-endpoints/"+url.PathEscape(endpoint))
	if err != nil {
		return "", "", err
	}
	var answer struct {
		Config struct {
			Entities []struct {
				Name    string `json:"entity_name"`
				Version string `json:"entity_version"`
			} `json:"served_entities"`
		} `json:"config"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", "", fmt.Errorf("loadtest: endpoint %s: %w", endpoint, err)
	}
	for _, e := range answer.Config.Entities {
		if e.Name != "" && e.Version != "" {
			return e.Name, e.Version, nil
		}
	}
	return "", "", fmt.Errorf("loadtest: endpoint %s serves no version", endpoint)
}

// field is one column or tensor of a signature's JSON (source: mlflow/types/schema.py).
type field struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Tensor *struct {
		DType string `json:"dtype"`
		Shape []int  `json:"shape"`
	} `json:"tensor-spec"`
}

// Generate makes payloads from the JSON of a signature's inputs. Numbers are standard normal or small integers, strings short; the first free
// dimension of a tensor is m.Rows, another 1. Nested columns are refused.
func Generate(inputs []byte, m Make) ([]Payload, error) {
	var fields []field
	if err := json.Unmarshal(inputs, &fields); err != nil || len(fields) == 0 {
		return nil, errors.New("loadtest: the model has no signature to make payloads from: give a body")
	}
	if m.Binary {
		return nil, errors.New("loadtest: MLflow's scoring protocol has no binary tensors: use …/v2/models/NAME/infer")
	}
	m.Rows = max(m.Rows, 1)
	random := rand.New(rand.NewPCG(m.Seed, 1))
	out := make([]Payload, max(m.Requests, 1))
	for i := range out {
		body, err := generateOne(fields, m.Rows, random)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		out[i] = Payload{Body: text, ContentType: jsonType}
	}
	return out, nil
}

func generateOne(fields []field, rows int, random *rand.Rand) (map[string]any, error) {
	if fields[0].Tensor != nil {
		return generateTensors(fields, rows, random)
	}
	columns, data := make([]string, len(fields)), make([][]any, rows)
	for i, f := range fields {
		if columns[i] = f.Name; f.Name == "" {
			columns[i] = strconv.Itoa(i)
		}
	}
	for r := range data {
		data[r] = make([]any, len(fields))
		for i, f := range fields {
			var err error
			if data[r][i], err = scalarOf(f.Type, random); err != nil {
				return nil, fmt.Errorf("loadtest: column %q: %w", f.Name, err)
			}
		}
	}
	return map[string]any{"dataframe_split": map[string]any{"columns": columns, "data": data}}, nil
}

func generateTensors(fields []field, rows int, random *rand.Rand) (map[string]any, error) {
	named := map[string]any{}
	for _, f := range fields {
		if f.Tensor == nil {
			return nil, fmt.Errorf("loadtest: the signature mixes tensors and the column %q", f.Name)
		}
		shape, err := shapeOf(f.Tensor.Shape, rows)
		if err != nil {
			return nil, fmt.Errorf("loadtest: input %q: %w", f.Name, err)
		}
		v, err := tensorOf(f.Tensor.DType, shape, random)
		if err != nil {
			return nil, err
		}
		if f.Name == "" {
			return map[string]any{"inputs": v}, nil
		}
		named[f.Name] = v
	}
	return map[string]any{"inputs": named}, nil
}

// maxElements bounds a tensor that is made.
const maxElements = 1 << 24

// shapeOf fills the free dimensions: the first with rows if it leads, others with 1.
func shapeOf(shape []int, rows int) ([]int, error) {
	out, elements := make([]int, len(shape)), 1
	for i, d := range shape {
		switch {
		case d >= 0:
			out[i] = d
		case i == 0:
			out[i] = rows
		default:
			out[i] = 1
		}
		if out[i] > maxElements || elements*out[i] > maxElements {
			return nil, fmt.Errorf("the shape %v is too large to generate", shape)
		}
		elements *= out[i]
	}
	return out, nil
}

func tensorOf(dtype string, shape []int, random *rand.Rand) (any, error) {
	if len(shape) == 0 {
		return scalarOf(dtype, random)
	}
	list := make([]any, shape[0])
	for i := range list {
		var err error
		if list[i], err = tensorOf(dtype, shape[1:], random); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func scalarOf(kind string, random *rand.Rand) (any, error) {
	switch {
	case kind == "boolean" || kind == "bool":
		return random.IntN(2) == 1, nil
	case kind == "double" || strings.HasPrefix(kind, "float"):
		return random.NormFloat64(), nil
	case kind == "integer" || kind == "long" || strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "uint"):
		return random.IntN(100), nil
	case kind == "string" || kind == "str" || kind == "object":
		return "text " + strconv.Itoa(random.IntN(1000)), nil
	case kind == "datetime":
		return time.Unix(int64(random.IntN(1e9)), 0).UTC().Format("2006-01-02T15:04:05"), nil
	case kind == "binary":
		return "c2x1aWNl", nil
	}
	return nil, fmt.Errorf("values of type %q cannot be generated", kind)
}
