package convert

import (
	"context"
	"errors"
	"fmt"

	"sluice/runtime/mlmodel"
	"sluice/runtime/onnx"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

var _ servable.Backend = (*Backend)(nil)

// Backend answers from a converted graph what pyfunc's predict answers: the original's array or frame, not the graph's named outputs. It refuses NaN
// and infinities where the original does; a graph would answer something.
type Backend struct {
	*onnx.Backend
	answer shape
	form   tensor.Form
	guards []columnGuard // of columns that may not hold everything
	width  int           // numbers a row that the guards are for one by one, where the input is one tensor; 0 otherwise
	split  *splitter     // nil: the graph's outputs are the answer's columns
}

// Open loads a version that was converted into dir, with the package in modelDir. Returns os.ErrNotExist, wrapped, if dir has no record, ErrNotConverted
// if its verdict is not Pass.
func Open(ctx context.Context, rt *onnx.Runtime, modelDir, dir string) (*servable.Loaded, error) {
	record, err := ReadRecord(dir)
	if err != nil {
		return nil, err
	}
	if record.Verdict != Pass {
		return nil, fmt.Errorf("%w: %s", ErrNotConverted, record.Reason)
	}
	model, err := mlmodel.Load(modelDir)
	if err != nil {
		return nil, err
	}
	b, err := open(ctx, rt, dir, ModelFile, model, record.Answer)
	if err != nil {
		return nil, err
	}
	l := &servable.Loaded{Model: model, Backend: b}
	if l.Sample, _, err = model.ReadExample(modelDir); err != nil || l.Sample == nil {
		if l.Sample, err = sample(dir, model, record.Answer.Tensor); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return l, nil
}

// ErrNotConverted: the model's verdict is not Pass.
var ErrNotConverted = errors.New("the model was not converted")

// sample is the first of the rows that the verdict was found on.
func sample(dir string, model *mlmodel.Model, matrix bool) (*tensor.Batch, error) {
	rows, err := readRows(dir, rowsFile, model, matrix)
	if err != nil {
		return nil, err
	}
	one := new(tensor.Batch)
	return one, one.CopyRows(rows, 0, 1)
}

// open loads the graph in dir/file as the form of model that answers so.
func open(ctx context.Context, rt *onnx.Runtime, dir, file string, model *mlmodel.Model, answer shape) (*Backend, error) {
	if model.Signature == nil || model.Signature.Inputs == nil {
		return nil, fmt.Errorf("%w: no signature", mlmodel.ErrModel)
	}
	m := *model
	m.Flavors = mlmodel.Flavors{"onnx": {"data": file, "providers": []any{"CPUExecutionProvider"}}}
	graph, err := rt.Load(ctx, dir, &m)
	if err != nil {
		return nil, err
	}
	b := &Backend{Backend: graph, answer: answer, form: forms[answer.Form]}
	b.setGuards(model.Signature.Inputs)
	if answer.Split {
		b.split = newSplitter(len(answer.Ranks))
	}
	return b, nil
}

var forms = map[string]tensor.Form{"bare": tensor.Bare, "table": tensor.Table, "named": tensor.Named}

func (b *Backend) setGuards(inputs *mlmodel.Schema) {
	for i, g := range b.answer.Guards {
		if g.NaN && g.Inf && !g.Unsigned {
			continue
		}
		c := columnGuard{guard: g, at: i}
		switch {
		case i < len(inputs.Columns):
			c.name = inputs.Columns[i].Name
		case len(inputs.Tensors) > 1 && i < len(inputs.Tensors):
			c.name = inputs.Tensors[i].Name
		}
		b.guards = append(b.guards, c)
	}
	if len(inputs.Tensors) == 1 {
		b.width = len(b.answer.Guards)
	}
}

// Predict runs one batch. Errors: those of onnx.Backend; ErrBadInput also for values that the original refuses.
func (b *Backend) Predict(ctx context.Context, in *tensor.Batch, _ map[string]any, out *tensor.Batch) error {
	if err := b.check(in); err != nil {
		return err
	}
	if err := b.Backend.Predict(ctx, in, nil, out); err != nil {
		return b.blame(ctx, err)
	}
	return b.reshape(out)
}

// blame says whose fault an error is: a graph that knows only some texts has no other way to refuse one than to fail.
func (b *Backend) blame(ctx context.Context, err error) error {
	if !b.answer.Refuses || ctx.Err() != nil || errors.Is(err, servable.ErrBadInput) || errors.Is(err, onnx.ErrClosed) {
		return err
	}
	return fmt.Errorf("%w: the model does not know one of the values: %w", servable.ErrBadInput, err)
}

// check refuses NaN and infinities in columns whose original refuses them.
func (b *Backend) check(in *tensor.Batch) error {
	if b.width > 0 && len(in.Columns) == 1 {
		return b.checkMatrix(&in.Columns[0].Tensor)
	}
	for i := range b.guards {
		g := &b.guards[i]
		c := column(in, g)
		if c == nil {
			continue
		}
		if v, ok := g.firstBad(&c.Tensor, 0, 1); !ok {
			return g.refuse(v)
		}
	}
	return nil
}

// column is the guarded one; the usual case is that it stands where the signature has it.
func column(in *tensor.Batch, g *columnGuard) *tensor.Column {
	if g.at < len(in.Columns) && (g.name == "" || in.Columns[g.at].Name == g.name) {
		return &in.Columns[g.at]
	}
	return in.Column(g.name)
}

func (b *Backend) checkMatrix(t *tensor.Tensor) error {
	for i := range b.guards {
		g := &b.guards[i]
		if v, ok := g.firstBad(t, g.at, b.width); !ok {
			return g.refuse(v)
		}
	}
	return nil
}

// reshape gives a graph's outputs the form of the original's answer.
func (b *Backend) reshape(out *tensor.Batch) error {
	if b.split != nil {
		return b.split.split(out)
	}
	out.Form = b.form
	for i := range out.Columns {
		c := &out.Columns[i]
		if b.form == tensor.Bare {
			c.Name = ""
		}
		if i < len(b.answer.Ranks) && b.answer.Ranks[i] == 2 && len(c.Tensor.Shape) == 1 {
			if err := c.Tensor.Reshape(c.Tensor.Shape[0], 1); err != nil {
				return err
			}
		}
	}
	return out.CountRows()
}
