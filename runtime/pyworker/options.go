package pyworker

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"
)

// Options of Open. Nil and the zero value work, but for Dir.
type Options struct {
	// Workers is how many processes answer predictions. Default (0): 2.
	Workers int
	// Dir is the folder in which each worker gets a private directory. Default: the system's for temporary files.
	Dir string
	// Environ is the environment that allowed variables are taken from, as os.Environ gives it. Default: none.
	Environ []string
	// MemoryBytes bounds a worker's resident memory, and what it may allocate; 0: no bound.
	MemoryBytes int64
	// MaxFiles bounds the files that a worker has open. Default (0): 1024.
	MaxFiles int
	// Nice is added to the workers' niceness, 0 to 19.
	Nice int
	// MaxAge, MaxRequests and MaxRows recycle a worker that has lived or done as much; 0: never. A worker's own bound is up to a tenth higher, so
	// that workers are not recycled all at once.
	MaxAge      time.Duration
	MaxRequests int64
	MaxRows     int64
	// InterruptGrace is how long an interrupted prediction may take to end before its worker is killed. Default (0): 1 s.
	InterruptGrace time.Duration
	// Heartbeat is how often idle workers have to show that they are alive; they have as long to answer. Default (0): 5 s.
	Heartbeat time.Duration
	// Inspect is how often the processes are looked at: memory, stopped or not. Default (0): 500 ms. Linux only.
	Inspect time.Duration
	// MinBackoff and MaxBackoff are the pauses before a failed worker is started again. Defaults (0): 100 ms, 30 s.
	MinBackoff, MaxBackoff time.Duration
	// Logger gets what workers write to stdout and stderr, and every restart with its reason. nil discards.
	Logger *slog.Logger
	// Restarts counts restarts by reason, of many backends together; nil counts nothing.
	Restarts *Restarts
}

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Workers <= 0 {
		out.Workers = 2
	}
	if out.MaxFiles <= 0 {
		out.MaxFiles = 1024
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&out.InterruptGrace, time.Second}, {&out.Heartbeat, 5 * time.Second}, {&out.Inspect, 500 * time.Millisecond},
		{&out.MinBackoff, 100 * time.Millisecond}, {&out.MaxBackoff, 30 * time.Second},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.Restarts == nil {
		out.Restarts = new(Restarts)
	}
	return out
}

// allowed are the variables that a worker may see: where programs and libraries are, language and time zone, processors and accelerators. No
// credentials, no proxies, nothing of MLflow's.
var allowed = []string{
	"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LANGUAGE", "TZ", "TZDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT",
	"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
}

// allowedPrefixes are those of further variables.
var allowedPrefixes = []string{"LC_", "NVIDIA_", "OMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "KMP_", "TF_NUM_", "TF_CPP_", "PYTORCH_", "JAX_", "XLA_"}

// threadVariables say to the usual libraries how many threads they may use.
var threadVariables = []string{"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"}

// environment is what a worker with this home sees. Several workers share the processors: each library gets its part, unless the gateway's own
// environment says another number.
func (o *Options) environment(home string) []string {
	env := []string{
		"HOME=" + home, "TMPDIR=" + home, "XDG_CACHE_HOME=" + home, "XDG_CONFIG_HOME=" + home, "MPLCONFIGDIR=" + home,
		"_MLFLOW_IS_IN_SERVING_ENVIRONMENT=true", "MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true",
	}
	have := map[string]bool{}
	for _, entry := range o.Environ {
		name, _, ok := strings.Cut(entry, "=")
		if ok && isAllowed(name) && !strings.ContainsRune(entry, 0) {
			env = append(env, entry)
			have[name] = true
		}
	}
	threads := max(1, runtime.GOMAXPROCS(0)/o.Workers)
	for _, name := range threadVariables {
		if !have[name] {
			env = append(env, fmt.Sprintf("%s=%d", name, threads))
		}
	}
	return env
}

func isAllowed(name string) bool {
	for _, a := range allowed {
		if name == a {
			return true
		}
	}
	for _, p := range allowedPrefixes {
		if strings.HasPrefix(name, p) {
			return !strings.Contains(name, "KEY") && !strings.Contains(name, "TOKEN") && !strings.Contains(name, "SECRET") && !strings.Contains(name, "PASSWORD")
		}
	}
	return false
}
