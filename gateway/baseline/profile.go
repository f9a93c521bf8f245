package baseline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/gateway"
	"sluice/gateway/drift"
	"sluice/gateway/loop"
	"sluice/gateway/payload"
	"sluice/gateway/predlog"
	"sluice/gateway/truth"
	"sluice/runtime/batch"
	"sluice/runtime/mlmodel"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// blockRows is how many rows the version is asked for at once; one by one if it takes no such number.
const blockRows = 64

// maxRest bounds the pause after a block, which is as long as the block took.
const maxRest = 200 * time.Millisecond

// profile reads the rows and asks the version for its predictions of them.
func (f *Finder) profile(ctx context.Context, s predlog.Series, c candidate, settings gateway.Drift, output string) (*drift.Profile, error) {
	redaction, err := f.deps.Redaction(ctx, s.Endpoint)
	if err != nil {
		return nil, err
	}
	text, err := f.read(ctx, c.uri)
	if err != nil {
		return nil, err
	}
	model, err := f.deps.Acquire(ctx, s)
	if err != nil {
		return nil, err
	}
	defer model.Release()
	var signature *mlmodel.Signature
	if m := model.Model(); m != nil {
		signature = m.Signature
	}
	var in payload.Input
	if err := decode(c.uri, text, signature, &in); err != nil {
		return nil, redaction.untold(err)
	}
	if int64(in.Batch.Rows) < settings.MinRows {
		return nil, unusable(fmt.Sprintf("it has %d rows, fewer than drift.min_rows %d", max(in.Batch.Rows, 0), settings.MinRows))
	}
	a := asker{model: model, in: &in, output: output, redacted: redaction.Answer, profile: new(drift.Profile)}
	if err := a.ask(ctx, int(min(settings.BaselineRows, int64(in.Batch.Rows)))); err != nil {
		return nil, redaction.untold(err)
	}
	for _, column := range redaction.Columns {
		a.profile.LeaveOut(column)
	}
	return a.profile, nil
}

// untold replaces what might quote a value.
func (r Redaction) untold(err error) error {
	if why, final := reason(err); final && len(r.Columns) > 0 && why != "" {
		return unusable("the model does not take its rows; why is not told, as the endpoint redacts columns")
	}
	return err
}

// asker asks a version for its predictions of rows.
type asker struct {
	model    Model
	in       *payload.Input
	output   string
	redacted func([]byte) []byte // nil: answers are kept as they are
	profile  *drift.Profile
	rows     tensor.Batch
	out      tensor.Batch
	answer   []byte
	oneByOne bool
}

// ask takes so many rows, in blocks that lie evenly.
func (a *asker) ask(ctx context.Context, wanted int) error {
	blocks := (wanted + blockRows - 1) / blockRows
	for i := range blocks {
		from := int(int64(i) * int64(a.in.Batch.Rows) / int64(blocks))
		to := min(from+blockRows, int((int64(i)+1)*int64(a.in.Batch.Rows)/int64(blocks)), from+wanted)
		wanted -= to - from
		began := time.Now()
		if err := a.block(ctx, from, to); err != nil {
			return err
		}
		if err := loop.Pause(ctx, min(time.Since(began), maxRest)); err != nil { // requests keep their pace
			return err
		}
	}
	return nil
}

func (a *asker) block(ctx context.Context, from, to int) error {
	if !a.oneByOne {
		err := a.predict(ctx, from, to)
		if !errors.Is(err, servable.ErrBadInput) || to-from == 1 {
			return verdict(err)
		}
		a.oneByOne = true
	}
	for row := from; row < to; row++ {
		if err := a.predict(ctx, row, row+1); err != nil {
			return verdict(err)
		}
	}
	return nil
}

// verdict makes an error of the model one that is not tried again, if the rows are to blame.
func verdict(err error) error {
	if errors.Is(err, servable.ErrBadInput) {
		return unusable("the model does not take it: " + err.Error())
	}
	return err
}

func (a *asker) predict(ctx context.Context, from, to int) error {
	if err := a.rows.CopyRows(&a.in.Batch, from, to); err != nil {
		return unusable(err.Error())
	}
	var timing batch.Timing
	if err := a.model.Predict(ctx, &a.rows, a.in.Params, &a.out, &timing); err != nil {
		return err
	}
	var err error
	if a.answer, err = payload.Encode(a.answer[:0], &a.out); err != nil {
		return err
	}
	kept := a.answer
	if a.redacted != nil {
		kept = a.redacted(kept)
	}
	a.profile.Add(&a.rows, truth.Answers("application/json", kept, a.output))
	return nil
}
