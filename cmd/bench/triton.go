package main

import (
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// tritonModel is a model of Triton's Python backend that runs ONNX Runtime.
//
//go:embed python/triton_model.py
var tritonModel []byte

// Triton's server comes in the wheel of nvidia-pytriton, with the Python backend and nothing else; its model runs the same ONNX Runtime as we do.
var tritonPackages = []string{"nvidia-pytriton==0.7.0", "onnxruntime==1.32.0"}

// tritonBatching is how a model is served: always with dynamic batching, by one or two instances, a batch waiting for some time or not at all.
type tritonBatching struct{ instances, delayMicros int }

var tritonBatchings = []tritonBatching{{1, 0}, {1, 500}, {2, 0}, {2, 500}}

func (t tritonBatching) modelName(m *model) string {
	return fmt.Sprintf("%s-%d-%d", m.name, t.instances, t.delayMicros)
}

// triton are Triton's configurations for one model, all served by one process.
func (b *bench) triton(m *model) []configuration {
	var once sync.Once
	var p *process
	var failed error
	start := func(ctx context.Context) (*process, error) {
		once.Do(func() { p, failed = b.startTriton(ctx, m) })
		return p, failed
	}
	var all []configuration
	for _, t := range tritonBatchings {
		all = append(all, configuration{
			name:  fmt.Sprintf("Python backend, %d instance(s), batches wait %d µs", t.instances, t.delayMicros),
			start: start,
			path:  func(m *model) string { return "/v2/models/" + t.modelName(m) + "/infer" },
		})
	}
	return all
}

func (b *bench) startTriton(ctx context.Context, m *model) (*process, error) {
	env, err := b.environment(ctx, "triton", tritonPackages...)
	if err != nil {
		return nil, err
	}
	site, err := filepath.Glob(filepath.Join(env, "lib", "python3*", "site-packages"))
	if err != nil || len(site) != 1 {
		return nil, fmt.Errorf("%s has no site-packages: %v", env, err)
	}
	server := filepath.Join(site[0], "pytriton", "tritonserver")
	dir, err := os.MkdirTemp(b.dir, "triton-*")
	if err != nil {
		return nil, err
	}
	// The backend wants the stub of its Python version beside it.
	python := filepath.Base(filepath.Dir(site[0]))[len("python"):]
	backends := filepath.Join(dir, "backends")
	if err := os.CopyFS(backends, os.DirFS(filepath.Join(server, "backends"))); err != nil {
		return nil, err
	}
	stub, err := fs.ReadFile(os.DirFS(server), "python_backend_stubs/"+python+"/triton_python_backend_stub")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(backends, "python", "triton_python_backend_stub"), stub, 0o755); err != nil {
		return nil, err
	}
	for _, t := range tritonBatchings {
		if err := m.tritonFolder(filepath.Join(dir, "models", t.modelName(m)), t); err != nil {
			return nil, err
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, "Triton", []string{
		"PATH=" + filepath.Join(env, "bin") + ":" + os.Getenv("PATH"),
		"LD_LIBRARY_PATH=" + filepath.Join(site[0], "nvidia_pytriton.libs"),
	}, filepath.Join(server, "bin", "tritonserver"),
		"--model-repository="+filepath.Join(dir, "models"), "--backend-directory="+backends, "--http-address=127.0.0.1", "--http-port="+strconv.Itoa(port),
		"--http-thread-count=2", "--allow-grpc=false", "--allow-metrics=false")
	if err != nil {
		return nil, err
	}
	p.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	return p, p.until(ctx, "/v2/health/ready", time.Minute, answers(p.url+"/v2/health/ready"))
}

// tritonFolder writes the model's folder of a Triton model repository.
func (m *model) tritonFolder(dir string, t tritonBatching) error {
	if err := os.MkdirAll(filepath.Join(dir, "1"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "1", "model.py"), tritonModel, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.pbtxt"), fmt.Appendf(nil, `backend: "python"
max_batch_size: %d
input [ { name: "input" data_type: TYPE_FP32 dims: [ %d ] } ]
output [
  { name: "label" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } },
  { name: "probabilities" data_type: TYPE_FP32 dims: [ %d ] }
]
instance_group [ { kind: KIND_CPU count: %d } ]
dynamic_batching { max_queue_delay_microseconds: %d }
parameters { key: "onnx" value { string_value: "%s" } }
`, wide, m.width(), m.classes(), t.instances, t.delayMicros, filepath.Join(m.dir, "onnx", "model.onnx")), 0o644)
}

// classes is how many probabilities the model answers with.
func (m *model) classes() int { return map[string]int{"small": 3, "trees": 2, "mlp": 10}[m.name] }
