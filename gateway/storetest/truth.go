package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"sluice/gateway/predlog"
	"sluice/gateway/truth"
	"sluice/tracking/mlflow"
)

// RunTruth checks every promise of truth.Store. New returns an empty store that lives as long as the test.
func RunTruth(t *testing.T, New func(t *testing.T) truth.Store) {
	for name, f := range map[string]func(*testing.T, truth.Store){
		"labels are stored once and counted once": settleOnce,
		"tallies are by hour":                     talliesByHour,
		"of many writers each label has one":      settleAtOnce,
		"items wait in order":                     waitingOrder,
		"waiting items are bounded":               waitingBound,
		"old labels go":                           expireLabels,
	} {
		t.Run(name, func(t *testing.T) { f(t, New(t)) })
	}
}

var wineSeries = predlog.Series{Endpoint: "bread & wine", Model: "Wein", Version: 2}

func label(n byte, value, predicted float64) truth.Label {
	return truth.Label{
		Series: wineSeries, PredictionID: [16]byte{1, 2, n}, Value: truth.Value{Kind: truth.Number, Number: value}, PredictedMS: 10,
		Judgement: truth.Judgement{Measured: true, Error: predicted - value},
	}
}

const hourMS = 3_600_000

func settle(t *testing.T, s truth.Store, nowMS int64, labels ...truth.Label) []truth.Standing {
	t.Helper()
	got, err := s.Settle(t.Context(), labels, nowMS)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func tallies(t *testing.T, s truth.Store, fromMS int64) []truth.SeriesTally {
	t.Helper()
	got, err := s.Tallies(t.Context(), fromMS)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantStandings(t *testing.T, got []truth.Standing, want ...truth.Standing) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func settleOnce(t *testing.T, s truth.Store) {
	wantStandings(t, settle(t, s, hourMS, label(1, 2, 3), label(2, 5, 5), label(1, 2, 3), label(1, 4, 3)), truth.Fresh, truth.Fresh, truth.Same, truth.Other)
	wantStandings(t, settle(t, s, hourMS, label(2, 5, 5), label(2, 6, 5)), truth.Same, truth.Other)
	second := label(2, 5, 5)
	second.Row = 1
	wantStandings(t, settle(t, s, hourMS, second), truth.Fresh)
	got := tallies(t, s, 0)
	if len(got) != 1 || got[0].Series != wineSeries || got[0].Labels != 3 || got[0].Measured != 3 || got[0].AbsError != 1 {
		t.Errorf("got %+v", got)
	}
}

func talliesByHour(t *testing.T, s truth.Store) {
	class := label(3, 0, 0)
	class.Version, class.Judgement = 10, truth.Judgement{Judged: true, Wrong: true, Actual: "é", Predicted: "b"}
	settle(t, s, 5*hourMS+1, label(1, 2, 3))
	settle(t, s, 6*hourMS, label(2, 2, 4), class)
	if got := tallies(t, s, 6*hourMS+hourMS/2); len(got) != 2 || got[0].Labels != 1 || got[0].AbsError != 2 || got[1].Version != 10 || got[1].Wrong != 1 || got[1].Classes["é"]["b"] != 1 {
		t.Errorf("got %+v", got)
	}
	if got := tallies(t, s, 0); len(got) != 2 || got[0].Labels != 2 || got[0].AbsError != 3 {
		t.Errorf("got %+v", got)
	}
}

func settleAtOnce(t *testing.T, s truth.Store) {
	var mu sync.Mutex
	fresh := 0
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for n := range byte(10) {
				got, err := s.Settle(t.Context(), []truth.Label{label(n, 1, 2)}, hourMS)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if got[0] == truth.Fresh {
					fresh++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if got := tallies(t, s, 0); fresh != 10 || len(got) != 1 || got[0].Labels != 10 {
		t.Errorf("%d labels are fresh, counted %+v", fresh, got)
	}
}

func waitingItem(key string, row int, value string, arrivedMS int64) truth.Waiting {
	return truth.Waiting{Endpoint: "bread & wine", ArrivedMS: arrivedMS, SeenMS: 7, Item: truth.Item{
		Key: truth.Key{Kind: truth.ByRequest, Text: key}, Row: row, Values: []json.RawMessage{json.RawMessage(value)},
	}}
}

func waitingOrder(t *testing.T, s truth.Store) {
	var items []truth.Waiting
	for i := range 7 {
		items = append(items, waitingItem(fmt.Sprintf("Ö-%d", i), 0, `1`, int64(10-i/2)))
	}
	got, err := s.Defer(t.Context(), append(items, waitingItem("Ö-1", 0, `1.0`, 99), waitingItem("Ö-1", 0, `2`, 99), waitingItem("Ö-1", 1, `2`, 99), waitingItem("ö-1", 0, `2`, 99)), 100)
	if err != nil {
		t.Fatal(err)
	}
	wantStandings(t, got[7:], truth.Same, truth.Other, truth.Fresh, truth.Fresh)
	if err := s.Seen(t.Context(), items[:2], 55); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget(t.Context(), append(items[2:4:4], waitingItem("nobody", 0, `1`, 0))); err != nil {
		t.Fatal(err)
	}
	var cursor truth.WaitingCursor
	var all []truth.Waiting
	for {
		page, next, err := s.Waiting(t.Context(), cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		all, cursor = append(all, page...), next
	}
	seen := map[string]int64{}
	for i, w := range all {
		if i > 0 && w.ArrivedMS < all[i-1].ArrivedMS {
			t.Errorf("%+v comes behind %+v", w, all[i-1])
		}
		seen[fmt.Sprint(w.Key.Text, " ", w.Row, " ", string(w.Values[0]))] = w.SeenMS
	}
	if want := map[string]int64{"Ö-0 0 1": 55, "Ö-1 0 1": 55, "Ö-4 0 1": 7, "Ö-5 0 1": 7, "Ö-6 0 1": 7, "Ö-1 1 2": 7, "ö-1 0 2": 7}; !reflect.DeepEqual(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

func waitingBound(t *testing.T, s truth.Store) {
	if _, err := s.Defer(t.Context(), []truth.Waiting{waitingItem("a", 0, `1`, 1), waitingItem("b", 0, `1`, 1)}, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Defer(t.Context(), []truth.Waiting{waitingItem("a", 0, `1`, 1)}, 2); err != nil {
		t.Errorf("what waits already: %v", err)
	}
	_, err := s.Defer(t.Context(), []truth.Waiting{waitingItem("c", 0, `1`, 1)}, 2)
	if mlflow.CodeOf(err) != mlflow.ResourceExhausted {
		t.Errorf("got %v", err)
	}
	if page, _, err := s.Waiting(t.Context(), truth.WaitingCursor{}, 10); err != nil || len(page) != 2 {
		t.Errorf("got %v %v", page, err)
	}
}

func expireLabels(t *testing.T, s truth.Store) {
	for n := range byte(10) {
		settle(t, s, int64(n)*hourMS, label(n, 1, 2))
	}
	rounds := 0
	for more := true; more; rounds++ {
		var err error
		if more, err = s.Expire(t.Context(), 8*hourMS, 3); err != nil {
			t.Fatal(err)
		}
		if rounds > 5 {
			t.Fatal("it does not end")
		}
	}
	if got := tallies(t, s, 0); len(got) != 1 || got[0].Labels != 2 {
		t.Errorf("got %+v", got)
	}
	wantStandings(t, settle(t, s, 9*hourMS, label(7, 1, 2), label(8, 1, 2)), truth.Fresh, truth.Same)
}
