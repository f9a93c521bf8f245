package storetest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"

	"sluice/gateway/drift"
	"sluice/gateway/predlog"
)

// RunDrift checks every promise of drift.Store. New returns an empty store that lives as long as the test.
func RunDrift(t *testing.T, New func(t *testing.T) drift.Store) {
	for name, f := range map[string]func(*testing.T, drift.Store){
		"a state comes back":                driftRoundTrip,
		"changes at once follow each other": driftAtOnce,
		"old states go":                     forgetDrift,
	} {
		t.Run(name, func(t *testing.T) { f(t, New(t)) })
	}
}

// origin is where the baseline of grow's states comes from.
var origin = drift.Origin{Source: drift.FromDataset, From: "runs:/1/é.parquet", Setting: "é.parquet", Notes: []string{"one", "two"}}

// grow adds a row to the baseline and raises the Seq.
func grow(st *drift.State) error {
	if st.Baseline == nil {
		st.Baseline = &drift.Profile{}
	}
	st.Seq++
	st.Baseline.Rows++
	st.Baseline.Column("é").AddNumber(float64(st.Seq))
	st.Baseline.Column("text").AddText("b & c")
	st.Report = drift.Report{Origin: origin, BaselineRows: st.Baseline.Rows, Drifting: []string{"é"}, Columns: []drift.Column{{Name: "é", PSI: 0.5, Drifts: true}}}
	return nil
}

func driftRoundTrip(t *testing.T, s drift.Store) {
	other := predlog.Series{Endpoint: wineSeries.Endpoint, Model: wineSeries.Model, Version: 3}
	for i, series := range []predlog.Series{wineSeries, wineSeries, other} {
		if err := s.Update(t.Context(), series, int64(100+i), grow); err != nil {
			t.Fatal(err)
		}
	}
	broken := errors.New("no")
	if err := s.Update(t.Context(), other, 999, func(st *drift.State) error { st.Seq = 77; return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	err := s.Update(t.Context(), wineSeries, 200, func(st *drift.State) error {
		if c := st.Baseline.Columns["é"]; st.Seq != 2 || st.Baseline.Rows != 2 || c.Numbers() != 2 || c.Mean() != 1.5 || st.Baseline.Columns["text"].Top(1)[0].Count != 2 {
			t.Errorf("got %+v", st.Baseline)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	reports, err := s.Reports(t.Context())
	if err != nil || len(reports) != 2 {
		t.Fatalf("got %+v %v", reports, err)
	}
	for _, r := range reports {
		want := drift.SeriesReport{Series: wineSeries, Seq: 2, UpdatedMS: 200, Report: drift.Report{Origin: origin, BaselineRows: 2, Drifting: []string{"é"}, Columns: []drift.Column{{Name: "é", PSI: 0.5, Drifts: true}}}}
		if r.Version == 3 {
			want.Series, want.Seq, want.UpdatedMS, want.BaselineRows = other, 1, 102, 1
		}
		if !reflect.DeepEqual(r, want) {
			t.Errorf("got %+v, want %+v", r, want)
		}
	}
}

func driftAtOnce(t *testing.T, s drift.Store) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 5 {
				if err := s.Update(t.Context(), wineSeries, 1, grow); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if r, err := s.Reports(t.Context()); err != nil || len(r) != 1 || r[0].Seq != 20 {
		t.Errorf("got %+v %v", r, err)
	}
}

func forgetDrift(t *testing.T, s drift.Store) {
	for i := range 3 {
		series := wineSeries
		series.Version = i
		if err := s.Update(t.Context(), series, int64(i), grow); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Forget(context.WithoutCancel(t.Context()), 2); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Reports(t.Context()); err != nil || len(r) != 1 || r[0].Version != 2 {
		t.Errorf("got %+v %v", r, err)
	}
}
