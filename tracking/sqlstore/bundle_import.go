package sqlstore

import (
	"context"
	"strconv"

	"sluice/tracking"
	"sluice/tracking/bundle"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqlbundle"
	"sluice/tracking/sqldb"
)

// maxKeptID is the highest id that an imported experiment keeps: databases count on from the highest, and their columns end at 2³¹.
const maxKeptID = 1<<31 - 1<<20

// Schema returns the Alembic revision of MLflow's tables.
func (s *Store) Schema() string { return s.db.Revision() }

// PlanBundle finds what an import of c would meet; more, if not nil, finds more of it at the same commit.
func (s *Store) PlanBundle(ctx context.Context, c *bundle.Contents, more func(ctx context.Context, q sqldb.Querier, p *bundle.Plan) error) (*bundle.Plan, error) {
	p := bundle.NewPlan(c)
	err := s.db.ReadTx(ctx, func(q sqldb.Querier) error {
		if err := s.planBundle(ctx, q, "", c, p); err != nil || more == nil {
			return err
		}
		return more(ctx, q, p)
	})
	return p, err
}

func (s *Store) planBundle(ctx context.Context, q sqldb.Querier, lock string, c *bundle.Contents, p *bundle.Plan) error {
	for _, known := range []struct {
		class         bundle.Class
		table, column string
	}{{bundle.ClassRun, "runs", "run_uuid"}, {bundle.ClassModel, "logged_models", "model_id"}, {bundle.ClassTrace, "trace_info", "request_id"}} {
		found, err := sqlbundle.Existing(ctx, q, s.db.Dialect(), known.table, known.column, c.Owners(known.class))
		if err != nil {
			return err
		}
		if err := p.Found(known.class, found); err != nil {
			return err
		}
	}
	experiments := c.Table("experiments")
	for row, err := range c.Rows(experiments) {
		if err != nil {
			return err
		}
		target, err := s.planExperiment(ctx, q, lock, c, experiments, row)
		if err != nil {
			return err
		}
		p.Experiments[row.Int(experiments, "experiment_id")] = target
	}
	return nil
}

// planExperiment finds where an experiment goes: to the one of its name, else to a new one, with its id if that is free.
func (s *Store) planExperiment(ctx context.Context, q sqldb.Querier, lock string, c *bundle.Contents, t *bundle.Table, row bundle.Row) (bundle.Target, error) {
	name, id := row.Text(t, "name"), row.Int(t, "experiment_id")
	is, args := s.db.Dialect().Equal("name", name)
	target := bundle.Target{Exists: true}
	var stage tracking.Lifecycle
	err := q.QueryRowContext(ctx, "SELECT experiment_id, COALESCE(artifact_location, ''), COALESCE(lifecycle_stage, 'active') FROM experiments WHERE "+is+lock, args...).
		Scan(&target.ID, &target.Location, &stage)
	if ok, err := found(err); err != nil {
		return target, err
	} else if ok && stage != tracking.Active {
		return target, mlflow.Errorf(mlflow.InvalidState, "The experiment %s (id %d) is deleted here: restore it, or rename it to make room, and import again.", mlflow.Repr(name), target.ID)
	} else if ok {
		return target, nil
	}
	taken := 0
	if err := q.QueryRowContext(ctx, "SELECT COUNT(*) FROM experiments WHERE experiment_id = ?", min(id, maxKeptID)).Scan(&taken); err != nil {
		return target, err
	}
	target = bundle.Target{ID: id, Location: row.Text(t, "artifact_location")}
	if taken > 0 || id >= maxKeptID || id == 0 {
		target.ID = newExperiment
	}
	if c.Own(bundle.ClassExperiment, strconv.FormatInt(id, 10)) || target.Location == "" {
		target.Location = c.DefaultLocation(strconv.FormatInt(max(target.ID, 0), 10))
		return target, nil
	}
	return target, c.CheckLocation(target.Location)
}

// newExperiment is the id of a Target whose id the database will choose.
const newExperiment = -1

// ImportBundle writes the rows of c that are tracking's in one transaction and calls finish last, inside it; finish may run more than once.
func (s *Store) ImportBundle(ctx context.Context, c *bundle.Contents, finish func(ctx context.Context, tx *sqldb.Tx, p *bundle.Plan) error) (*bundle.Plan, error) {
	var p *bundle.Plan
	err := s.db.WithLargeTx(ctx, func(tx *sqldb.Tx) error {
		p = bundle.NewPlan(c)
		if err := tx.Lock(ctx, "bundle"); err != nil {
			return err
		}
		if err := s.planBundle(ctx, tx, tx.ForShare(), c, p); err != nil {
			return err
		}
		if err := s.importRows(ctx, tx, c, p); err != nil {
			return err
		}
		return finish(ctx, tx, p)
	})
	if sqldb.IsUniqueViolation(err) {
		err = &mlflow.Error{Code: mlflow.ResourceAlreadyExists, Message: "Something in the bundle was made here meanwhile; try again.", Cause: err}
	}
	return p, err
}

// mergeKeys are the keys of tables whose rows may be there already, in an experiment that was.
var mergeKeys = map[string][]string{"experiment_tags": {"key", "experiment_id"}, "datasets": {"experiment_id", "name", "digest"}}

func (s *Store) importRows(ctx context.Context, tx *sqldb.Tx, c *bundle.Contents, p *bundle.Plan) error {
	for _, t := range bundle.Tables() {
		var err error
		switch {
		case t.Registry:
			continue
		case t.Name == "experiments":
			err = s.makeExperiments(ctx, tx, c, p)
		default:
			err = s.importTable(ctx, tx, c, p, t)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) importTable(ctx context.Context, tx *sqldb.Tx, c *bundle.Contents, p *bundle.Plan, t *bundle.Table) error {
	in := sqlbundle.NewInserter(tx, s.db, t, mergeKeys[t.Name])
	return in.Import(ctx, c, p, func(row bundle.Row) (bool, error) {
		if t.Name == "datasets" {
			return true, s.nameDataset(ctx, tx, p, t, row)
		}
		return true, nil
	})
}

// makeExperiments inserts the experiments that are not there and fills in what the plan could not know. Those that keep their id go first, so
// that none is given to another.
func (s *Store) makeExperiments(ctx context.Context, tx *sqldb.Tx, c *bundle.Contents, p *bundle.Plan) error {
	t := c.Table("experiments")
	for _, kept := range []bool{true, false} {
		for row, err := range c.Rows(t) {
			if err != nil {
				return err
			}
			target := p.Experiments[row.Int(t, "experiment_id")]
			if target.Exists || (target.ID != newExperiment) != kept {
				continue
			}
			if target, err = s.makeExperiment(ctx, tx, c, t, row, target); err != nil {
				return err
			}
			p.Experiments[row.Int(t, "experiment_id")] = target
			p.Wrote(t, 1)
		}
	}
	return nil
}

func (s *Store) makeExperiment(ctx context.Context, tx *sqldb.Tx, c *bundle.Contents, t *bundle.Table, row bundle.Row, target bundle.Target) (bundle.Target, error) {
	e := tracking.Experiment{
		Name: row.Text(t, "name"), Lifecycle: tracking.Lifecycle(row.Text(t, "lifecycle_stage")), CreatedMS: row.Int(t, "creation_time"), UpdatedMS: row.Int(t, "last_update_time"),
	}
	if e.Lifecycle == "" {
		e.Lifecycle = tracking.Active
	}
	if target.ID != newExperiment {
		e.ID = strconv.FormatInt(target.ID, 10)
	}
	own := c.Own(bundle.ClassExperiment, strconv.FormatInt(row.Int(t, "experiment_id"), 10)) || row.Text(t, "artifact_location") == ""
	if !own {
		e.ArtifactLocation = target.Location
	}
	id, err := s.insertExperiment(ctx, tx, e, c.DefaultLocation)
	if err != nil {
		return target, err
	}
	target.ID = id
	if own {
		target.Location = c.DefaultLocation(strconv.FormatInt(id, 10))
	}
	return target, nil
}

// nameDataset gives a dataset the id that it has in this experiment, or a new one if another dataset has its id.
func (s *Store) nameDataset(ctx context.Context, tx *sqldb.Tx, p *bundle.Plan, t *bundle.Table, row bundle.Row) error {
	d := s.db.Dialect()
	nameIs, args := d.Equal("name", row.Text(t, "name"))
	digestIs, more := d.Equal("digest", row.Text(t, "digest"))
	args = append(append([]any{row.Int(t, "experiment_id")}, args...), more...)
	source, here := row.Text(t, "dataset_uuid"), ""
	err := tx.QueryRowContext(ctx, "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND "+nameIs+" AND "+digestIs, args...).Scan(&here)
	if ok, err := found(err); err != nil {
		return err
	} else if !ok {
		var taken int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM datasets WHERE dataset_uuid = ?", source).Scan(&taken); err != nil || taken == 0 {
			return err
		}
		here = s.newID()
	}
	p.Dataset(source, here)
	row[t.Column("dataset_uuid")] = here
	return nil
}
