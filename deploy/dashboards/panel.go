package main

// dashboard is one page: variables on top, then rows of panels.
type dashboard struct {
	UID, Title, Description string
	Variables               []variable
	Rows                    []row
}

// row is a titled group of panels.
type row struct {
	Title  string
	Panels []panel
}

// panel shows some queries in one unit.
type panel struct {
	Title       string
	Description string
	Unit        string // of Grafana: short, s, bytes, percentunit, reqps …
	Kind        kind   // default: lines
	Queries     []query
	Width       int      // of 24 columns; default: 8, of a number: 4
	Stack       bool     // lines are stacked
	Share       bool     // the axis ends at 1
	Signed      bool     // values may be below 0
	Levels      []level  // colour numbers and states; between lines they are dashed ones
	States      []string // texts of the values 0, 1, 2 …
}

// kind is how a panel shows its values.
type kind int

const (
	lines kind = iota
	number
	heat
	states
)

// level colours values from it on.
type level struct {
	From  float64
	Color string
}

// query is one PromQL expression with the text of its legend.
type query struct {
	Expr, Legend string
	Exemplars    bool // traced requests are shown as points
	Buckets      bool // the answer is a histogram's buckets
}

// bad colours a number red from the limit on.
func bad(from float64) []level {
	return []level{{0, "green"}, {from, "red"}}
}

// warnThenBad colours a number orange, then red.
func warnThenBad(warn, red float64) []level {
	return []level{{0, "green"}, {warn, "orange"}, {red, "red"}}
}
