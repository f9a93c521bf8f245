package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"sluice/tracking/mlflow"
)

const mlflowVersion = mlflow.Version

// Config is every setting of `sluice serve`, after flags, environment and file were merged. The flags' help says unit and default.
type Config struct {
	ConfigFile string
	DataDir    string

	Host               string
	Port               int
	GRPCPort           int
	grpcPortSet        bool // --grpc-port was asked for, by flag, environment or file
	TLSCert, TLSKey    string
	AllowedHosts       []string
	CORSAllowedOrigins []string
	InsecureNoAuth     bool

	BackendStoreURI      string
	ArtifactsDestination string
	DefaultArtifactRoot  string
	ArtifactFolders      []string
	VersionSourceRegex   string
	SQLiteSynchronous    string

	WebhookSecretKey      string
	WebhookAllowedSchemes []string
	WebhookAllowPrivate   bool

	CacheDir string
	ORTLib   string

	DefaultEndpoint string
	MaxBodyBytes    int64
	RequestTimeout  time.Duration
	MaxQueueDelay   time.Duration
	MaxInFlight     int
	ShutdownGrace   time.Duration
	ModelCacheBytes int64
	ModelMemory     int64

	OnDemandVersions int
	OnDemandIdle     time.Duration

	Python       PythonConfig
	Environments EnvironmentConfig
	Conversion   ConversionConfig
	Quality      QualityConfig
	Rehearsal    RehearsalConfig
	Retention    RetentionConfig
	Spool        SpoolConfig
	Cache        CacheConfig

	Batching       string
	RequestMetrics bool
	ServerTiming   bool

	PredictionLog         bool
	PredictionLogMaxBytes int64
	PredictionLogBodyMax  int
	ServingMetricsEvery   time.Duration
	LogLevel, LogFormat   string

	Demo bool
}

// bind declares the flags. Names are `mlflow server`'s where it has them.
func (c *Config) bind(f *pflag.FlagSet) {
	f.StringVar(&c.ConfigFile, "config", "", "YAML file with settings, flag names as keys (also SLUICE_CONFIG)")
	f.StringVar(&c.DataDir, "data-dir", "./sluice-data", "directory of everything that is kept locally")
	f.StringVar(&c.Host, "host", "127.0.0.1", "address to listen on; one that is not loopback needs a key (sluice keys create)")
	f.IntVar(&c.Port, "port", 5000, "port to listen on; 0 picks a free one")
	f.IntVar(&c.GRPCPort, "grpc-port", defaultGRPCPort, "port of the Open Inference Protocol over gRPC; 0: none. If the default is taken the server starts without, and says so; another port that is taken is an error")
	f.StringVar(&c.TLSCert, "tls-cert", "", "PEM file with the server's certificate chain; with --tls-key serves HTTPS")
	f.StringVar(&c.TLSKey, "tls-key", "", "PEM file with the certificate's private key")
	f.StringSliceVar(&c.AllowedHosts, "allowed-hosts", nil, "Host headers to accept besides localhost, private addresses and --host")
	f.StringSliceVar(&c.CORSAllowedOrigins, "cors-allowed-origins", nil, "origins of web pages that may call the API")
	f.BoolVar(&c.InsecureNoAuth, "insecure-no-auth", false, "listen on a non-loopback address although no key exists")
	f.StringVar(&c.BackendStoreURI, "backend-store-uri", "", "tracking and registry database: sqlite:///path, postgresql://… or mysql://… (default: sluice.db in --data-dir)")
	f.StringVar(&c.ArtifactsDestination, "artifacts-destination", "", "where proxied artifacts are kept (default: artifacts in --data-dir)")
	f.StringVar(&c.DefaultArtifactRoot, "default-artifact-root", "mlflow-artifacts:/", "artifact root of new experiments")
	f.StringSliceVar(&c.ArtifactFolders, "artifact-folders", nil, "further local folders that artifact locations in the database may name, for one taken over from mlflow server")
	f.StringVar(&c.VersionSourceRegex, "model-version-source-regex", "", "regular expression that the source of every new model version has to match")
	f.StringVar(&c.SQLiteSynchronous, "sqlite-synchronous", "full", "SQLite durability: full, or normal (an operating system crash may lose the last commits)")
	f.StringVar(&c.WebhookSecretKey, "webhook-secret-key", "", "Fernet key that encrypts webhook secrets, better set as SLUICE_WEBHOOK_SECRET_KEY (also MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY; default: webhook.key in --data-dir)")
	f.StringSliceVar(&c.WebhookAllowedSchemes, "webhook-allowed-schemes", []string{"https"}, "URL schemes of webhooks: https, http")
	f.BoolVar(&c.WebhookAllowPrivate, "webhook-allow-private", false, "let webhooks call addresses that are not public, this machine's own included")
	f.StringVar(&c.CacheDir, "cache-dir", "", "where `sluice setup` keeps ONNX Runtime and the web UI (default: the user's cache directory)")
	f.StringVar(&c.ORTLib, "ort-lib", "", "ONNX Runtime shared library, 1.24 or newer (also ORT_LIB; default: what `sluice setup` fetched)")
	f.StringVar(&c.DefaultEndpoint, "default-endpoint", "", "endpoint that answers /invocations without X-Sluice-Endpoint (default: the only one)")
	f.Int64Var(&c.MaxBodyBytes, "max-body-bytes", 64<<20, "largest request body in bytes, decompressed too; artifact uploads are streamed and not bounded by it")
	f.DurationVar(&c.RequestTimeout, "request-timeout", 60*time.Second, "deadline of a prediction unless X-Sluice-Timeout-Ms lowers it")
	f.DurationVar(&c.MaxQueueDelay, "max-queue-delay", 100*time.Millisecond, "how long predictions of a model may have to wait before further ones are turned away with 429; 128 at once are never turned away for it; 0: never")
	f.IntVar(&c.MaxInFlight, "max-in-flight", 4096, "prediction requests under way, of all models, before further ones are turned away with 429 (of class batch from a half on, shadow from a quarter on)")
	f.DurationVar(&c.ShutdownGrace, "shutdown-grace", 20*time.Second, "time to finish requests and flush the prediction log after SIGTERM")
	f.Int64Var(&c.ModelCacheBytes, "model-cache-bytes", 10<<30, "bytes of downloaded model versions to keep on disk")
	f.Int64Var(&c.ModelMemory, "model-memory-bytes", 0, "estimated memory of the loaded model versions; beyond it the ones not asked for lately are loaded again on demand (default: half of the machine's or the container's)")
	f.IntVar(&c.OnDemandVersions, "on-demand-versions", 16, "model versions without a route that are kept loaded because /models/NAME/versions/N/invocations asked for them, within --model-memory-bytes; 0: only routed versions answer")
	f.DurationVar(&c.OnDemandIdle, "on-demand-idle", 5*time.Minute, "how long nobody must ask for such a version until it is let go")
	c.Python.bind(f)
	c.Environments.bind(f)
	c.Conversion.bind(f)
	c.Quality.bind(f)
	c.Rehearsal.bind(f)
	c.Retention.bind(f)
	c.Spool.bind(f)
	c.Cache.bind(f)
	f.StringVar(&c.Batching, "batching", "auto", "auto joins concurrent predictions of a model where a measurement at load time says that it pays; off never does")
	f.BoolVar(&c.RequestMetrics, "request-metrics", true, "count requests, errors and latencies by endpoint and version, for /metrics and the serving runs")
	f.BoolVar(&c.ServerTiming, "server-timing", true, "tell in the header Server-Timing of every prediction how long it waited, was executed and took in all")
	f.BoolVar(&c.PredictionLog, "prediction-log", true, "write every prediction into tracking")
	f.Int64Var(&c.PredictionLogMaxBytes, "prediction-log-max-bytes", 4<<30, "bytes of undelivered prediction log on disk before records are dropped and counted")
	f.IntVar(&c.PredictionLogBodyMax, "prediction-log-body-bytes", 64<<10, "longest request or response body kept in the prediction log; the rest is cut and flagged")
	f.DurationVar(&c.ServingMetricsEvery, "serving-metrics-interval", 10*time.Second, "how often serving runs get metrics and prediction segments")
	f.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&c.LogFormat, "log-format", "text", "text or json")
	f.BoolVar(&c.Demo, "demo", false, "fill an empty store with two versions of an example model, 90 % Production and 10 % Staging")
}

// resolve fills the defaults that depend on others and refuses what cannot be honoured.
func (c *Config) resolve(environ []string) error {
	if c.BackendStoreURI == "" {
		c.BackendStoreURI = "sqlite:///" + filepath.Join(c.DataDir, "sluice.db")
	}
	if c.ArtifactsDestination == "" {
		c.ArtifactsDestination = filepath.Join(c.DataDir, "artifacts")
	}
	if c.WebhookSecretKey == "" {
		c.WebhookSecretKey = lookup(environ, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY")
	}
	if c.ORTLib == "" {
		c.ORTLib = lookup(environ, "ORT_LIB")
	}
	if c.ModelMemory == 0 {
		c.ModelMemory = machineMemory() / 2
	}
	if c.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("no user cache directory (%w): set --cache-dir", err)
		}
		c.CacheDir = filepath.Join(dir, "sluice")
	}
	for _, dir := range []*string{&c.DataDir, &c.CacheDir} { // models are loaded and converted by processes that work elsewhere
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	return errors.Join(
		inRange("port", float64(c.Port), 0, 65535),
		inRange("grpc-port", float64(c.GRPCPort), 0, 65535),
		inRange("max-body-bytes", float64(c.MaxBodyBytes), 1, 1<<40),
		inRange("model-cache-bytes", float64(c.ModelCacheBytes), 1, 1<<50),
		inRange("model-memory-bytes", float64(c.ModelMemory), 0, 1<<50),
		inRange("prediction-log-body-bytes", float64(c.PredictionLogBodyMax), 0, 16<<20),
		inRange("prediction-log-max-bytes", float64(c.PredictionLogMaxBytes), 1<<20, 1<<50),
		atLeast("request-timeout", c.RequestTimeout, time.Millisecond),
		atLeast("max-queue-delay", c.MaxQueueDelay, 0),
		inRange("on-demand-versions", float64(c.OnDemandVersions), 0, 256),
		atLeast("on-demand-idle", c.OnDemandIdle, time.Second),
		inRange("max-in-flight", float64(c.MaxInFlight), 1, maxConnections),
		atLeast("shutdown-grace", c.ShutdownGrace, 0),
		atLeast("serving-metrics-interval", c.ServingMetricsEvery, 100*time.Millisecond),
		oneOf("batching", c.Batching, "auto", "off"),
		oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error"),
		oneOf("log-format", c.LogFormat, "text", "json"),
		oneOf("sqlite-synchronous", c.SQLiteSynchronous, "full", "normal"),
		c.checkTLS(),
		c.Python.check(),
		c.Environments.check(c.CacheDir),
		c.Conversion.check(),
		c.Quality.check(),
		c.Rehearsal.check(),
		c.Retention.check(),
		c.Spool.check(),
		c.Cache.check(),
		isRegex("model-version-source-regex", c.VersionSourceRegex),
	)
}

// defaultGRPCPort is what the servers of the Open Inference Protocol commonly use.
const defaultGRPCPort = 8001

func (c *Config) checkTLS() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	return nil
}

func (c *Config) address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

func inRange(flag string, v, least, most float64) error {
	if v >= least && v <= most {
		return nil
	}
	return fmt.Errorf("--%s must be between %v and %v, got %v", flag, least, most, v)
}

func atLeast(flag string, v, least time.Duration) error {
	if v >= least {
		return nil
	}
	return fmt.Errorf("--%s must be at least %v, got %v", flag, least, v)
}

func isRegex(flag, v string) error {
	if _, err := regexp.Compile(v); err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	return nil
}

func oneOf(flag, v string, allowed ...string) error {
	for _, a := range allowed {
		if v == a {
			return nil
		}
	}
	return fmt.Errorf("--%s must be one of %v, got %q", flag, allowed, v)
}
