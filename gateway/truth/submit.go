package truth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"sluice/gateway"
	"sluice/tracking/mlflow"
)

// Submit takes items for the predictions of an endpoint and says what became of each, in order. What was answered is stored. Returns
// RESOURCE_DOES_NOT_EXIST for an unknown endpoint, INVALID_PARAMETER_VALUE for more than MaxItems, and RESOURCE_EXHAUSTED if there is no
// room left; then nothing of the call is stored.
func (s *Service) Submit(ctx context.Context, endpoint string, items []Item) ([]Result, error) {
	settings, err := s.deps.Settings(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	if len(items) > MaxItems {
		return nil, mlflow.Invalidf("%d items are more than %d", len(items), MaxItems)
	}
	if s.labels() >= uint64(s.opts.MaxLabels) {
		return nil, mlflow.Errorf(mlflow.ResourceExhausted, "%d labels are kept already; older ones make room after %s", s.opts.MaxLabels, s.opts.Retention)
	}
	now := s.opts.Now()
	b := newBatch(endpoint, settings, now)
	for i := range items {
		b.add(items[i], now.Add(-lookback(settings)))
	}
	b.found, err = s.find.find(ctx, endpoint, settings, b.lookups)
	if err != nil && ctx.Err() == nil { // what was not found waits, and is looked for again
		s.opts.Log.Warn("ground truth could not be looked up completely; trying again", slog.String("endpoint", endpoint), slog.Any("error", err))
	}
	b.complete = err == nil
	b.resolve(s.opts)
	return b.results, s.store(ctx, b)
}

func lookback(g gateway.GroundTruth) time.Duration {
	if g.Lookback > 0 {
		return g.Lookback
	}
	return gateway.DefaultTruthLookback
}

// batch is a number of items on their way.
type batch struct {
	endpoint string
	settings gateway.GroundTruth
	now      time.Time
	items    []Item
	arrived  []int64 // ms, of each item
	results  []Result
	lookups  []lookup
	found    map[Key][]match
	complete bool // everything was looked through

	labels []Label
	owners []int // the items of labels
	wait   []int // items whose prediction is not known yet
}

func newBatch(endpoint string, s gateway.GroundTruth, now time.Time) *batch {
	return &batch{endpoint: endpoint, settings: s, now: now}
}

// add takes an item that comes now; its prediction is looked for back to from.
func (b *batch) add(item Item, from time.Time) { b.addWaiting(item, b.now.UnixMilli(), from) }

func (b *batch) addWaiting(item Item, arrivedMS int64, from time.Time) {
	var r Result
	if err := item.check(); err != nil {
		r = Result{Outcome: Invalid, Reason: err.Error()}
	} else if item.Key.Kind == ByKey && b.settings.Key == "" {
		r = Result{Outcome: Invalid, Reason: "the endpoint's ground_truth.key names no column"}
	} else {
		b.lookups = append(b.lookups, newLookup(item.Key, from, b.now))
	}
	b.items, b.arrived, b.results = append(b.items, item), append(b.arrived, arrivedMS), append(b.results, r)
}

// resolve decides about every item; those that are joined become labels, of which the store has the last word.
func (b *batch) resolve(o Options) {
	for i := range b.items {
		if b.results[i].Outcome == "" {
			b.results[i] = b.decide(i, o)
		}
	}
}

func (b *batch) decide(i int, o Options) Result {
	item := &b.items[i]
	matches := b.found[item.Key]
	given := 0
	var main match
	for _, m := range matches {
		if !m.shadow || len(matches) == 1 {
			given++
			main = m
		}
	}
	switch {
	case given == 0:
		return b.missing(i, o)
	case given > 1:
		return Result{Outcome: Ambiguous, Reason: fmt.Sprintf("%d predictions have this %s", given, item.Key.Kind)}
	}
	r := Result{Outcome: Joined, PredictionID: uuid.UUID(main.id).String(), Model: main.Model, Version: main.Version}
	if main.atMS < b.now.Add(-o.Retention).UnixMilli() {
		r.Outcome, r.Reason = TooLate, fmt.Sprintf("the prediction is older than %s", o.Retention)
		return r
	}
	labels, outcome, err := b.label(item, main)
	if err != nil {
		r.Outcome, r.Reason = outcome, err.Error()
		return r
	}
	for _, m := range matches { // copies that answer something else are not the client's concern
		if more, _, err := b.label(item, m); m.shadow && m.id != main.id && err == nil {
			labels = append(labels, more...)
		}
	}
	for range labels {
		b.owners = append(b.owners, i)
	}
	b.labels = append(b.labels, labels...)
	return r
}

// missing decides about an item without a prediction.
func (b *batch) missing(i int, o Options) Result {
	oldest := b.now.Add(-o.Wait)
	arrived := time.UnixMilli(b.arrived[i])
	if k := b.items[i].Key; k.Kind == ByPrediction {
		_, at, _ := predictionTime(k.Text)
		if at.Before(b.now.Add(-o.Retention)) {
			return Result{Outcome: TooLate, Reason: fmt.Sprintf("the prediction is older than %s", o.Retention)}
		}
		if b.complete && at.Before(oldest) {
			return Result{Outcome: Unknown, Reason: "no prediction of this endpoint has this id"}
		}
	}
	if b.complete && arrived.Before(oldest) {
		return Result{Outcome: Unknown, Reason: fmt.Sprintf("no prediction has come within %s", o.Wait)}
	}
	b.wait = append(b.wait, i)
	return Result{Outcome: Pending}
}

// label makes the labels of an item for a prediction; outcome says what an error means.
func (b *batch) label(item *Item, m match) (out []Label, outcome Outcome, err error) {
	if m.predicted == nil {
		return nil, WithoutPrediction, errors.New("the request failed, or its answer cannot be read from the log")
	}
	row := item.Row
	if m.row >= 0 {
		if row > 0 || row == AllRows && len(item.Values) > 1 {
			return nil, Invalid, errors.New("a key names one row: it takes one value and no row")
		}
		row = m.row
	}
	if row == AllRows && len(item.Values) != len(m.predicted) {
		return nil, Invalid, fmt.Errorf("the prediction has %d rows, the ground truth %d values: send one for each row, or one with row", len(m.predicted), len(item.Values))
	}
	if row >= len(m.predicted) || row >= 0 && len(item.Values) != 1 {
		return nil, Invalid, fmt.Errorf("the prediction has no row %d, or the item not one value for it", row)
	}
	first := max(row, 0)
	for n, raw := range item.Values {
		actual, _ := ParseValue(raw) // was checked
		predicted := m.predicted[first+n]
		if predicted.Kind == None {
			return nil, WithoutPrediction, fmt.Errorf("row %d has no output %q", first+n, b.settings.Output)
		}
		j, err := Judge(b.settings, predicted, actual)
		if err != nil {
			return nil, Invalid, err
		}
		out = append(out, Label{Series: m.Series, PredictionID: m.id, Row: first + n, Value: actual, PredictedMS: m.atMS, Judgement: j})
	}
	return out, Joined, nil
}

// settled takes over what the store found: an item is joined if one of its labels is new, unless another is conflicting.
func (b *batch) settled(standings []Standing) {
	fresh := map[int]bool{}
	for n, s := range standings {
		i := b.owners[n]
		r := &b.results[i]
		if uuid.UUID(b.labels[n].PredictionID).String() != r.PredictionID { // a shadow's
			continue
		}
		switch {
		case s == Fresh:
			fresh[i] = true
			if r.Outcome == Duplicate {
				r.Outcome = Joined
			}
		case s == Same && r.Outcome == Joined && !fresh[i]:
			r.Outcome = Duplicate
		case s == Other:
			r.Outcome, r.Reason = Conflicting, "another value is there already"
		}
	}
}

// store writes labels and waiting items.
func (s *Service) store(ctx context.Context, b *batch) error {
	if len(b.wait) > 0 {
		waiting := make([]Waiting, len(b.wait))
		for n, i := range b.wait {
			waiting[n] = Waiting{Endpoint: b.endpoint, Item: b.items[i], ArrivedMS: b.arrived[i], SeenMS: b.seenMS()}
		}
		standings, err := s.deps.Store.Defer(ctx, waiting, s.opts.MaxWaiting)
		if err != nil {
			return err
		}
		for n, i := range b.wait {
			if standings[n] == Other {
				b.results[i] = Result{Outcome: Conflicting, Reason: "another value waits for the prediction already"}
			}
		}
	}
	if err := s.settle(ctx, b); err != nil {
		return err
	}
	s.count(b)
	s.Poke()
	return nil
}

func (s *Service) settle(ctx context.Context, b *batch) error {
	if len(b.labels) == 0 {
		return nil
	}
	standings, err := s.deps.Store.Settle(ctx, b.labels, b.now.UnixMilli())
	if err != nil {
		return err
	}
	b.settled(standings)
	return nil
}

// seenMS is until when predictions were looked through.
func (b *batch) seenMS() int64 {
	if b.complete {
		return b.now.UnixMilli()
	}
	return 0
}
