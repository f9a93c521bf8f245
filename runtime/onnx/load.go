package onnx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
)

// maxModelBytes is the largest .onnx file: protobuf cannot hold more; larger weights lie beside it.
const maxModelBytes = 2 << 30

// defaultRunners is how many predictions can run at once.
func defaultRunners() int { return runtime.GOMAXPROCS(0) }

// LoadDir reads a model package and opens its ONNX flavor: everything that a servable.Loader has to return, the input example included.
func (r *Runtime) LoadDir(ctx context.Context, dir string) (*servable.Loaded, error) {
	m, err := mlmodel.Load(dir)
	if err != nil {
		return nil, err
	}
	b, err := r.Load(ctx, dir, m)
	if err != nil {
		return nil, err
	}
	l := &servable.Loaded{Model: m, Backend: b}
	if l.Sample, l.Params, err = m.ReadExample(dir); err != nil {
		r.log.Info("input example is not usable for warm-up", slog.String("model", m.UUID), slog.Any("error", err))
	}
	return l, nil
}

// Load opens the ONNX flavor of the model package in dir. Nothing outside dir is read: the .onnx file and its external data are
// reached through os.Root.
//
// The flavor's execution providers are alternatives in order of preference: what this library or machine lacks is passed over with a note,
// as MLflow does. If nothing of the list can be had the model is refused, where MLflow would run it on the processor: who names no
// CPUExecutionProvider wants none. No list at all is MLflow's, CUDA and then the processor, without the note. Session options that cannot
// be honoured are an error.
//
// Returns ErrNotONNX, ErrProvider, mlmodel.ErrModel, or ONNX Runtime's refusal, wrapped.
func (r *Runtime) Load(ctx context.Context, dir string, m *mlmodel.Model) (*Backend, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	flavor, err := m.ONNX()
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	raw, err := readModel(root, flavor.Data)
	if err != nil {
		return nil, err
	}
	file, err := parseModel(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flavor.Data, err)
	}
	weights, err := checkExternal(root, filepath.Dir(flavor.Data), file.locations)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flavor.Data, err)
	}
	folder := ""
	if len(file.locations) > 0 {
		folder = filepath.Join(dir, filepath.Dir(flavor.Data))
	}
	b := &Backend{rt: r, inputs: file.inputs, loops: file.loops(), threads: busy(&flavor.Options), bytes: sessionBytes + 2*int64(len(raw)) + weights}
	if err := b.open(file, flavor, folder); err != nil {
		return nil, fmt.Errorf("%s: %w", flavor.Data, err)
	}
	b.learnFixed(ctx)
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	for _, note := range b.notes {
		r.log.Info(note, slog.String("model", m.UUID))
	}
	return b, nil
}

func readModel(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotONNX, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxModelBytes {
		return nil, fmt.Errorf("%w: %s is no file, or larger than 2 GiB", ErrNotONNX, name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw := make([]byte, info.Size())
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotONNX, name, err)
	}
	return raw, nil
}

// checkExternal makes sure that every file of external data lies inside the package, and adds up their sizes.
func checkExternal(root *os.Root, folder string, locations map[string]bool) (bytes int64, err error) {
	for _, location := range slices.Sorted(maps.Keys(locations)) {
		if !filepath.IsLocal(location) || strings.ContainsAny(location, "\\\x00") {
			return 0, fmt.Errorf("%w: external data %q lies outside the model's folder", ErrNotONNX, location)
		}
		info, err := root.Stat(filepath.Join(folder, location))
		if err != nil {
			return 0, fmt.Errorf("%w: external data: %w", ErrNotONNX, err)
		}
		if !info.Mode().IsRegular() {
			return 0, fmt.Errorf("%w: external data %q is not a file", ErrNotONNX, location)
		}
		bytes += info.Size()
	}
	return bytes, nil
}

// open creates the session: of the operated model, or of the file's own bytes if ONNX Runtime does not take the former.
func (b *Backend) open(file *modelFile, flavor *mlmodel.ONNX, folder string) error {
	for _, v := range file.inputs {
		why := unservable(&v)
		if v.maps || v.list {
			why = "a sequence"
		}
		if why != "" {
			return fmt.Errorf("input %q is %s, which cannot be served", v.name, why)
		}
	}
	raw, outs := file.operate()
	err := b.openBytes(raw, outs, flavor, folder)
	if err != nil && len(raw) > 0 && &raw[0] != &file.raw[0] {
		plain := make([]output, len(file.outputs))
		for i, v := range file.outputs {
			plain[i] = output{name: v.name, session: v.name, value: v}
		}
		if err2 := b.openBytes(file.raw, plain, flavor, folder); err2 != nil {
			return errors.Join(err2)
		}
		b.notes = append(b.notes, "ONNX model is served with its maps as they are, which is slow: "+err.Error())
		return nil
	}
	return err
}

// unservable says why an input or output cannot be served; empty if it can.
func unservable(v *value) string {
	switch {
	case v.other != "":
		return v.other
	case v.dtype == 0 && !v.maps:
		return "of unknown type"
	case v.scalar() && !scalarType(v.dtype):
		return "a scalar of type " + v.dtype.String()
	}
	return ""
}

func (b *Backend) openBytes(raw []byte, outs []output, flavor *mlmodel.ONNX, folder string) error {
	for i := range outs {
		if why := unservable(&outs[i].value); why != "" {
			return fmt.Errorf("output %q is %s, which cannot be served", outs[i].name, why)
		}
	}
	ins, names := make([]string, len(b.inputs)), make([]string, len(outs))
	for i := range b.inputs {
		ins[i] = b.inputs[i].name
	}
	for i := range outs {
		names[i] = outs[i].session
	}
	session, notes, err := newSession(raw, ins, names, flavor, folder, false)
	if err != nil {
		return err
	}
	b.session, b.outputs, b.notes = session, outs, notes
	b.prepare()
	if b.bindable && b.bytes <= maxTwice {
		b.bytes *= 2
		if b.quick, _, err = newSession(raw, ins, names, flavor, folder, true); err != nil {
			return errors.Join(err, session.Destroy())
		}
	}
	return nil
}

// maxTwice is the size of the models that are held twice: with ONNX Runtime's arena for runs of few rows, in which asking libc for memory
// would be a fifth of the work, and without for the others, since an arena keeps what its largest run ever needed.
const maxTwice = 2 << 20

func newSession(raw []byte, ins, outs []string, flavor *mlmodel.ONNX, folder string, arena bool) (*ort.DynamicAdvancedSession, []string, error) {
	opts, notes, err := sessionOptions(flavor, folder)
	if err != nil {
		return nil, nil, err
	}
	defer opts.Destroy()
	if err := opts.SetCpuMemArena(arena); err != nil {
		return nil, nil, fmt.Errorf("session options: %w", err)
	}
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(raw, ins, outs, opts)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNotONNX, err)
	}
	return session, notes, nil
}

// sessionOptions are ours, overridden by the flavor's.
func sessionOptions(flavor *mlmodel.ONNX, folder string) (opts *ort.SessionOptions, notes []string, err error) {
	opts, err = ort.NewSessionOptions()
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("session options: %w", err), opts.Destroy())
		}
	}()
	config := map[string]string{
		// One thread a run: single rows get slower with two, and the second one spins. Parallelism comes from requests.
		"session.intra_op.allow_spinning": "0",
		"session.inter_op.allow_spinning": "0",
	}
	if folder != "" {
		config["session.model_external_initializers_file_folder_path"] = folder
	}
	for key, val := range flavor.Options.ExtraConfig {
		if strings.Contains(key, "path") || strings.Contains(key, "file") || strings.Contains(key, "folder") {
			return opts, nil, fmt.Errorf("extra_session_config %q may not name files", key)
		}
		config[key] = val
	}
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if err := opts.AddSessionConfigEntry(key, config[key]); err != nil {
			return opts, nil, err
		}
	}
	if err := threads(opts, &flavor.Options); err != nil {
		return opts, nil, err
	}
	notes, err = providers(opts, flavor.Providers)
	return opts, notes, err
}

// busy is how many threads a run keeps busy.
func busy(o *mlmodel.SessionOptions) int {
	n := max(1, o.IntraOpThreads)
	if o.ExecutionMode == "PARALLEL" {
		n += max(1, o.InterOpThreads) - 1
	}
	return n
}

func threads(opts *ort.SessionOptions, o *mlmodel.SessionOptions) error {
	mode := ort.ExecutionMode(ort.ExecutionModeSequential)
	if o.ExecutionMode == "PARALLEL" {
		mode = ort.ExecutionModeParallel
	}
	err := errors.Join(
		opts.SetIntraOpNumThreads(max(1, o.IntraOpThreads)),
		opts.SetInterOpNumThreads(max(1, o.InterOpThreads)),
		opts.SetExecutionMode(mode),
		opts.SetLogSeverityLevel(ort.LoggingLevelFatal),
	)
	if o.OptimizationLevel != nil {
		err = errors.Join(err, opts.SetGraphOptimizationLevel(ort.GraphOptimizationLevel(*o.OptimizationLevel)))
	}
	return err
}

// ErrProvider: no execution provider that the model asks for can be had.
var ErrProvider = errors.New("no execution provider that the model asks for is available")

// providers appends what is wanted and available; each that is not gives a note. The CPU is always there, and what follows it would never
// be asked.
func providers(opts *ort.SessionOptions, wanted []mlmodel.Provider) (notes []string, err error) {
	if len(wanted) == 0 {
		_ = provider(opts, mlmodel.Provider{Name: "CUDAExecutionProvider"}) // nobody asked for it
		return nil, nil
	}
	var missing []error
	for _, p := range wanted {
		if p.Name == "CPUExecutionProvider" {
			return notes, nil
		}
		if err := provider(opts, p); err != nil {
			missing = append(missing, fmt.Errorf("%s: %w", p.Name, err))
			notes = append(notes, fmt.Sprintf("execution provider %s is not available, falling back: %v", p.Name, err))
		}
	}
	if len(missing) == len(wanted) {
		return nil, fmt.Errorf("%w: %w", ErrProvider, errors.Join(missing...))
	}
	return notes, nil
}

func provider(opts *ort.SessionOptions, p mlmodel.Provider) error {
	switch p.Name {
	case "CUDAExecutionProvider":
		o, err := ort.NewCUDAProviderOptions()
		if err != nil {
			return err
		}
		defer o.Destroy()
		if len(p.Options) > 0 {
			if err := o.Update(p.Options); err != nil {
				return err
			}
		}
		return opts.AppendExecutionProviderCUDA(o)
	case "TensorrtExecutionProvider":
		o, err := ort.NewTensorRTProviderOptions()
		if err != nil {
			return err
		}
		defer o.Destroy()
		if len(p.Options) > 0 {
			if err := o.Update(p.Options); err != nil {
				return err
			}
		}
		return opts.AppendExecutionProviderTensorRT(o)
	case "CoreMLExecutionProvider":
		return opts.AppendExecutionProviderCoreMLV2(p.Options)
	case "OpenVINOExecutionProvider":
		return opts.AppendExecutionProviderOpenVINO(p.Options)
	}
	return opts.AppendExecutionProvider(strings.TrimSuffix(p.Name, "ExecutionProvider"), p.Options)
}
