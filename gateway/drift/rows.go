package drift

import (
	"iter"
	"time"

	"sluice/gateway"
	"sluice/gateway/payload"
	"sluice/gateway/predlog"
	"sluice/gateway/truth"
	"sluice/runtime/tensor"
)

// Bounds on what is taken of one segment.
const (
	MaxRecords = 5000
	MaxRows    = 20_000
)

// Piece is a part of a segment: the rows of one window.
type Piece struct {
	StartMS int64 // when the window begins, ms since the epoch
	Profile
}

// digest makes the pieces of so many records of a segment, in the order in which the windows come.
func digest(records int64, rows iter.Seq2[predlog.Row, error], window time.Duration, ground gateway.GroundTruth) ([]Piece, error) {
	perRecord := int(max(MaxRows/max(records, 1), 1))
	d := digester{plan: payload.Compile(nil, nil), perRecord: perRecord, output: ground.Output, windowMS: window.Milliseconds()}
	for r, err := range rows {
		if err != nil {
			return nil, err
		}
		if r.Status < 400 && !r.Truncated {
			d.take(&r)
		}
	}
	for i := range d.pieces {
		d.pieces[i].LeaveOut(ground.Key)
	}
	return d.pieces, nil
}

type digester struct {
	plan      *payload.Plan
	in        payload.Input
	perRecord int
	output    string
	windowMS  int64
	pieces    []Piece
}

// piece is where rows of that time belong.
func (d *digester) piece(at time.Time) *Profile {
	start := at.UnixMilli() - at.UnixMilli()%d.windowMS
	for i := len(d.pieces) - 1; i >= 0; i-- {
		if d.pieces[i].StartMS == start {
			return &d.pieces[i].Profile
		}
	}
	d.pieces = append(d.pieces, Piece{StartMS: start})
	return &d.pieces[len(d.pieces)-1].Profile
}

// take counts the rows of a record, perRecord of them at most, evenly.
func (d *digester) take(r *predlog.Row) {
	answers := truth.Answers(r.ResponseContentType, r.Response, d.output)
	rows := len(answers)
	if err := d.plan.DecodeLogged(r.ContentType, r.Request, &d.in); err != nil {
		d.in.Batch.Reset(tensor.Table)
	} else if n := d.in.Batch.Rows; n > 0 {
		rows = n
	}
	if rows == 0 {
		return
	}
	p := d.piece(r.Time)
	p.Records++
	p.add(&d.in.Batch, answers, rows, max((rows+d.perRecord-1)/d.perRecord, 1))
}

// Add takes the rows of a batch in, with the prediction of each; times and bytes are left out, which requests in JSON carry as texts.
func (p *Profile) Add(b *tensor.Batch, answers []truth.Value) {
	p.add(b, answers, b.Rows, 1)
}

// add takes every step-th of so many rows in.
func (p *Profile) add(b *tensor.Batch, answers []truth.Value, rows, step int) {
	p.Rows += uint64((rows + step - 1) / step)
	for i := range b.Columns {
		c := &b.Columns[i]
		if c.Tensor.Type == tensor.Datetime || c.Tensor.Type == tensor.Binary || c.Tensor.Width() != 1 {
			continue
		}
		if s := p.Column(columnName(c.Name)); s != nil {
			addColumn(s, &c.Tensor, rows, step)
		}
	}
	if len(answers) > 0 {
		s := p.Column(Prediction)
		for row := 0; row < len(answers); row += step {
			addValue(s, answers[row])
		}
	}
}

// columnName keeps a request's column apart from the predictions.
func columnName(name string) string {
	switch name {
	case "":
		return "input"
	case Prediction:
		return "input." + Prediction
	}
	return name
}

func addColumn(s *Sketch, t *tensor.Tensor, rows, step int) {
	texts := t.Type.Text()
	for row := 0; row < min(rows, t.Len()); row += step {
		if texts {
			s.AddText(t.Strings()[row])
		} else {
			s.AddNumber(t.At(row))
		}
	}
}

func addValue(s *Sketch, v truth.Value) {
	switch v.Kind {
	case truth.Text:
		s.AddText(v.Text)
	case truth.None:
		s.Missing++
	default:
		s.AddNumber(v.Number)
	}
}
