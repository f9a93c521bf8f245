package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// MLServer crashes with uvloop 0.22 and newer (SeldonIO/MLServer issue 2286).
var mlserverPackages = []string{"mlserver==1.7.1", "mlserver-sklearn==1.7.1", "scikit-learn==1.9.1", "uvloop<0.22"}

// mlserverMLflowPackages run packages of MLflow's.
var mlserverMLflowPackages = []string{"mlserver==1.7.1", "mlserver-mlflow==1.7.1", "mlflow==3.17.2", "pandas==3.1.1", "uvloop<0.22"}

// mlserverModel is a model as MLServer runs it.
type mlserverModel struct {
	name, kind     string // kind is what it is called in the report
	environment    string
	packages       []string
	implementation string
	uri            string
}

// mlserver are MLServer's configurations for a model of scikit-learn.
func (b *bench) mlserver(m *model) []configuration {
	return b.mlserverWays(mlserverModel{
		name: m.name, kind: "scikit-learn", environment: "mlserver", packages: mlserverPackages,
		implementation: "mlserver_sklearn.SKLearnModel", uri: filepath.Join(m.dir, "model.joblib"),
	})
}

// mlserverMLflow are MLServer's configurations for a package of MLflow's.
func (b *bench) mlserverMLflow(m *model) []configuration {
	return b.mlserverWays(mlserverModel{
		name: m.name, kind: "MLflow", environment: "mlserver-mlflow", packages: mlserverMLflowPackages,
		implementation: "mlserver_mlflow.MLflowRuntime", uri: filepath.Join(m.dir, m.folder),
	})
}

// mlserverWays: adaptive batching of 64 rows or 2 ms, in its own process or in one or two workers.
func (b *bench) mlserverWays(m mlserverModel) []configuration {
	var all []configuration
	for workers := range 3 {
		all = append(all, configuration{
			name:  fmt.Sprintf("%s, batching, %d parallel worker(s)", m.kind, workers),
			start: func(ctx context.Context) (*process, error) { return b.startMLServer(ctx, m, workers) },
			path:  func(m *model) string { return "/v2/models/" + m.name + "/infer" },
		})
	}
	return all
}

func (b *bench) startMLServer(ctx context.Context, m mlserverModel, workers int) (*process, error) {
	env, err := b.environment(ctx, m.environment, m.packages...)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "mlserver-*")
	if err != nil {
		return nil, err
	}
	var ports [3]int
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	folder := filepath.Join(dir, m.name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	for file, settings := range map[string]map[string]any{
		filepath.Join(dir, "settings.json"): {
			"host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2], "parallel_workers": workers, "debug": false,
			"environments_dir": filepath.Join(dir, "environments"),
		},
		filepath.Join(folder, "model-settings.json"): {
			"name": m.name, "implementation": m.implementation, "max_batch_size": 64, "max_batch_time": 0.002,
			"parameters": map[string]any{"uri": m.uri},
		},
	} {
		if err := os.WriteFile(file, encoded(settings), 0o644); err != nil {
			return nil, err
		}
	}
	p, err := start(ctx, "MLServer", []string{keepBytecode}, filepath.Join(env, "bin", "mlserver"), "start", dir)
	if err != nil {
		return nil, err
	}
	p.url = fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	return p, p.until(ctx, "readiness", peerStart, answers(p.url+"/v2/models/"+m.name+"/ready"))
}
