package drift

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sluice/gateway"
	"sluice/gateway/predlog"
	"sluice/tracking/mlflow"
)

// Source says what rows a baseline is made of.
type Source string

const (
	FromTable       Source = "table"             // a table that a person named: by the endpoint's drift.baseline, or by a tag of the version
	FromDataset     Source = "training_dataset"  // a dataset input of the training run
	FromExample     Source = "input_example"     // the model's own example
	FromPredictions Source = "first_predictions" // the first rows that the version was asked at the endpoint
)

// Origin is where a version's baseline comes from.
type Origin struct {
	Source Source `json:"baseline_source,omitempty"` // "" while that is not known
	From   string `json:"baseline_from,omitempty"`   // the artifact URI or path of the rows
	// Setting is the endpoint's drift.baseline that Source follows.
	Setting string `json:"baseline_setting,omitempty"`
	// Notes say why other sources were not taken.
	Notes []string `json:"baseline_notes,omitempty"`
}

// Given is a baseline that is there before the first prediction.
type Given struct {
	Origin
	// Profile is nil where there is none: the first predictions are the baseline.
	Profile *Profile
	// Failed says why the table that a person named is not it; "" where nobody named one, or it is.
	Failed string
}

// maxSettling bounds the time that baselines may take of one round, and one of them.
const maxSettling = 2 * time.Minute

// settleTries is how often it is tried to find out what a version is compared with.
const settleTries = 6

// maxReason bounds what is told of an error, characters.
const maxReason = 500

// Routed says which versions endpoints serve now, so that baselines are there before requests. It returns at once.
func (s *Service) Routed(series []predlog.Series) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.routed = series
}

// settleRouted finds baselines for the routed versions that have none. What cannot be done now is tried again in the next round.
func (s *Service) settleRouted(ctx context.Context) {
	s.mu.Lock()
	routed := slices.Clone(s.routed)
	s.mu.Unlock()
	deadline := s.opts.Now().Add(maxSettling)
	type asked struct {
		settings gateway.Drift
		ground   gateway.GroundTruth
	}
	endpoints := map[string]*asked{}
	for _, series := range routed {
		if r := s.known(series); r != nil && r.Source != "" || ctx.Err() != nil || s.opts.Now().After(deadline) {
			continue
		}
		e := endpoints[series.Endpoint]
		if e == nil {
			e = new(asked)
			var err error
			if e.settings, e.ground, err = s.deps.Settings(ctx, series.Endpoint); err != nil {
				e.settings.Off = true // gone, or not to be read now
			}
			endpoints[series.Endpoint] = e
		}
		if !e.settings.Off {
			s.settle(ctx, series, e.settings.WithDefaults(), e.ground.Output)
		}
	}
}

// settle finds the baseline of a version and stores it, unless that was done under the same setting. After settleTries the first predictions it is.
// output is the endpoint's ground_truth.output.
func (s *Service) settle(ctx context.Context, series predlog.Series, settings gateway.Drift, output string) {
	if r := s.known(series); r != nil && r.Source != "" && r.Setting == settings.Baseline {
		return
	}
	given, err := s.given(ctx, series, settings, output)
	if err != nil && ctx.Err() == nil {
		s.tries[series]++
		s.opts.Log.Info("no baseline yet", slog.String("endpoint", series.Endpoint), slog.String("model", series.Model), slog.Int("version", series.Version), slog.Any("error", err))
		if s.tries[series] < settleTries {
			return
		}
		given = Given{Failed: mlflow.Truncate(err.Error(), maxReason)}
		given.Notes = []string{given.Failed}
	}
	if ctx.Err() != nil {
		return
	}
	delete(s.tries, series)
	if given.Source == "" {
		given.Source = FromPredictions
	}
	given.Setting = settings.Baseline
	var changed bool
	var seq int64
	var report Report
	err = s.deps.Store.Update(ctx, series, s.opts.Now().UnixMilli(), func(st *State) error {
		changed = st.Settle(given)
		seq, report = st.Seq, st.Report
		return nil
	})
	if err != nil {
		s.opts.Log.Warn("baseline not stored", slog.String("endpoint", series.Endpoint), slog.Any("error", err))
		return
	}
	s.note(series, seq, report)
	if changed {
		s.tell(ctx, series, given.changes())
	}
}

// given asks for the baseline, for maxSettling at most.
func (s *Service) given(ctx context.Context, series predlog.Series, settings gateway.Drift, output string) (Given, error) {
	if s.deps.Baseline == nil || settings.Baseline == gateway.BaselineFirst {
		return Given{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxSettling)
	defer cancel()
	return s.deps.Baseline(ctx, series, settings, output)
}

// changes are what is told of it.
func (g *Given) changes() []Change {
	switch {
	case g.Profile != nil:
		return []Change{{gateway.EventDriftBaseline, fmt.Sprintf("compared with %d rows of the %s %s", g.Profile.Rows, g.Source.words(), g.From)}}
	case g.Failed != "":
		return []Change{{gateway.EventDriftBaselineFailed, "compared with its first predictions: " + g.Failed}}
	}
	return nil
}

func (s Source) words() string {
	switch s {
	case FromDataset:
		return "training dataset"
	case FromExample:
		return "input example"
	}
	return string(s)
}

// Settle makes g the baseline, unless it was settled under the same setting. What was compared with another baseline is forgotten.
func (st *State) Settle(g Given) (changed bool) {
	if st.Report.Source != "" && st.Report.Setting == g.Setting {
		return false
	}
	wasGiven := st.Report.Source != "" && st.Report.Source != FromPredictions
	st.Report.Origin = g.Origin
	switch {
	case g.Profile != nil:
		st.start(g.Profile, true)
	case wasGiven:
		st.start(nil, false)
	}
	return true
}

// start begins anew with this baseline.
func (st *State) start(baseline *Profile, complete bool) {
	st.Baseline, st.BaselineMS, st.Complete, st.Window = baseline, 0, complete, nil
	st.Report = Report{Origin: st.Report.Origin, SegmentsLeftOut: st.Report.SegmentsLeftOut, BaselineComplete: complete}
	if baseline != nil {
		st.Report.BaselineRows = baseline.Rows
	}
}
