package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// api is MLflow's REST API of one sluice server, as far as a model's registration needs it.
type api struct{ url string }

// register uploads a model's package, makes a version of it and puts that into Production: the endpoint of the model's name answers then.
func (a api) register(ctx context.Context, m *model) error {
	if err := a.call(ctx, http.MethodPost, "/api/2.0/mlflow/registered-models/create", encoded(map[string]any{"name": m.name}), nil); err != nil {
		return err
	}
	if err := a.version(ctx, m); err != nil {
		return err
	}
	if err := a.stage(ctx, m, "1"); err != nil {
		return err
	}
	return a.answered(ctx, m)
}

// version uploads a model's package and makes a version of it.
func (a api) version(ctx context.Context, m *model) error {
	var run struct {
		Run struct {
			Info struct {
				ID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	if err := a.call(ctx, http.MethodPost, "/api/2.0/mlflow/runs/create", encoded(map[string]any{"experiment_id": "0", "run_name": m.name}), &run); err != nil {
		return err
	}
	id := run.Run.Info.ID
	root := os.DirFS(filepath.Join(m.dir, m.folder))
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		return a.call(ctx, http.MethodPut, "/api/2.0/mlflow-artifacts/artifacts/0/"+id+"/artifacts/model/"+path, content, nil)
	})
	if err != nil {
		return err
	}
	body := map[string]any{"name": m.name, "run_id": id, "source": "mlflow-artifacts:/0/" + id + "/artifacts/model"}
	return a.call(ctx, http.MethodPost, "/api/2.0/mlflow/model-versions/create", encoded(body), nil)
}

// answered waits until the model's endpoint predicts.
func (a api) answered(ctx context.Context, m *model) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // a Python model takes some seconds on a machine at rest, a conversion some more
	defer cancel()
	for {
		_, err := a.predict(ctx, m)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", m.name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// predict returns the answer to the model's first row.
func (a api) predict(ctx context.Context, m *model) ([]byte, error) {
	var answer json.RawMessage
	err := a.call(ctx, http.MethodPost, a.endpoint(m), m.mlflowBody(0, 1), &answer)
	return answer, err
}

// endpoint is the path of the model's predictions.
func (a api) endpoint(m *model) string {
	return "/endpoints/" + url.PathEscape(m.name) + "/invocations"
}

func (a api) call(ctx context.Context, method, path string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: status %d: %.300s", method, path, res.StatusCode, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
