package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sluice/registry"
	"sluice/runtime/convert"
	"sluice/runtime/mlmodel"
	"sluice/runtime/onnx"
	"sluice/runtime/servable"
)

// ConversionConfig is the settings of models that are made ONNX.
type ConversionConfig struct {
	Mode       string
	Converters []string
	OnlyONNX   []string
	Memory     int64
	Timeout    time.Duration
}

// bind declares the flags.
func (c *ConversionConfig) bind(f *pflag.FlagSet) {
	f.StringVar(&c.Mode, "conversion", "auto", "auto makes models of scikit-learn, LightGBM, XGBoost, CatBoost, PyTorch and Keras ONNX at their first load and serves them so if every answer stays the same; off leaves them to Python")
	f.StringSliceVar(&c.Converters, "converters", nil, "folders with the Python packages that convert (skl2onnx, onnxmltools, onnx, onnxscript, tf2onnx, jax2onnx), for environments of models that lack them (default: they are installed beside a model's own packages)")
	f.StringSliceVar(&c.OnlyONNX, "onnx-only-stages", nil, "stages in which only ONNX is served, logged as such or converted: what only Python could execute is not routed there")
	f.Int64Var(&c.Memory, "conversion-memory-bytes", 0, "memory that a conversion may take; one that needs more is left to Python (default: half of the machine's or the container's)")
	f.DurationVar(&c.Timeout, "conversion-timeout", 8*time.Minute, "how long a conversion may take; one that takes longer is left to Python")
}

func (c *ConversionConfig) check() error {
	failed := []error{
		oneOf("conversion", c.Mode, "auto", "off"),
		inRange("conversion-memory-bytes", float64(c.Memory), 0, 1<<50),
		atLeast("conversion-timeout", c.Timeout, time.Second),
	}
	for i, dir := range c.Converters {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a folder", dir)
		}
		if err == nil {
			c.Converters[i], err = filepath.Abs(dir)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("--converters: %w", err))
		}
	}
	for _, s := range c.OnlyONNX {
		if strings.TrimSpace(s) == "" {
			failed = append(failed, errors.New("--onnx-only-stages names an empty stage"))
		}
	}
	return errors.Join(failed...)
}

// openConversions opens the folder of converted models; nil when switched off.
func (a *App) openConversions() (*convert.Store, error) {
	if a.cfg.Conversion.Mode == "off" {
		return nil, nil
	}
	return a.conversionsIn(filepath.Join(a.cfg.DataDir, "converted"))
}

func (a *App) conversionsIn(dir string) (*convert.Store, error) {
	return convert.NewStore(dir, &convert.StoreOptions{Options: convert.Options{
		Converters: a.cfg.Conversion.Converters, Environ: a.environ, Logger: a.log,
		MemoryBytes: cmp.Or(a.cfg.Conversion.Memory, machineMemory()/2), Timeout: a.cfg.Conversion.Timeout,
	}})
}

// The forms of a version that an endpoint may want, and what is said of how one is executed.
const (
	formONNX   = "onnx"
	formPython = "python"
	converted  = "onnx (converted)"
)

// errOnlyONNX: the version is wanted as ONNX, which it is not and cannot be made.
var errOnlyONNX = errors.New("only ONNX is accepted here")

// tryONNX returns the version as ONNX if it can be converted, else why not. Errors are what says nothing about the model.
func (l *loader) tryONNX(ctx context.Context, version *registry.Version, p *pack, digest string) (loaded *servable.Loaded, why string, err error) {
	v, ok := l.verdicts.take(p.id)
	if !ok {
		v, err = l.judge(ctx, version, p, digest, func(string) {})
	}
	if err != nil || v.dir == "" {
		return nil, v.why, err
	}
	rt, err := l.runtime()
	if err != nil {
		return nil, err.Error(), nil
	}
	loaded, err = l.openConverted(ctx, rt, p.dir, v.dir)
	return loaded, "", err
}

// judge finds out whether the version can be served as ONNX: by converting it, which takes up to minutes, unless that was done before. progress is
// told when it begins.
func (l *loader) judge(ctx context.Context, version *registry.Version, p *pack, digest string, progress func(string)) (verdict, error) {
	if l.conversions == nil {
		return verdict{why: "conversion is switched off"}, nil
	}
	rt, err := l.runtime()
	if err != nil {
		return verdict{why: err.Error()}, nil
	}
	if reason := convert.Hopeless(p.model); reason != "" {
		l.record(ctx, version, convert.Result{Verdict: convert.Fail, Reason: reason})
		return verdict{why: reason}, nil
	}
	release := func() {} // the environment is needed for a conversion alone
	result, dir, err := l.conversions.Of(ctx, rt, digest, p.dir, func(ctx context.Context) (at string, err error) {
		at, used, err := l.environments.withConverters(ctx, p, l.converters(p.model), progress)
		if err == nil {
			release = used
			progress("being converted to ONNX")
		}
		return at, err
	})
	release()
	if errors.Is(err, convert.ErrProcess) {
		l.log.Warn("conversion broke off", slog.String("model", version.Name), slog.Int("version", version.Version), slog.Any("error", err))
		return verdict{why: err.Error()}, nil
	}
	if err != nil {
		return verdict{}, err
	}
	l.record(ctx, version, result)
	if result.Verdict != convert.Pass {
		return verdict{why: result.Reason}, nil
	}
	return verdict{dir: dir}, nil
}

// converters are the packages to install for a conversion; none where folders hold them.
func (l *loader) converters(m *mlmodel.Model) []string {
	if l.ownConverters {
		return nil
	}
	return convert.Packages(m)
}

func (l *loader) openConverted(ctx context.Context, rt *onnx.Runtime, modelDir, dir string) (*servable.Loaded, error) {
	loaded, err := convert.Open(ctx, rt, modelDir, dir)
	if err != nil {
		return nil, err
	}
	loaded.By = converted
	return loaded, nil
}

// record writes the verdict on the version's tags, where they say something else. A database that cannot be written does not keep the version from
// serving: the next load tries again.
func (l *loader) record(ctx context.Context, version *registry.Version, r convert.Result) {
	if l.registry == nil { // the one model of `sluice models serve` is no version of anything
		return
	}
	for _, tag := range verdictTags(r) {
		if slices.Contains(version.Tags, tag) {
			continue
		}
		if err := l.registry.SetVersionTag(ctx, version.Name, version.Version, tag); err != nil {
			l.log.Warn("verdict on a conversion not recorded", slog.String("model", version.Name), slog.Int("version", version.Version), slog.Any("error", err))
			return
		}
	}
}

func verdictTags(r convert.Result) []registry.Tag {
	backend := formPython
	if r.Verdict == convert.Pass {
		backend = formONNX
	}
	tags := []registry.Tag{{Key: "sluice.backend", Value: backend}, {Key: "sluice.conversion.verdict", Value: string(r.Verdict)}}
	add := func(key, value string) {
		if value != "" {
			tags = append(tags, registry.Tag{Key: "sluice.conversion." + key, Value: value})
		}
	}
	add("reason", r.Reason)
	add("way", r.Way)
	if len(r.Versions) > 0 {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
			all = append(all, name+" "+r.Versions[name])
		}
		add("versions", strings.Join(all, ", "))
	}
	if r.Rows > 0 {
		add("rows", fmt.Sprint(r.Rows))
		add("tolerance", fmt.Sprintf("%g absolute, %g relative", r.Tolerance.Absolute, r.Tolerance.Relative))
	}
	return tags
}
