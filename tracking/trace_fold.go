package tracking

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"sluice/tracking/mlflow"
	"sluice/tracking/pyjson"
)

// Fold changes the head of a trace by what the spans of the batch tell: times, state, previews, tokens, cost, session, user and
// tags (source: log_spans in mlflow/store/tracking/sqlalchemy_store.py, MLflow 3.17). fresh says that the trace did not exist
// before; t then holds its ids alone. What the trace's client said wins over what spans tell. stored are the trace's other
// spans; they count only if Counts says so.
func (b SpanBatch) Fold(t *TraceInfo, fresh bool, stored []Span) {
	if fresh {
		b.begin(t)
	}
	finalized := t.Metadata[TraceFinalizedKey] != "" && (b.Counts() || b.session() != "")
	if !finalized {
		b.foldTimes(t)
	}
	root, hasRoot := b.root()
	if hasRoot && (t.State == TraceInProgress || t.State == TraceStateUnspecified) {
		t.State = stateOf(root)
	}
	if hasRoot {
		setIfEmpty(&t.RequestPreview, preview(lastRoot(b.Spans).Attribute(SpanInputsKey), "user"))
		setIfEmpty(&t.ResponsePreview, preview(lastRoot(b.Spans).Attribute(SpanOutputsKey), "assistant"))
	}
	all := b.Spans
	if !fresh {
		all = append(append([]Span(nil), b.Spans...), others(stored, b.Spans)...)
	}
	b.foldSum(t, SpanTokensKey, TraceTokensKey, finalized, func() string { return sumTokens(all) })
	b.foldSum(t, SpanCostKey, TraceCostKey, finalized, func() string { return sumCost(all) })
	b.foldNames(t)
	b.foldTags(t)
}

// Counts says whether the batch tells of tokens or cost, whose sum for the trace needs all its spans.
func (b SpanBatch) Counts() bool {
	return hasSum(b.Spans, SpanTokensKey) || hasSum(b.Spans, SpanCostKey)
}

// begin fills the head of a trace that only its spans tell of.
func (b SpanBatch) begin(t *TraceInfo) {
	t.RequestTimeMS, t.State = math.MaxInt64, TraceInProgress
	t.Tags = map[string]string{TraceArtifactTag: b.ArtifactLocation}
	t.Metadata = map[string]string{}
}

func (b SpanBatch) foldTimes(t *TraceInfo) {
	start, end := b.Spans[0].StartNS, int64(0)
	for _, s := range b.Spans {
		start, end = min(start, s.StartNS), max(end, s.EndNS)
	}
	before := t.RequestTimeMS
	t.RequestTimeMS = min(before, start/1e6)
	if end == 0 {
		return
	}
	last := end / 1e6
	if t.DurationMS != nil {
		last = max(last, before+*t.DurationMS)
	}
	duration := last - t.RequestTimeMS
	t.DurationMS = &duration
}

// foldSum writes the sum of an attribute over the trace's spans, unless its client said another.
func (b SpanBatch) foldSum(t *TraceInfo, attribute, key string, finalized bool, sum func() string) {
	if !hasSum(b.Spans, attribute) || finalized && t.Metadata[key] != "" {
		return
	}
	if text := sum(); text != "" {
		t.Metadata[key] = text
	}
}

// foldNames writes session and user, if nobody has yet.
func (b SpanBatch) foldNames(t *TraceInfo) {
	if session := b.session(); session != "" && t.Metadata[TraceSessionKey] == "" {
		t.Metadata[TraceSessionKey] = session
	}
	if t.Metadata[TraceUserKey] != "" {
		return
	}
	for _, s := range b.Spans {
		if user := s.Text("user.id"); user != "" {
			t.Metadata[TraceUserKey] = user
			return
		}
	}
}

func (b SpanBatch) session() string {
	for _, s := range b.Spans {
		for _, key := range []string{"session.id", "gen_ai.conversation.id"} {
			if session := s.Text(key); session != "" {
				return mlflow.Truncate(session, MaxTraceValue)
			}
		}
	}
	return ""
}

// foldTags writes tags from the resource and, over them, from the roots; what can't be a tag is left out, as in MLflow.
func (b SpanBatch) foldTags(t *TraceInfo) {
	t.Tags[SpansLocationTag] = SpansInStore
	for _, a := range b.Resource {
		if !strings.HasPrefix(a.Key, "mlflow.") && !strings.HasPrefix(a.Key, "telemetry.sdk.") {
			setSpanTag(t, a.Key, a.Value)
		}
	}
	for _, s := range b.Spans {
		for _, a := range s.Attributes {
			if key, ok := strings.CutPrefix(a.Key, spanTraceTag); ok && s.ParentID == "" && !serverTag(key) {
				setSpanTag(t, key, a.Value)
			}
		}
	}
}

// serverTag says whether a tag is the server's own, so that no span can move a trace's payload.
func serverTag(key string) bool {
	return key == SpansLocationTag || key == TraceArtifactTag || key == ArchiveLocationTag || key == ArchivalFailureTag
}

func setSpanTag(t *TraceInfo, key, value string) {
	tag, err := fitTraceTag(Tag{Key: key, Value: Span{Attributes: []SpanAttribute{{Key: key, Value: value}}}.Text(key)})
	if err == nil {
		t.Tags[tag.Key] = tag.Value
	}
}

// root returns the first root of the batch.
func (b SpanBatch) root() (Span, bool) {
	for _, s := range b.Spans {
		if s.ParentID == "" {
			return s, true
		}
	}
	return Span{}, false
}

func lastRoot(spans []Span) Span {
	var last Span
	for _, s := range spans {
		if s.ParentID == "" {
			last = s
		}
	}
	return last
}

// stateOf maps the outcome of a root; a root that never said counts as well ended.
func stateOf(root Span) TraceState {
	if root.Status == SpanError {
		return TraceError
	}
	return TraceOK
}

// others returns the spans of stored that are not replaced by spans of the batch.
func others(stored, batch []Span) []Span {
	replaced := make(map[string]bool, len(batch))
	for _, s := range batch {
		replaced[s.ID] = true
	}
	var out []Span
	for _, s := range stored {
		if !replaced[s.ID] {
			out = append(out, s)
		}
	}
	return out
}

func setIfEmpty(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// numbers returns the numbers of an attribute that is a JSON object; nil if it is none.
func numbers(s Span, attribute string) map[string]json.Number {
	raw := s.Attribute(attribute)
	if raw == "" {
		return nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(raw), &object) != nil && json.Unmarshal([]byte(s.Text(attribute)), &object) != nil || object == nil {
		return nil
	}
	out := make(map[string]json.Number, len(object))
	for key, value := range object {
		var n json.Number
		if json.Unmarshal(value, &n) == nil && len(value) > 0 && value[0] != '"' {
			out[key] = n
		}
	}
	return out
}

func hasSum(spans []Span, attribute string) bool {
	for _, s := range spans {
		if numbers(s, attribute) != nil {
			return true
		}
	}
	return false
}

// counted calls add for each span that has the attribute and no ancestor with it: instruments that set sums on parents would
// count twice otherwise. Spans in a ring of parents are reached by none and count nothing.
func counted(spans []Span, attribute string, add func(map[string]json.Number)) {
	known := make(map[string]bool, len(spans))
	for _, s := range spans {
		known[s.ID] = true
	}
	children := map[string][]Span{}
	var open []Span
	for _, s := range spans {
		if s.ParentID != "" && known[s.ParentID] {
			children[s.ParentID] = append(children[s.ParentID], s)
		} else {
			open = append(open, s)
		}
	}
	for len(open) > 0 {
		s := open[len(open)-1]
		open = open[:len(open)-1]
		if n := numbers(s, attribute); n != nil {
			add(n)
			continue
		}
		open = append(open, children[s.ID]...)
	}
}

// sumTokens returns the JSON of the trace's tokens, "" if no span tells.
func sumTokens(spans []Span) string {
	sums, some := map[string]int64{}, false
	counted(spans, SpanTokensKey, func(n map[string]json.Number) {
		some = true
		for _, key := range TokenKeys {
			if v, err := n[key].Int64(); err == nil {
				sums[key] += v
			}
		}
	})
	if !some {
		return ""
	}
	var b []byte
	for i, key := range TokenKeys {
		if v, ok := sums[key]; ok || i < 3 {
			b = appendMember(b, key)
			b = strconv.AppendInt(b, v, 10)
		}
	}
	return "{" + string(b) + "}"
}

// sumCost returns the JSON of the trace's cost in US dollars, "" if no span tells.
func sumCost(spans []Span) string {
	sums, some := map[string]float64{}, false
	counted(spans, SpanCostKey, func(n map[string]json.Number) {
		some = true
		for _, key := range CostKeys {
			if v, err := n[key].Float64(); err == nil {
				sums[key] += v
			}
		}
	})
	if !some {
		return ""
	}
	var b []byte
	for _, key := range CostKeys {
		b = pyjson.AppendFloat(appendMember(b, key), sums[key])
	}
	return "{" + string(b) + "}"
}

func appendMember(b []byte, key string) []byte {
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	return append(pyjson.AppendText(b, key), ": "...)
}
