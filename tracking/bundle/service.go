package bundle

import (
	"context"
	"iter"
	"time"

	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
)

// Selection says what to export.
type Selection struct {
	Kind Kind
	// ID is a run's id, an experiment's id or name, or a registered model's name.
	ID string
}

// Emit takes a row; it is the caller's again when Emit returns.
type Emit func(t *Table, row Row) error

// Store is where rows come from and go to.
type Store interface {
	// Schema returns the Alembic revision of MLflow's tables.
	Schema() string
	// Export calls emit for every row of what sel names, once each, tables in any order, and returns the id by which it is known.
	// Returns RESOURCE_DOES_NOT_EXIST.
	Export(ctx context.Context, sel Selection, emit Emit) (id string, err error)
	// Plan says what an import of c would meet now. Returns RESOURCE_ALREADY_EXISTS for what is there, unless c.SkipExisting, and
	// INVALID_STATE for an experiment that is deleted.
	Plan(ctx context.Context, c *Contents) (*Plan, error)
	// Import writes the rows of c in one transaction, whose last step is finish: if that fails nothing is written. finish may run more
	// than once. It plans again inside, so that nothing comes between.
	Import(ctx context.Context, c *Contents, finish func(ctx context.Context, p *Plan) error) (*Plan, error)
}

// Limits bound a bundle; zero values mean the defaults.
type Limits struct {
	Bytes  int64 // of all entries, decompressed; default 1 TiB
	Rows   int64 // default 200 million
	Row    int   // bytes of one row; default 64 MiB
	Owners int   // runs, logged models, traces …; default 1 million
	Files  int64 // default 1 million
}

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 1 << 40
	}
	if l.Rows <= 0 {
		l.Rows = 200_000_000
	}
	if l.Row <= 0 {
		l.Row = 64 << 20
	}
	if l.Owners <= 0 {
		l.Owners = 1_000_000
	}
	if l.Files <= 0 {
		l.Files = 1_000_000
	}
	return l
}

// Options are the settings of a Service; Locations is required.
type Options struct {
	// Locations are the rules for artifact locations; *tracking.Service has them.
	Locations Locations
	// TempDir is where rows wait for their turn, at most as long as a call runs; "" means the system's.
	TempDir string
	Limits  Limits
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Locations are the rules for artifact locations.
type Locations interface {
	DefaultLocation(experimentID string) string
	CheckLocation(uri string) error
}

// Service exports and imports.
type Service struct {
	store     Store
	artifacts *artifact.Resolver
	opts      Options
	tables    []*Table
	importing chan struct{} // holds one token while no import runs
	exporting chan struct{} // holds a token for each export that runs
}

// maxExports is how many bundles are gathered or written at once; each holds its rows on the disk.
const maxExports = 8

// New returns a Service.
func New(store Store, artifacts *artifact.Resolver, opts Options) *Service {
	opts.Limits = opts.Limits.withDefaults()
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Service{store, artifacts, opts, Tables(), make(chan struct{}, 1), make(chan struct{}, maxExports)}
	s.importing <- struct{}{}
	return s
}

// Contents are the rows of a bundle that was read and checked.
type Contents struct {
	Manifest Manifest
	// SkipExisting leaves alone what is there already.
	SkipExisting bool
	NowMS        int64 // the time of the import, Unix milliseconds

	tables  map[string]*Table
	spools  map[string]*spool
	owners  map[Class][]string
	has     map[Owner]bool
	inputs  map[string]Owner // input_uuid → the run
	roots   []Root
	byURI   map[string]int64
	byOwner map[Owner]int64
	// experimentOf holds the experiment of runs, logged models and traces, and of each experiment itself.
	experimentOf map[Owner]int64
	locations    Locations
	maxRow       int
}

// Owners returns the ids of a class, in the bundle's order.
func (c *Contents) Owners(class Class) []string { return c.owners[class] }

// Table returns a table by its name.
func (c *Contents) Table(name string) *Table { return c.tables[name] }

// Own says whether the artifacts of an owner lay in the source's own storage.
func (c *Contents) Own(class Class, id string) bool {
	_, ok := c.byOwner[Owner{class, id}]
	return ok
}

// CheckLocation is Locations.CheckLocation for a URI that is kept as it is.
func (c *Contents) CheckLocation(uri string) error { return c.locations.CheckLocation(uri) }

// DefaultLocation is Locations.DefaultLocation.
func (c *Contents) DefaultLocation(id string) string { return c.locations.DefaultLocation(id) }

// Rows returns the rows of a table, in the bundle's order. It may be called again.
func (c *Contents) Rows(t *Table) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		s := c.spools[t.Name]
		if s == nil {
			return
		}
		r, err := s.read()
		if err == nil {
			stopped := false
			err = lines(r, c.maxRow, func(line []byte) error {
				row, err := parseRow(t, line)
				if stopped = !yield(row, err); stopped {
					return errStop
				}
				return nil
			})
			if stopped {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

const errStop = syntax("stopped")

func (c *Contents) close() {
	for _, s := range c.spools {
		_ = s.close() // it has no name: there is nothing to lose
	}
}

// Report is what an import did.
type Report struct {
	Kind Kind
	ID   string
	Rows map[string]int64 // written, by table
	// Files and Bytes are of the artifacts that were stored.
	Files, Bytes int64
	// Experiments maps ids at the source to ids here; Made are those that the import made.
	Experiments map[string]string
	Made        []string
	// Skipped are what was there and left alone, at most 1000; SkippedAll counts all.
	Skipped    []Owner
	SkippedAll int
	Foreign    int64 // locations whose files are not in the bundle
}

func tooLarge(what string, most int64) error {
	return mlflow.Invalidf("The bundle has more than %d %s.", most, what)
}
