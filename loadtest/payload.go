package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/parquet-go/parquet-go"
)

// maxPayload bounds anything that is fetched or read to make a payload from, bytes.
const maxPayload = 64 << 20

// FromSignature asks an MLflow-speaking server what an endpoint's model takes and makes n request bodies from it: the model's own serving
// example if it has one, else rows drawn from the columns or tensors of its signature. base is http://host:port.
func FromSignature(ctx context.Context, base, endpoint string, n int, seed uint64) ([][]byte, error) {
	name, version, err := servedVersion(ctx, base, endpoint)
	if err != nil {
		return nil, err
	}
	file := func(path string) ([]byte, error) {
		return fetch(ctx, base+"/model-versions/get-artifact?"+url.Values{"name": {name}, "version": {version}, "path": {path}}.Encode())
	}
	if example, err := file("serving_input_example.json"); err == nil && json.Valid(example) {
		return [][]byte{example}, nil
	}
	model, err := file("MLmodel")
	if err != nil {
		return nil, err
	}
	var parsed struct {
		Signature struct {
			Inputs string `yaml:"inputs"`
		} `yaml:"signature"`
	}
	if err := yaml.Unmarshal(model, &parsed); err != nil {
		return nil, fmt.Errorf("loadtest: MLmodel of %s version %s: %w", name, version, err)
	}
	return Generate([]byte(parsed.Signature.Inputs), n, seed)
}

// servedVersion asks the endpoint API for the first entity that gets traffic.
func servedVersion(ctx context.Context, base, endpoint string) (name, version string, err error) {
	body, err := fetch(ctx, base+"/api/2.0/serving-endpoints/"+url.PathEscape(endpoint))
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

func fetch(ctx context.Context, from string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPayload))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("loadtest: GET %s: status %d: %.200s", from, res.StatusCode, body)
	}
	return body, nil
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

// Generate makes n bodies of one row each from the JSON of a signature's inputs. Numbers are standard normal or small integers, strings short;
// a free dimension of a tensor is 1. Nested columns are refused.
func Generate(inputs []byte, n int, seed uint64) ([][]byte, error) {
	var fields []field
	if err := json.Unmarshal(inputs, &fields); err != nil || len(fields) == 0 {
		return nil, errors.New("loadtest: the model has no signature to make payloads from: give a body")
	}
	random := rand.New(rand.NewPCG(seed, 1))
	out := make([][]byte, n)
	for i := range out {
		body, err := generateOne(fields, random)
		if err != nil {
			return nil, err
		}
		if out[i], err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func generateOne(fields []field, random *rand.Rand) (map[string]any, error) {
	if fields[0].Tensor != nil {
		named := map[string]any{}
		for _, f := range fields {
			v, err := tensorOf(f.Tensor.DType, f.Tensor.Shape, random)
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
	columns, row := make([]string, len(fields)), make([]any, len(fields))
	for i, f := range fields {
		v, err := scalarOf(f.Type, random)
		if err != nil {
			return nil, fmt.Errorf("loadtest: column %q: %w", f.Name, err)
		}
		columns[i], row[i] = f.Name, v
		if f.Name == "" {
			columns[i] = strconv.Itoa(i)
		}
	}
	return map[string]any{"dataframe_split": map[string]any{"columns": columns, "data": []any{row}}}, nil
}

func tensorOf(dtype string, shape []int, random *rand.Rand) (any, error) {
	if len(shape) == 0 {
		return scalarOf(dtype, random)
	}
	size := max(shape[0], 1)
	if size > 1<<20 {
		return nil, fmt.Errorf("loadtest: a dimension of %d is too large to generate", size)
	}
	list := make([]any, size)
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

// FromLog reads request bodies and their content types from a Parquet segment of the prediction log (its columns request and content_type),
// at most n of them; empty and cut bodies are left out.
func FromLog(path string, n int) (bodies [][]byte, contentTypes []string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	type row struct {
		Request     *string `parquet:"request,optional"`
		ContentType string  `parquet:"content_type"`
		Truncated   bool    `parquet:"truncated"`
	}
	reader := parquet.NewGenericReader[row](file)
	defer reader.Close()
	rows := make([]row, 256)
	for len(bodies) < n {
		read, err := reader.Read(rows)
		for _, r := range rows[:read] {
			if r.Request == nil || *r.Request == "" || r.Truncated || len(bodies) == n {
				continue
			}
			bodies, contentTypes = append(bodies, []byte(*r.Request)), append(contentTypes, r.ContentType)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("loadtest: %s: %w", path, err)
		}
	}
	if len(bodies) == 0 {
		return nil, nil, fmt.Errorf("loadtest: %s holds no whole request", path)
	}
	return bodies, contentTypes, nil
}
