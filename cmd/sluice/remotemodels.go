package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"sluice/registry/modelcache"
	"sluice/tracking"
	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// remoteModels looks models up at a tracking server, MLflow's or ours, through its REST API, and reads artifacts through its proxy.
type remoteModels struct {
	base   string
	auth   func(*http.Request)
	client *http.Client
}

const (
	remoteTimeout = 60 * time.Second // of one call, without the transfer of a file
	maxAnswer     = 64 << 20
	maxDepth      = 64 // folders below each other in an artifact tree
)

// newRemoteModels takes credentials from the variables of MLflow's own client.
func newRemoteModels(base string, environ []string) *remoteModels {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = remoteTimeout
	if strings.EqualFold(lookup(environ, "MLFLOW_TRACKING_INSECURE_TLS"), "true") {
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	user, password, token := lookup(environ, "MLFLOW_TRACKING_USERNAME"), lookup(environ, "MLFLOW_TRACKING_PASSWORD"), lookup(environ, "MLFLOW_TRACKING_TOKEN")
	return &remoteModels{base: strings.TrimRight(base, "/"), client: &http.Client{Transport: transport}, auth: func(r *http.Request) {
		switch {
		case user != "" || password != "":
			r.SetBasicAuth(user, password)
		case token != "":
			r.Header.Set("Authorization", "Bearer "+token)
		}
	}}
}

// open starts a request and returns the answer's body, which the caller closes. Errors carry the server's code and message.
func (r *remoteModels) open(ctx context.Context, method, address string, body any) (io.ReadCloser, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, r.base+address, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if body == nil {
		req.Body, req.ContentLength = nil, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	r.auth(req)
	answer, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	return nil, refused(answer)
}

// refused is the error that a server answered with.
func refused(answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil {
		return err
	}
	var told struct {
		Code    mlflow.Code `json:"error_code"`
		Message string      `json:"message"`
	}
	if json.Unmarshal(text, &told) == nil && told.Code != "" {
		return &mlflow.Error{Code: told.Code, Message: told.Message}
	}
	return fmt.Errorf("the tracking server answered %s: %s", answer.Status, strings.TrimSpace(string(text)))
}

// call decodes the answer of one call into out.
func (r *remoteModels) call(ctx context.Context, method, address string, body, out any) error {
	answer, err := r.open(ctx, method, address, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	return json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(out)
}

func (r *remoteModels) get(ctx context.Context, call string, query url.Values, out any) error {
	return r.call(ctx, http.MethodGet, "/api/2.0/mlflow/"+call+"?"+query.Encode(), nil, out)
}

// Run implements runModels with what locate needs of a run.
func (r *remoteModels) Run(ctx context.Context, id string) (tracking.Run, error) {
	var got struct {
		Run struct {
			Info struct {
				ID         string `json:"run_id"`
				Experiment string `json:"experiment_id"`
				Artifacts  string `json:"artifact_uri"`
			} `json:"info"`
		} `json:"run"`
	}
	err := r.get(ctx, "runs/get", url.Values{"run_id": {id}}, &got)
	i := got.Run.Info
	return tracking.Run{Info: tracking.RunInfo{ID: i.ID, ExperimentID: i.Experiment, ArtifactURI: i.Artifacts}}, err
}

// loggedInfo is what is read of a logged model.
type loggedInfo struct {
	Info struct {
		ID        string `json:"model_id"`
		Artifacts string `json:"artifact_uri"`
	} `json:"info"`
}

// SearchLoggedModels implements runModels. A server from before MLflow 3 knows no logged models.
func (r *remoteModels) SearchLoggedModels(ctx context.Context, q tracking.LoggedModelQuery) (page tracking.LoggedModelPage, err error) {
	var got struct {
		Models []loggedInfo `json:"models"`
	}
	body := map[string]any{"experiment_ids": q.ExperimentIDs, "filter": q.Filter, "max_results": q.MaxResults}
	err = r.call(ctx, http.MethodPost, "/api/2.0/mlflow/logged-models/search", body, &got)
	if code := mlflow.CodeOf(err); code == mlflow.EndpointNotFound || code == mlflow.NotFound {
		return page, nil
	}
	for _, m := range got.Models {
		page.Models = append(page.Models, tracking.LoggedModel{ID: m.Info.ID, ArtifactLocation: m.Info.Artifacts})
	}
	return page, err
}

func (r *remoteModels) logged(ctx context.Context, id string) (string, error) {
	var got struct {
		Model loggedInfo `json:"model"`
	}
	err := r.get(ctx, "logged-models/"+url.PathEscape(id), nil, &got)
	return got.Model.Info.Artifacts, err
}

// remoteVersion is what is read of a model version; servers write its number as text.
type remoteVersion struct {
	Version json.Number `json:"version"`
}

func (v remoteVersion) number() int {
	n, err := v.Version.Int64()
	if err != nil {
		return 0
	}
	return int(n)
}

func (r *remoteModels) version(ctx context.Context, name, which, alias string) (string, error) {
	number := which
	switch {
	case alias != "":
		var got struct {
			Version remoteVersion `json:"model_version"`
		}
		if err := r.get(ctx, "registered-models/alias", url.Values{"name": {name}, "alias": {alias}}, &got); err != nil {
			return "", err
		}
		number = got.Version.Version.String()
	case strings.Trim(which, "0123456789") != "":
		var err error
		if number, err = r.latest(ctx, name, which); err != nil {
			return "", err
		}
	}
	var got struct {
		URI string `json:"artifact_uri"`
	}
	err := r.get(ctx, "model-versions/get-download-uri", url.Values{"name": {name}, "version": {number}}, &got)
	return got.URI, err
}

// latest returns the number of the newest version in a stage, or of all for "latest".
func (r *remoteModels) latest(ctx context.Context, name, stage string) (string, error) {
	body := map[string]any{"name": name}
	if !strings.EqualFold(stage, "latest") {
		body["stages"] = []string{stage}
	}
	var got struct {
		Versions []remoteVersion `json:"model_versions"`
	}
	if err := r.call(ctx, http.MethodPost, "/api/2.0/mlflow/registered-models/get-latest-versions", body, &got); err != nil {
		return "", err
	}
	newest, err := newestOf(got.Versions, remoteVersion.number)
	if err != nil {
		return "", mlflow.Missingf("No versions of model with name %s and stage %s found", mlflow.Repr(name), mlflow.Repr(stage))
	}
	return newest.Version.String(), nil
}

const proxyPath = "/api/2.0/mlflow-artifacts/artifacts"

// tree reads through the server's artifact proxy.
func (r *remoteModels) tree(uri string) (modelcache.Source, error) {
	if !isProxyRoot(uri) {
		return nil, fmt.Errorf("%s is read neither from this machine nor through the tracking server: its artifacts are not proxied", uri)
	}
	u, err := url.Parse(uri)
	if err != nil {
		return nil, err
	}
	at, err := artifact.CleanPath(strings.Trim(strings.TrimPrefix(u.Path, proxyPath), "/"))
	return &remoteTree{server: r, at: at}, err
}

func (r *remoteModels) close() error {
	r.client.CloseIdleConnections()
	return nil
}

// remoteTree is the files below a folder of the proxy.
type remoteTree struct {
	server *remoteModels
	at     string
}

// Walk implements modelcache.Source.
func (t *remoteTree) Walk(ctx context.Context, dir string, visit func(artifact.Info) error) error {
	return t.walk(ctx, dir, visit, 0)
}

func (t *remoteTree) walk(ctx context.Context, dir string, visit func(artifact.Info) error, depth int) error {
	if depth > maxDepth {
		return errors.New("the artifacts are nested too deep")
	}
	var got struct {
		Files []struct {
			Path  string      `json:"path"`
			IsDir bool        `json:"is_dir"`
			Size  json.Number `json:"file_size"`
		} `json:"files"`
	}
	query := url.Values{"path": {path.Join(t.at, dir)}}
	if err := t.server.call(ctx, http.MethodGet, proxyPath+"?"+query.Encode(), nil, &got); err != nil {
		return err
	}
	for _, f := range got.Files {
		inside := path.Join(dir, path.Base(f.Path)) // listed relative to the folder that was asked for
		if _, err := artifact.CleanPath(inside); err != nil {
			return err
		}
		if f.IsDir {
			if err := t.walk(ctx, inside, visit, depth+1); err != nil {
				return err
			}
			continue
		}
		size, err := f.Size.Int64()
		if err != nil {
			return fmt.Errorf("%s has no size", inside)
		}
		if err := visit(artifact.Info{Path: inside, Size: size}); err != nil {
			return err
		}
	}
	return nil
}

// Open implements modelcache.Source.
func (t *remoteTree) Open(ctx context.Context, name string) (io.ReadCloser, artifact.Info, error) {
	parts := strings.Split(path.Join(t.at, name), "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	body, err := t.server.open(ctx, http.MethodGet, proxyPath+"/"+strings.Join(parts, "/"), nil)
	return body, artifact.Info{Path: name}, err
}
