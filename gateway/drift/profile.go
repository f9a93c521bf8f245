package drift

import (
	"slices"
	"strings"
)

// MaxColumns bounds the columns of a Profile.
const MaxColumns = 200

// Prediction is the column of the predictions.
const Prediction = "prediction"

// Profile is what is known of rows: a Sketch for each column. It is stored as it is encoded: fields are added, never renamed.
type Profile struct {
	Rows    uint64             `json:"rows"`
	Records uint64             `json:"records,omitempty"` // that the rows came in; 0 if it is not known
	Columns map[string]*Sketch `json:"columns,omitempty"`
	// LeftOut is how many columns were past MaxColumns, at most.
	LeftOut int `json:"left_out,omitempty"`
}

// Column returns the column's sketch, made if need be; nil past MaxColumns.
func (p *Profile) Column(name string) *Sketch {
	s := p.Columns[name]
	if s == nil {
		if len(p.Columns) >= MaxColumns && name != Prediction {
			p.LeftOut++
			return nil
		}
		if p.Columns == nil {
			p.Columns = map[string]*Sketch{}
		}
		s = NewSketch()
		p.Columns[strings.Clone(name)] = s
	}
	return s
}

// Merge takes in what o holds.
func (p *Profile) Merge(o *Profile) error {
	p.Rows += o.Rows
	p.Records += o.Records
	p.LeftOut = max(p.LeftOut, o.LeftOut)
	for _, name := range o.names() {
		if s := p.Column(name); s != nil {
			if err := s.Merge(o.Columns[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// LeaveOut forgets a column of the request; "" is none.
func (p *Profile) LeaveOut(column string) {
	if column != "" {
		delete(p.Columns, columnName(column))
	}
}

// names are the columns in order.
func (p *Profile) names() []string {
	out := make([]string, 0, len(p.Columns))
	for name := range p.Columns {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
