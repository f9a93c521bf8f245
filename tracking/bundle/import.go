package bundle

import (
	"context"
	"errors"
	"io"

	"sluice/tracking/artifact"
)

// Import reads a bundle and writes it, all or nothing; imports take turns. Returns INVALID_PARAMETER_VALUE for a bundle that is broken or
// beyond the limits, RESOURCE_ALREADY_EXISTS for what is there already unless skipExisting, and the errors of src as they are.
func (s *Service) Import(ctx context.Context, src io.Reader, skipExisting bool) (Report, error) {
	select {
	case <-s.importing:
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	defer func() { s.importing <- struct{}{} }()
	c := s.contents(skipExisting)
	defer c.close()
	in := &incoming{service: s, c: c, batch: artifact.NewBatch()}
	report, err := in.run(ctx, src)
	return report, errors.Join(err, in.batch.Discard(context.WithoutCancel(ctx)))
}

func (s *Service) contents(skipExisting bool) *Contents {
	c := &Contents{
		SkipExisting: skipExisting, NowMS: s.opts.Now().UnixMilli(), tables: map[string]*Table{}, spools: map[string]*spool{}, owners: map[Class][]string{},
		has: map[Owner]bool{}, inputs: map[string]Owner{}, byURI: map[string]int64{}, byOwner: map[Owner]int64{}, experimentOf: map[Owner]int64{},
		locations: s.opts.Locations, maxRow: s.opts.Limits.Row,
	}
	for _, t := range s.tables {
		c.tables[t.Name] = t
	}
	return c
}

// incoming is one import.
type incoming struct {
	service *Service
	c       *Contents
	plan    *Plan
	batch   *artifact.Batch
	files   []incomingFile
	bytes   int64
}

type incomingFile struct {
	root   int64
	path   string
	staged artifact.Staged
}

func (in *incoming) run(ctx context.Context, src io.Reader) (Report, error) {
	planned := func() (err error) {
		in.plan, err = in.service.store.Plan(ctx, in.c)
		return err
	}
	take := func(root int64, path string, r io.Reader) error { return in.take(ctx, root, path, r) }
	if err := in.service.read(ctx, src, in.c, planned, take); err != nil {
		return Report{}, err
	}
	placed := false
	plan, err := in.service.store.Import(ctx, in.c, func(ctx context.Context, p *Plan) error {
		if placed {
			return nil // the transaction had to run again
		}
		placed = true
		return in.place(ctx, p)
	})
	if err != nil {
		return Report{}, err
	}
	in.batch.Commit()
	report := plan.report()
	report.Files, report.Bytes = int64(len(in.files)), in.bytes
	return report, nil
}

// take stores a file where clients can't see it, in the storage that it will belong to.
func (in *incoming) take(ctx context.Context, root int64, path string, r io.Reader) error {
	if in.plan.Skips(root) {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	repo, err := in.repo(in.plan, root)
	if err != nil {
		return err
	}
	staged, err := in.batch.Stage(ctx, repo, r)
	if err != nil {
		return err
	}
	in.bytes += staged.Bytes
	in.files = append(in.files, incomingFile{root, path, staged})
	return nil
}

func (in *incoming) repo(p *Plan, root int64) (*artifact.Repo, error) {
	uri, err := p.URI(root)
	if err != nil {
		return nil, err
	}
	return in.service.artifacts.Resolve(uri)
}

// place moves the files to where the rows say that they are.
func (in *incoming) place(ctx context.Context, p *Plan) error {
	var repo *artifact.Repo
	last := int64(-1)
	for _, f := range in.files {
		if f.root != last {
			var err error
			if repo, err = in.repo(p, f.root); err != nil {
				return err
			}
			last = f.root
		}
		if err := in.batch.Add(f.staged, repo, f.path); err != nil {
			return err
		}
	}
	return in.batch.Place(ctx)
}
