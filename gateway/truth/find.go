package truth

import (
	"container/list"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"sluice/gateway"
	"sluice/gateway/predictions"
)

// lookup is a key and the times between which its prediction may have been made.
type lookup struct {
	Key
	id       [16]byte // of ByPrediction
	hash     uint64   // of the others
	from, to time.Time
}

// idSlack is how far the time in an id may be from the record's: it is cut to ms.
const idSlack = time.Second

// newLookup looks for the key's predictions: at the time in its id, or back to from.
func newLookup(k Key, from, now time.Time) lookup {
	l := lookup{Key: k, from: from, to: now.Add(idSlack)}
	if k.Kind != ByPrediction {
		l.hash = xxhash.Sum64String(k.Text)
		return l
	}
	id, at, _ := predictionTime(k.Text) // was checked
	l.id, l.from, l.to = id, at.Add(-idSlack), at.Add(idSlack)
	return l
}

// finder looks predictions up in segments, of which it keeps decoded what it used last. It decodes one at a time, so that many callers cost no more memory than one.
type finder struct {
	segments Segments
	maxBytes int

	mu    sync.Mutex
	bytes int        // of all that is kept
	order *list.List // of *kept, the one used last in front
	known map[cacheKey]*list.Element
}

type cacheKey struct{ segment, output, key string }

type kept struct {
	key     cacheKey
	answers *answers
}

func newFinder(s Segments, maxBytes int) *finder {
	return &finder{segments: s, maxBytes: maxBytes, order: list.New(), known: map[cacheKey]*list.Element{}}
}

// find returns the predictions of each key. An error says that not everything was looked through; what was found until then is returned.
func (f *finder) find(ctx context.Context, endpoint string, s gateway.GroundTruth, keys []lookup) (map[Key][]match, error) {
	found := map[Key][]match{}
	for _, some := range together(keys) {
		q := predictions.Query{Endpoint: endpoint, From: some[0].from, To: some[0].to}
		for _, k := range some {
			if k.to.After(q.To) {
				q.To = k.to
			}
			if k.Kind == ByRequest {
				q.AnyClientID = append(q.AnyClientID, k.Text)
			}
		}
		if err := f.look(ctx, q, s, some, found); err != nil {
			return found, err
		}
	}
	return found, nil
}

// look adds the predictions of keys, which are looked for together, to found.
func (f *finder) look(ctx context.Context, q predictions.Query, s gateway.GroundTruth, keys []lookup, found map[Key][]match) error {
	for segment, err := range f.segments.Segments(ctx, q, 0) {
		if err != nil {
			return fmt.Errorf("segments of endpoint %s: %w", q.Endpoint, err)
		}
		var a *answers
		for _, k := range keys {
			if k.to.Before(segment.First) || k.from.After(segment.Last) || k.Kind == ByPrediction && len(found[k.Key]) > 0 {
				continue
			}
			if a == nil {
				if a, err = f.read(ctx, segment, s); err != nil {
					return err
				}
			}
			if m := a.find(k, nil); len(m) > 0 {
				found[k.Key] = append(found[k.Key], m...)
			}
		}
	}
	return nil
}

// apart is the time between two ids that are not looked for together.
const apart = time.Minute

// together divides the keys into groups that ask for the same segments: ids by time, clients' ids, keys.
func together(keys []lookup) [][]lookup {
	sorted := slices.Clone(keys)
	slices.SortStableFunc(sorted, func(x, y lookup) int {
		if c := strings.Compare(string(x.Kind), string(y.Kind)); c != 0 {
			return c
		}
		return x.from.Compare(y.from)
	})
	seen := map[Key]bool{}
	var out [][]lookup
	var end time.Time
	for _, k := range sorted {
		if seen[k.Key] { // several items may be about rows of one prediction
			continue
		}
		seen[k.Key] = true
		if n := len(out); n == 0 || out[n-1][0].Kind != k.Kind || k.Kind == ByPrediction && k.from.After(end) {
			out, end = append(out, nil), time.Time{}
		}
		out[len(out)-1] = append(out[len(out)-1], k)
		if until := k.to.Add(apart); until.After(end) {
			end = until
		}
	}
	return out
}

// read returns a segment's answers, kept or decoded.
func (f *finder) read(ctx context.Context, segment predictions.Segment, s gateway.GroundTruth) (*answers, error) {
	key := cacheKey{segment.ID, s.Output, s.Key}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.known[key]; e != nil {
		f.order.MoveToFront(e)
		return e.Value.(*kept).answers, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a, err := decode(segment.Series, f.segments.SegmentRows(ctx, segment), s)
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w", segment.ID, err)
	}
	f.known[key] = f.order.PushFront(&kept{key, a})
	f.bytes += a.size()
	for f.bytes > f.maxBytes && f.order.Len() > 1 {
		last := f.order.Back()
		old := f.order.Remove(last).(*kept)
		delete(f.known, old.key)
		f.bytes -= old.answers.size()
	}
	return a, nil
}
