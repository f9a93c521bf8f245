package truth

import (
	"context"
	"slices"
	"strings"

	"sluice/gateway/predlog"
)

// Report is the quality of one version at one endpoint.
type Report struct {
	predlog.Series
	// Window is about the labels that came in the last Options.Window, Total about all that are kept.
	Window, Total Quality
}

// refresh reads the tallies.
func (s *Service) refresh(ctx context.Context) error {
	now := s.opts.Now()
	total, err := s.deps.Store.Tallies(ctx, 0)
	if err != nil {
		return err
	}
	window, err := s.deps.Store.Tallies(ctx, now.Add(-s.opts.Window).UnixMilli())
	if err != nil {
		return err
	}
	b := &board{total: map[predlog.Series]Tally{}, window: map[predlog.Series]Tally{}, atMS: now.UnixMilli()}
	for _, t := range total {
		b.total[t.Series] = t.Tally
		b.labels += t.Labels
	}
	for _, t := range window {
		b.window[t.Series] = t.Tally
	}
	s.board.Store(b)
	return nil
}

func (s *Service) labels() uint64 { return s.board.Load().labels }

// Quality returns the numbers of every version of the endpoint that has labels, or of all endpoints for "", sorted by series; at most Options.Interval old.
func (s *Service) Quality(endpoint string) []Report {
	b := s.board.Load()
	var out []Report
	for series, total := range b.total {
		if endpoint != "" && series.Endpoint != endpoint {
			continue
		}
		window := b.window[series]
		out = append(out, Report{Series: series, Window: window.Quality(), Total: total.Quality()})
	}
	slices.SortFunc(out, func(x, y Report) int { return compareSeries(x.Series, y.Series) })
	return out
}

func compareSeries(x, y predlog.Series) int {
	if c := strings.Compare(x.Endpoint, y.Endpoint); c != 0 {
		return c
	}
	if c := strings.Compare(x.Model, y.Model); c != 0 {
		return c
	}
	return x.Version - y.Version
}

// Judged counts the labels of a version at an endpoint that were right or wrong, and those that were wrong. Both only rise, but for labels
// past the retention.
func (s *Service) Judged(endpoint, model string, version int) (judged, wrong uint64) {
	t := s.board.Load().total[predlog.Series{Endpoint: endpoint, Model: model, Version: version}]
	return t.Judged, t.Wrong
}
