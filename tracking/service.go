package tracking

import (
	"time"

	"sluice/tracking/mlflow"
)

// Options are the settings of a Service; nil and the zero value work.
type Options struct {
	// ArtifactRoot is the URI below which experiments without a location of their own keep artifacts; default
	// "mlflow-artifacts:/" (the server's own artifact proxy).
	ArtifactRoot string
	// WorkDir is the absolute folder against which relative local paths are resolved; default "/".
	WorkDir string
	// HostSchemes are URI schemes, such as "sftp", whose hosts clients may choose freely in artifact locations. By default a
	// location that names a host must name the artifact root's own (MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES).
	HostSchemes []string
	// RefuseLongValues makes param and tag values beyond the limit an error; by default they are cut, as MLflow's server does
	// (MLFLOW_TRUNCATE_LONG_VALUES).
	RefuseLongValues bool
	// TraceWait is how long a reader of a whole trace waits for spans that are still under way; default 3 s, negative not at all.
	TraceWait time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
	// NewID makes 32 random hexadecimal digits; default a version 4 UUID.
	NewID func() string
	// NewSortedID makes 32 hexadecimal digits that sort as they are made, for what is listed as it came; default NewID if that is
	// given, else a version 7 UUID.
	NewSortedID func() string
	// NewName makes a name for a run or logged model that came without one; default adjective-noun-number.
	NewName func() string
}

// Service is tracking's rules in front of a Store. Its methods return *mlflow.Error for everything that a client did wrong.
type Service struct {
	store Store
	opts  Options
}

// New returns a Service on store, which stays the caller's to close. Returns INVALID_PARAMETER_VALUE for an artifact root that
// no artifact location may have.
func New(store Store, opts *Options) (*Service, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.ArtifactRoot == "" {
		o.ArtifactRoot = "mlflow-artifacts:/"
	}
	if o.WorkDir == "" {
		o.WorkDir = "/"
	}
	if o.TraceWait == 0 {
		o.TraceWait = 3 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewSortedID == nil {
		o.NewSortedID = o.NewID
	}
	if o.NewSortedID == nil {
		o.NewSortedID = newSortedID
	}
	if o.NewID == nil {
		o.NewID = newID
	}
	if o.NewName == nil {
		o.NewName = newName
	}
	root, err := resolveLocation(o.ArtifactRoot, o.WorkDir)
	if err != nil {
		return nil, mlflow.Invalidf("Invalid default artifact root '%s': %s", o.ArtifactRoot, clientText(err))
	}
	o.ArtifactRoot = root
	return &Service{store: store, opts: o}, nil
}

func (s *Service) nowMS() int64 { return s.opts.Now().UnixMilli() }
