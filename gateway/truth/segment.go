package truth

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/cespare/xxhash/v2"

	"sluice/gateway"
	"sluice/gateway/payload"
	"sluice/gateway/predictions"
	"sluice/gateway/predlog"
	"sluice/runtime/tensor"
)

// Segments are the stored pieces of the prediction log; *predictions.Reader implements it.
type Segments interface {
	// Segments returns those that may hold records of the query, from the one after the Seq on.
	Segments(ctx context.Context, q predictions.Query, after int64) iter.Seq2[predictions.Segment, error]
	// SegmentRows returns the records of one.
	SegmentRows(ctx context.Context, s predictions.Segment) iter.Seq2[predlog.Row, error]
}

// answers is a segment as far as ground truth is concerned. It is immutable once made.
type answers struct {
	predlog.Series
	ids      [][16]byte
	byID     []int32  // records, sorted by id
	requests []hashed // clients' ids, sorted by hash
	keys     []hashed // keys of rows, sorted by hash; nil if the endpoint has none
	values   []Value  // predictions of all rows
	ends     []int32  // of each record's values
	flags    []uint8  // of each record
	atMS     []int64  // of each record
	texts    map[string]string
}

// hashed is a text's hash and where it stands; two texts of 64 equal bits would be taken for one, once in 10^12 look-ups of a million.
type hashed struct {
	hash        uint64
	record, row int32
}

const (
	flagShadow = 1 << iota
	flagAnswered
)

// match is a prediction that a key names; row is -1 where it names all of them.
type match struct {
	predlog.Series
	id        [16]byte
	row       int
	atMS      int64
	shadow    bool
	predicted []Value // of every row; nil if there is no answer to compare
}

// decode reads the records of a segment.
func decode(series predlog.Series, rows iter.Seq2[predlog.Row, error], s gateway.GroundTruth) (*answers, error) {
	a := &answers{Series: series, texts: map[string]string{}}
	var in payload.Input
	plan := payload.Compile(nil, nil)
	for r, err := range rows {
		if err != nil {
			return nil, err
		}
		a.add(&r, s)
		if s.Key != "" && !r.Truncated && plan.DecodeLogged(r.ContentType, r.Request, &in) == nil {
			a.addKeys(in.Batch.Column(s.Key))
		}
	}
	a.texts = nil
	slices.SortFunc(a.byID, func(x, y int32) int { return bytes.Compare(a.ids[x][:], a.ids[y][:]) })
	byHash := func(x, y hashed) int { return cmp.Compare(x.hash, y.hash) }
	slices.SortFunc(a.requests, byHash)
	slices.SortFunc(a.keys, byHash)
	return a, nil
}

func (a *answers) add(r *predlog.Row, s gateway.GroundTruth) {
	record := int32(len(a.ids))
	a.ids, a.byID, a.atMS = append(a.ids, r.PredictionID), append(a.byID, record), append(a.atMS, r.Time.UnixMilli())
	if r.RequestID != "" {
		a.requests = append(a.requests, hashed{xxhash.Sum64String(r.RequestID), record, AllRows})
	}
	var flags uint8
	if r.Shadow {
		flags |= flagShadow
	}
	if r.Status < 400 && !r.Truncated {
		if values := Answers(r.ResponseContentType, r.Response, s.Output); len(values) > 0 {
			flags |= flagAnswered
			for _, v := range values {
				a.values = append(a.values, a.interned(v))
			}
		}
	}
	a.flags, a.ends = append(a.flags, flags), append(a.ends, int32(len(a.values)))
}

// interned shares the texts of classes.
func (a *answers) interned(v Value) Value {
	if v.Kind != Text {
		return v
	}
	known, ok := a.texts[v.Text]
	if !ok {
		known = v.Text
		a.texts[known] = known
	}
	v.Text = known
	return v
}

// addKeys notes the key of each row of the record that was added last.
func (a *answers) addKeys(column *tensor.Column) {
	if column == nil {
		return
	}
	record := int32(len(a.ids) - 1)
	for row := range column.Tensor.Rows() {
		if text := predictions.KeyText(&column.Tensor, row); text != "" {
			a.keys = append(a.keys, hashed{xxhash.Sum64String(text), record, int32(row)})
		}
	}
}

// predictions are the values of a record; nil if it has no answer.
func (a *answers) predictions(record int32) []Value {
	if a.flags[record]&flagAnswered == 0 {
		return nil
	}
	from := int32(0)
	if record > 0 {
		from = a.ends[record-1]
	}
	return a.values[from:a.ends[record]]
}

func (a *answers) match(record, row int32) match {
	return match{
		Series: a.Series, id: a.ids[record], row: int(row), atMS: a.atMS[record], shadow: a.flags[record]&flagShadow != 0,
		predicted: a.predictions(record),
	}
}

// find appends what the key names.
func (a *answers) find(k lookup, to []match) []match {
	switch k.Kind {
	case ByPrediction:
		i, found := slices.BinarySearchFunc(a.byID, k.id, func(record int32, id [16]byte) int { return bytes.Compare(a.ids[record][:], id[:]) })
		if found {
			to = append(to, a.match(a.byID[i], AllRows))
		}
		return to
	case ByRequest:
		return a.findHashed(a.requests, k, to)
	}
	return a.findHashed(a.keys, k, to)
}

func (a *answers) findHashed(in []hashed, k lookup, to []match) []match {
	i, _ := slices.BinarySearchFunc(in, k.hash, func(h hashed, hash uint64) int { return cmp.Compare(h.hash, hash) })
	for ; i < len(in) && in[i].hash == k.hash; i++ {
		if at := a.atMS[in[i].record]; at >= k.from.UnixMilli() && at <= k.to.UnixMilli() {
			to = append(to, a.match(in[i].record, in[i].row))
		}
	}
	return to
}

// size is about the memory that the answers hold, in bytes.
func (a *answers) size() int {
	const value, perRecord = 40, 16 + 4 + 4 + 1 + 8
	return perRecord*len(a.ids) + 16*(len(a.requests)+len(a.keys)) + value*len(a.values)
}
