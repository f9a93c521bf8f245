package monitor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/gateway/predlog"
	"sluice/tracking"
)

// reconcile makes the runs equal to what Routed told: those routed are RUNNING and carry stage and arm, the others FINISHED. Before the
// first word of Routed it does nothing. The caller holds mu.
func (m *Monitor) reconcile(ctx context.Context) error {
	wanted, told := m.target()
	if !told {
		return nil
	}
	wanted = perSeries(wanted)
	rollouts, err := m.rollouts(ctx)
	routed := make(map[predlog.Series]bool, len(wanted))
	errs := []error{err}
	for _, w := range wanted {
		routed[w.series()] = true
		errs = append(errs, m.healed(w.series(), func() error { return m.serve(ctx, w, rollouts[w.series()]) }))
	}
	if !m.swept {
		err := m.sweep(ctx, routed)
		m.swept = err == nil
		errs = append(errs, err)
	}
	for s, r := range m.runs {
		if routed[s] || unrouted(s) {
			continue
		}
		if err := m.finish(ctx, r.id, r.status); err != nil && !gone(err) {
			errs = append(errs, err)
			continue
		}
		delete(m.runs, s) // its records may still arrive: it is then found again, finished
	}
	return errors.Join(errs...)
}

// perSeries joins the arms through which one endpoint serves one version: a run has one stage tag and one arm tag, their values are joined
// by commas in the order told.
func perSeries(all []Served) []Served {
	var out []Served
	at := map[predlog.Series]int{}
	for _, w := range all {
		i, ok := at[w.series()]
		if !ok {
			at[w.series()] = len(out)
			out = append(out, w)
			continue
		}
		out[i].Stage, out[i].Arm = joined(out[i].Stage, w.Stage), joined(out[i].Arm, w.Arm)
	}
	return out
}

// joined adds a word to a list of words, unless it is there or empty.
func joined(list, word string) string {
	switch {
	case word == "" || slices.Contains(strings.Split(list, ","), word):
		return list
	case list == "":
		return word
	}
	return list + "," + word
}

// healed calls write, and once more with the run looked up anew if tracking says that it is not there. The caller holds mu.
func (m *Monitor) healed(s predlog.Series, write func() error) error {
	err := write()
	if gone(err) {
		m.drop(s)
		err = write()
	}
	return err
}

// rollouts are the ids of the rollouts that act now, by the version that takes over.
func (m *Monitor) rollouts(ctx context.Context) (map[predlog.Series]string, error) {
	if m.src.Rollouts == nil {
		return nil, nil
	}
	found, err := m.src.Rollouts(ctx)
	if err != nil {
		return nil, fmt.Errorf("rollouts of serving runs: %w", err)
	}
	return found, nil
}

// serve makes the run of a routed version RUNNING, with its stage and arm, and the rollout that brings it, if there is one.
func (m *Monitor) serve(ctx context.Context, w Served, rollout string) error {
	r, err := m.ensure(ctx, w.series())
	if err != nil {
		return err
	}
	if r.status != tracking.Running {
		if _, err := m.src.Tracking.UpdateRun(ctx, r.id, tracking.RunUpdate{Status: tracking.Running}); err != nil {
			return fmt.Errorf("resume serving run %s: %w", r.id, err)
		}
		r.status = tracking.Running
	}
	if rollout == "" {
		rollout = r.rollout // that ended
	}
	if r.stage == w.Stage && r.arm == w.Arm && r.rollout == rollout {
		return nil
	}
	tags := []tracking.Tag{{Key: TagStage, Value: w.Stage}, {Key: TagArm, Value: w.Arm}}
	if r.rollout != rollout {
		tags = append(tags, tracking.Tag{Key: TagRollout, Value: rollout})
	}
	if err := m.src.Tracking.LogBatch(ctx, r.id, tracking.Batch{Tags: tags}); err != nil {
		return fmt.Errorf("tag serving run %s: %w", r.id, err)
	}
	r.stage, r.arm, r.rollout = w.Stage, w.Arm, rollout
	return nil
}

// finish ends a run unless it has ended.
func (m *Monitor) finish(ctx context.Context, id string, status tracking.RunStatus) error {
	if status != tracking.Running {
		return nil
	}
	end := m.opts.Now().UnixMilli()
	if _, err := m.src.Tracking.UpdateRun(ctx, id, tracking.RunUpdate{Status: tracking.Finished, EndTimeMS: &end}); err != nil {
		return fmt.Errorf("finish serving run %s: %w", id, err)
	}
	return nil
}

// sweep finishes the runs that an earlier life left RUNNING and that nobody routes to now.
func (m *Monitor) sweep(ctx context.Context, routed map[predlog.Series]bool) error {
	experiments, err := servingExperiments(ctx, m.src.Tracking)
	if err != nil || len(experiments) == 0 {
		return err
	}
	// All are found before the first is finished: finishing changes what the pages hold.
	var stale []tracking.Run
	q := tracking.RunQuery{
		ExperimentIDs: experiments, MaxResults: runPage,
		Filter: fmt.Sprintf("tags.`%s` = 'true' AND attributes.status = 'RUNNING'", TagServing),
	}
	for {
		page, err := m.src.Tracking.SearchRuns(ctx, q)
		if err != nil {
			return fmt.Errorf("search serving runs: %w", err)
		}
		for _, r := range page.Runs {
			s, ok := seriesOf(r)
			if ok && !unrouted(s) && !routed[s] && m.runs[s] == nil {
				stale = append(stale, r)
			}
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			break
		}
	}
	var errs []error
	for _, r := range stale {
		errs = append(errs, m.finish(ctx, r.Info.ID, r.Info.Status))
	}
	return errors.Join(errs...)
}

// servingExperiments returns the ids of the experiments that hold serving runs.
func servingExperiments(ctx context.Context, t Experiments) ([]string, error) {
	var ids []string
	q := tracking.ExperimentQuery{Filter: "name LIKE '" + experimentStart + "%'", MaxResults: runPage}
	for {
		page, err := t.SearchExperiments(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("search serving experiments: %w", err)
		}
		for _, e := range page.Experiments {
			ids = append(ids, e.ID)
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			return ids, nil
		}
	}
}

// seriesOf reads whose serving run it is.
func seriesOf(r tracking.Run) (predlog.Series, bool) {
	version, err := strconv.Atoi(tag(r, TagVersion))
	return predlog.Series{Endpoint: tag(r, TagEndpoint), Model: tag(r, TagModel), Version: version}, err == nil
}
