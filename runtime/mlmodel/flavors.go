package mlmodel

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Flavors maps a flavor's name to its fields, as written in the MLmodel file.
type Flavors map[string]map[string]any

func parseFlavors(v any) (Flavors, error) {
	if v == nil {
		return Flavors{}, nil
	}
	top, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("flavors is not a mapping")
	}
	f := make(Flavors, len(top))
	for name, fields := range top {
		m, ok := fields.(map[string]any)
		if !ok && fields != nil {
			return nil, fmt.Errorf("flavor %q is not a mapping", name)
		}
		f[name] = m
	}
	return f, nil
}

// Has reports whether the model can be read as this flavor.
func (f Flavors) Has(name string) bool {
	_, ok := f[name]
	return ok
}

// FlavorNames is the names of the model's flavors, sorted.
func (m *Model) FlavorNames() []string { return slices.Sorted(maps.Keys(m.Flavors)) }

// ONNX is the onnx flavor (source: mlflow/onnx/__init__.py).
type ONNX struct {
	Data      string     // path of the .onnx file, relative to the package; local, as filepath.IsLocal
	Version   string     // onnx_version
	Providers []Provider // wanted execution providers, in order; empty: MLflow's default (CUDA, then CPU)
	Options   SessionOptions
}

// Provider is one execution provider with its options ("device_id": "1").
type Provider struct {
	Name    string
	Options map[string]string
}

// SessionOptions is onnx_session_options; zero values mean "not given".
type SessionOptions struct {
	InterOpThreads    int
	IntraOpThreads    int
	ExecutionMode     string // "", "SEQUENTIAL" or "PARALLEL"
	OptimizationLevel *int   // 0 none, 1 basic, 2 extended, 99 all
	ExtraConfig       map[string]string
}

// ONNX reads the onnx flavor. Returns ErrModel, wrapped, if there is none or its fields are not what MLflow writes.
func (m *Model) ONNX() (*ONNX, error) {
	f, ok := m.Flavors["onnx"]
	if !ok {
		return nil, fmt.Errorf("%w: no onnx flavor", ErrModel)
	}
	o := &ONNX{Data: text(f, "data"), Version: text(f, "onnx_version")}
	if o.Data == "" {
		o.Data = "model.onnx"
	}
	if !localPath(o.Data) {
		return nil, fmt.Errorf("%w: onnx data %q leaves the package", ErrModel, o.Data)
	}
	var err error
	if o.Providers, err = parseProviders(f["providers"]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	if o.Options, err = parseSessionOptions(f["onnx_session_options"]); err != nil {
		return nil, fmt.Errorf("%w: onnx_session_options: %w", ErrModel, err)
	}
	return o, nil
}

// localPath accepts relative paths that stay inside the package, with slashes only.
func localPath(p string) bool {
	return filepath.IsLocal(p) && !strings.ContainsAny(p, "\\\x00")
}

func parseProviders(v any) ([]Provider, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case string: // hand-written: one name
		return []Provider{{Name: x}}, nil
	case []any:
		out := make([]Provider, 0, len(x))
		for _, e := range x {
			p, err := parseProvider(e)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
		return out, nil
	}
	return nil, errors.New("providers is not a list")
}

// parseProvider reads "Name" or [Name, {option: value}].
func parseProvider(v any) (Provider, error) {
	if name, ok := v.(string); ok {
		return Provider{Name: name}, nil
	}
	pair, _ := v.([]any)
	if len(pair) == 0 || len(pair) > 2 {
		return Provider{}, fmt.Errorf("provider %v is neither a name nor a pair", v)
	}
	name, ok := pair[0].(string)
	if !ok {
		return Provider{}, fmt.Errorf("provider %v has no name", v)
	}
	p := Provider{Name: name}
	if len(pair) == 2 && pair[1] != nil {
		m, ok := pair[1].(map[string]any)
		if !ok {
			return Provider{}, fmt.Errorf("options of provider %s are not a mapping", name)
		}
		p.Options = scalars(m)
	}
	return p, nil
}

// scalars prints a mapping's values as ONNX Runtime's options want them.
func scalars(m map[string]any) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		switch x := v.(type) {
		case bool: // Python's str(True) is not what ONNX Runtime reads
			out[k] = map[bool]string{true: "1", false: "0"}[x]
		case nil:
			out[k] = ""
		default:
			out[k] = fmt.Sprint(v)
		}
	}
	return out
}

func parseSessionOptions(v any) (SessionOptions, error) {
	var o SessionOptions
	if v == nil {
		return o, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return o, errors.New("not a mapping")
	}
	o.InterOpThreads = int(integer(m, "inter_op_num_threads"))
	o.IntraOpThreads = int(integer(m, "intra_op_num_threads"))
	if o.InterOpThreads < 0 || o.IntraOpThreads < 0 || o.InterOpThreads > 1024 || o.IntraOpThreads > 1024 {
		return o, errors.New("thread counts must be 0 to 1024")
	}
	o.ExecutionMode = strings.ToUpper(text(m, "execution_mode"))
	if o.ExecutionMode != "" && o.ExecutionMode != "SEQUENTIAL" && o.ExecutionMode != "PARALLEL" {
		return o, fmt.Errorf("unknown execution_mode %q", o.ExecutionMode)
	}
	if level := m["graph_optimization_level"]; level != nil {
		n, ok := level.(int64)
		if !ok || (n != 0 && n != 1 && n != 2 && n != 3 && n != 99) {
			return o, fmt.Errorf("unknown graph_optimization_level %v", level)
		}
		i := int(n)
		o.OptimizationLevel = &i
	}
	if extra, ok := m["extra_session_config"].(map[string]any); ok {
		o.ExtraConfig = scalars(extra)
	}
	return o, nil
}

// PyFunc is the python_function flavor: what a Python worker needs to load the model.
type PyFunc struct {
	LoaderModule  string // "mlflow.sklearn"
	Data          string // path handed to the loader, relative to the package; empty: the whole package
	Code          string // folder added to sys.path; may be empty
	PythonVersion string
	PredictFn     string // "predict" unless the flavor says otherwise
	CondaEnv      string // file of the environment for conda; may be empty
	VirtualEnv    string // python_env.yaml; may be empty
	Config        map[string]any
}

// PyFunc reads the python_function flavor. Returns ErrModel, wrapped, if there is none or a path leaves the package.
func (m *Model) PyFunc() (*PyFunc, error) {
	f, ok := m.Flavors["python_function"]
	if !ok {
		return nil, fmt.Errorf("%w: no python_function flavor", ErrModel)
	}
	p := &PyFunc{
		LoaderModule: text(f, "loader_module"), Data: text(f, "data"), Code: text(f, "code"),
		PythonVersion: text(f, "python_version"), PredictFn: text(f, "predict_fn"),
	}
	if p.Data == "" {
		p.Data = text(f, "model_path")
	}
	if p.PredictFn == "" {
		p.PredictFn = "predict"
	}
	p.Config, _ = f["config"].(map[string]any)
	switch env := f["env"].(type) {
	case string:
		p.CondaEnv = env
	case map[string]any:
		p.CondaEnv, p.VirtualEnv = text(env, "conda"), text(env, "virtualenv")
	}
	for _, path := range append(artifactPaths(f), p.Data, p.Code, p.CondaEnv, p.VirtualEnv, text(f, "python_model")) {
		if path != "" && !localPath(path) {
			return nil, fmt.Errorf("%w: python_function path %q leaves the package", ErrModel, path)
		}
	}
	if p.LoaderModule == "" {
		return nil, fmt.Errorf("%w: python_function without loader_module", ErrModel)
	}
	return p, nil
}

// artifactPaths are those of the files that a Python class was saved with: {name: {uri, path}}.
func artifactPaths(f map[string]any) []string {
	all, _ := f["artifacts"].(map[string]any)
	paths := make([]string, 0, len(all))
	for _, v := range all {
		if m, ok := v.(map[string]any); ok {
			paths = append(paths, text(m, "path"))
		}
	}
	return paths
}
