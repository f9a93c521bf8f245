package drift

import (
	"fmt"
	"slices"
	"strings"

	"sluice/gateway"
)

// State is everything that is kept of one version at one endpoint. It is stored as it is encoded: fields are added, never renamed.
type State struct {
	// Seq is the last segment of the index that is in it.
	Seq      int64    `json:"seq"`
	Baseline *Profile `json:"baseline,omitempty"`
	// BaselineMS is when the last row of the baseline's window began; Complete says that the baseline takes no more rows.
	BaselineMS int64 `json:"baseline_ms,omitempty"`
	Complete   bool  `json:"complete,omitempty"`
	// Window is the window that rows fall into now.
	Window *Piece `json:"window,omitempty"`
	Report Report `json:"report"`
}

// Report is what the last comparison says.
type Report struct {
	Origin
	BaselineRows     uint64 `json:"baseline_rows"`
	BaselineComplete bool   `json:"baseline_complete"`
	// SegmentsLeftOut could not be read, for as long as it was tried: their rows are in no window.
	SegmentsLeftOut int `json:"segments_left_out,omitempty"`
	// WindowStartMS, WindowEndMS and WindowRows are of the window that was compared last, WindowRows 0 before the first.
	WindowStartMS int64  `json:"window_start_ms,omitempty"`
	WindowEndMS   int64  `json:"window_end_ms,omitempty"`
	WindowRows    uint64 `json:"window_rows"`
	// BaselineRecords and WindowRecords are how many requests the rows came in; 0 where it is not known.
	BaselineRecords uint64 `json:"baseline_records,omitempty"`
	WindowRecords   uint64 `json:"window_records,omitempty"`
	// Drifting are the columns past a limit, sorted.
	Drifting []string `json:"drifting,omitempty"`
	Columns  []Column `json:"columns,omitempty"` // sorted by name
	LeftOut  int      `json:"columns_left_out,omitempty"`
}

// Column is the comparison of one column.
type Column struct {
	Name     string  `json:"name"`
	PSI      float64 `json:"psi"`
	KS       float64 `json:"ks"`
	Drifts   bool    `json:"drifts"`
	Baseline Summary `json:"baseline"`
	Window   Summary `json:"window"`
}

// Summary is a column in a few numbers.
type Summary struct {
	Count    uint64      `json:"count"`
	Missing  uint64      `json:"missing"`
	Distinct uint64      `json:"distinct"` // about
	Mean     *float64    `json:"mean,omitempty"`
	P05      *float64    `json:"p05,omitempty"`
	P50      *float64    `json:"p50,omitempty"`
	P95      *float64    `json:"p95,omitempty"`
	Top      []Frequency `json:"top,omitempty"`
}

const topTexts = 5 // of a Summary

// summary is the column in a few numbers.
func (s *Sketch) summary() Summary {
	out := Summary{Count: s.Count(), Missing: s.Missing, Distinct: s.Distinct(), Top: s.Top(topTexts)}
	if s.Numbers() > 0 {
		mean, low, mid, high := s.Mean(), s.Quantile(0.05), s.Quantile(0.5), s.Quantile(0.95)
		out.Mean, out.P05, out.P50, out.P95 = &mean, &low, &mid, &high
	}
	return out
}

// Change is an alarm that began or ended.
type Change struct {
	Kind   gateway.EventKind
	Reason string
}

// leaveOut forgets a column of the request.
func (st *State) leaveOut(column string) {
	if st.Baseline != nil {
		st.Baseline.LeaveOut(column)
	}
	if st.Window != nil {
		st.Window.LeaveOut(column)
	}
}

// Add takes the pieces of a segment in and returns the alarms that began or ended. A segment that is in it already changes nothing.
func (st *State) Add(seq int64, pieces []Piece, settings gateway.Drift) ([]Change, error) {
	if seq <= st.Seq {
		return nil, nil
	}
	st.Seq = seq
	settings = settings.WithDefaults()
	var changes []Change
	for i := range pieces {
		took, err := st.learn(&pieces[i], settings)
		if err != nil {
			return changes, err
		}
		if took {
			continue
		}
		if st.Window == nil || st.Window.StartMS < pieces[i].StartMS {
			st.Window = &Piece{StartMS: pieces[i].StartMS}
		}
		// Rows of a window that is over, from another machine or a slow disk, count in the present one.
		if err := st.Window.Merge(&pieces[i].Profile); err != nil {
			return changes, err
		}
		if int64(st.Window.Rows) >= settings.MinRows {
			changes = append(changes, st.compare(settings)...)
		}
	}
	return changes, nil
}

// learn adds the piece to the baseline while that takes rows.
func (st *State) learn(p *Piece, settings gateway.Drift) (took bool, err error) {
	if st.Complete {
		return false, nil
	}
	if st.Baseline == nil {
		st.Baseline = &Profile{}
	}
	err = st.Baseline.Merge(&p.Profile)
	st.BaselineMS = p.StartMS
	st.Complete = int64(st.Baseline.Rows) >= settings.BaselineRows
	st.Report.BaselineRows, st.Report.BaselineComplete = st.Baseline.Rows, st.Complete
	return true, err
}

// compare scores every column of the window that the baseline has.
func (st *State) compare(settings gateway.Drift) []Change {
	before := st.Report.Drifting
	r := Report{
		Origin: st.Report.Origin, SegmentsLeftOut: st.Report.SegmentsLeftOut,
		BaselineRows: st.Baseline.Rows, BaselineComplete: st.Complete, WindowStartMS: st.Window.StartMS,
		WindowEndMS: st.Window.StartMS + settings.Window.Milliseconds(), WindowRows: st.Window.Rows, LeftOut: max(st.Baseline.LeftOut, st.Window.LeftOut),
		BaselineRecords: st.Baseline.Records, WindowRecords: st.Window.Records,
	}
	for _, name := range st.Baseline.names() {
		b, w := st.Baseline.Columns[name], st.Window.Columns[name]
		if w == nil {
			w = NewSketch()
			w.Missing = st.Window.Rows
		}
		score := Compare(b, w)
		c := Column{Name: name, PSI: score.PSI, KS: score.KS, Baseline: b.summary(), Window: w.summary()}
		if c.Drifts = score.PSI > settings.MaxPSI || score.KS > settings.MaxKS; c.Drifts {
			r.Drifting = append(r.Drifting, name)
		}
		r.Columns = append(r.Columns, c)
	}
	st.Report = r
	switch {
	case len(r.Drifting) > 0 && !slices.Equal(before, r.Drifting) && more(before, r.Drifting):
		return []Change{{gateway.EventDriftDetected, r.words()}}
	case len(r.Drifting) == 0 && len(before) > 0:
		return []Change{{gateway.EventDriftEnded, "no column drifts any more; it was " + strings.Join(before, ", ")}}
	}
	return nil
}

// more says whether a column drifts now that did not before.
func more(before, now []string) bool {
	return slices.ContainsFunc(now, func(c string) bool { return !slices.Contains(before, c) })
}

// words says what drifts.
func (r *Report) words() string {
	var out []string
	for _, c := range r.Columns {
		if c.Drifts && len(out) < 10 {
			out = append(out, fmt.Sprintf("%s (PSI %.3g, KS %.3g)", c.Name, c.PSI, c.KS))
		}
	}
	return fmt.Sprintf("%d of %d columns drift in %d rows: %s", len(r.Drifting), len(r.Columns), r.WindowRows, strings.Join(out, ", "))
}
