package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"sluice/loadtest"
)

// modelsScript makes the models with scikit-learn and skl2onnx.
//
//go:embed python/models.py
var modelsScript []byte

// wide is how many rows a model's file of input has, and how many a wide request sends.
const wide = 128

// model is one of the table's models: small (4 features, logistic), trees (a forest of 200 trees, depth 10, 30 features), mlp (784-512-512-10); or large, which only
// part swap has (784-1400-1000-10, 10 MB).
type model struct {
	name    string
	dir     string          // what python/models.py wrote
	folder  string          // of the MLflow package that sluice serves, in dir
	columns []string        // of the signature; nil: it is one tensor
	rows    [][]json.Number // [wide][features], as they travel in JSON
	floats  []float32       // the same, row-major
}

// models makes the models, or finds those of an earlier run of the same script in the user's cache.
func (b *bench) models(ctx context.Context) (map[string]*model, error) {
	if b.made != nil {
		return b.made, nil
	}
	dir, err := b.modelFiles(ctx)
	if err != nil {
		return nil, err
	}
	made := map[string]*model{}
	for _, m := range []*model{
		{name: "small", columns: []string{"sepal_length", "sepal_width", "petal_length", "petal_width"}}, {name: "trees"}, {name: "mlp"},
	} {
		if err := m.at(dir); err != nil {
			return nil, err
		}
		made[m.name] = m
	}
	b.made = made
	return made, nil
}

// largeModel makes the model of 10 MB, which only one part serves.
func (b *bench) largeModel(ctx context.Context) (*model, error) {
	dir, err := b.modelFiles(ctx)
	if err != nil {
		return nil, err
	}
	m := &model{name: "large"}
	return m, m.at(dir)
}

// at finds the model's files in the folder that modelFiles returns.
func (m *model) at(dir string) error {
	m.dir, m.folder = filepath.Join(dir, m.name), "onnx"
	return m.readRows()
}

func (b *bench) modelFiles(ctx context.Context) (string, error) {
	cache, err := cacheDir("models")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, fmt.Sprintf("%x", sha256.Sum256(modelsScript))[:16])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	fresh, err := os.MkdirTemp(cache, "new-*")
	if err != nil {
		return "", err
	}
	script := filepath.Join(b.dir, "models.py")
	if err := os.WriteFile(script, modelsScript, 0o644); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, b.python, script, fresh).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", script, err, out)
	}
	return dir, os.Rename(fresh, dir)
}

// cacheDir is a folder of the user's cache that outlives the run.
func cacheDir(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "sluice", "bench", name)
	return dir, os.MkdirAll(dir, 0o755)
}

func (m *model) readRows() error {
	text, err := os.ReadFile(filepath.Join(m.dir, "rows.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &m.rows); err != nil {
		return err
	}
	if len(m.rows) != wide {
		return fmt.Errorf("%s has %d rows of input, want %d", m.name, len(m.rows), wide)
	}
	for _, row := range m.rows {
		for _, n := range row {
			f, err := strconv.ParseFloat(n.String(), 32)
			if err != nil {
				return err
			}
			m.floats = append(m.floats, float32(f))
		}
	}
	return nil
}

func (m *model) width() int { return len(m.rows[0]) }

// protocol is how a server is asked.
type protocol int

const (
	mlflowJSON  protocol = iota // MLflow's scoring protocol: dataframe_split where the signature has columns, else inputs
	inferJSON                   // Open Inference Protocol, JSON tensors
	inferBinary                 // Open Inference Protocol, binary tensors both ways
	inferFrame                  // Open Inference Protocol, a JSON tensor for each column, said to be a data frame as MLServer wants it
)

// requests are what one URL is sent in turn: rows at a time, all of the model's rows once.
func (m *model) requests(url string, p protocol, rows int) []loadtest.Request {
	var out []loadtest.Request
	for at := 0; at+rows <= wide; at += rows {
		r := loadtest.Request{URL: url, Header: map[string]string{"Content-Type": "application/json"}}
		switch p {
		case mlflowJSON:
			r.Body = m.mlflowBody(at, rows)
		case inferJSON:
			r.Body = m.inferBody(at, rows)
		case inferFrame:
			r.Body = m.frameInferBody(at, rows)
		case inferBinary:
			var head int
			r.Body, head = m.binaryBody(at, rows)
			r.Header = map[string]string{"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": strconv.Itoa(head)}
		}
		out = append(out, r)
	}
	return out
}

func (m *model) mlflowBody(at, rows int) []byte {
	var body any = map[string]any{"inputs": m.rows[at : at+rows]}
	if m.columns != nil {
		body = map[string]any{"dataframe_split": map[string]any{"columns": m.columns, "data": m.rows[at : at+rows]}}
	}
	return encoded(body)
}

// inferBody has one flat tensor, as Triton's and MLServer's clients write it.
func (m *model) inferBody(at, rows int) []byte {
	var flat []string
	for _, row := range m.rows[at : at+rows] {
		for _, n := range row {
			flat = append(flat, n.String())
		}
	}
	return fmt.Appendf(nil, `{"inputs": [{"name": "input", "shape": [%d, %d], "datatype": "FP32", "data": [%s]}]}`, rows, m.width(), strings.Join(flat, ", "))
}

// binaryBody has the same tensor as bytes behind the JSON; it returns the JSON's length too.
func (m *model) binaryBody(at, rows int) (body []byte, head int) {
	n := rows * m.width()
	body = fmt.Appendf(nil, `{"inputs": [{"name": "input", "shape": [%d, %d], "datatype": "FP32", "parameters": {"binary_data_size": %d}}], "parameters": {"binary_data_output": true}}`, rows, m.width(), 4*n)
	head = len(body)
	for _, f := range m.floats[at*m.width() : at*m.width()+n] {
		body = binary.LittleEndian.AppendUint32(body, math.Float32bits(f))
	}
	return body, head
}

// encoded is v as JSON; the bodies of the benchmark can always be encoded.
func encoded(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}
