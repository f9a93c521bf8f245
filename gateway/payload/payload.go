package payload

import (
	"sluice/runtime/mlmodel"
	"sluice/runtime/tensor"
)

// Input is what one body became, and the memory that it took. The zero value is ready. An Input is single-user: keep one per request,
// from a pool of the caller's (one pool a plan keeps the columns' buffers at their right sizes). After a failed Decode its content
// is not to be used, but it can be decoded into again.
type Input struct {
	// Batch is the decoded rows. With a column signature: a Table with one column per column of the schema that the body had, in the
	// schema's order, each of the schema's type and of shape [rows]. With a tensor signature: Bare or Named, in the schema's order.
	// Without a signature: what pandas or NumPy would have inferred. Rows may be 0. It shares no memory with the body.
	// Read it, or change it in place; do not make it a view of other tensors.
	Batch tensor.Batch
	// Params is the model's params with the body's values in place of defaults; nil if the model declares none. It may be shared with
	// other requests: do not write to it.
	Params map[string]any

	words []uint64 // numbers on their way into columns: float64 bits, integers, 0 or 1
	tape  []node   // the thorough way's map of the body
	order []int32  // the quick way: column of the schema at each position of the body, −1 for a column to drop
	seen  []int32  // the quick way: position in the body of each column of the schema, −1 for none
	head  []byte   // the quick way: text of the last "columns" array, for which order and seen were made
	plan  *Plan    // the plan that head belongs to
	shape []int64
}

// maxKeptBytes is the largest scratch memory that Reset keeps, in bytes; the batch's own memory is judged by the same limit.
const maxKeptBytes = 1 << 20

// Reset empties the input and keeps its memory, unless it grew over 1 MiB. Call it before putting the input back into a pool.
func (in *Input) Reset() {
	in.Params = nil
	if in.Batch.Bytes() > maxKeptBytes {
		in.Batch = tensor.Batch{}
	}
	in.Batch.Reset(tensor.Table)
	if cap(in.words)*8 > maxKeptBytes {
		in.words = nil
	}
	if cap(in.tape)*8 > maxKeptBytes {
		in.tape = nil
	}
	if cap(in.head) > maxKeptBytes {
		in.head, in.plan = nil, nil
	}
}

// Decode is Compile(sig, nil).Decode for callers that see a signature once.
func Decode(contentType string, body []byte, sig *mlmodel.Signature, in *Input) error {
	return Compile(sig, nil).Decode(contentType, body, in)
}

// Decode reads a body of the given content type into in, whose earlier content is lost. The body is not kept or changed.
//
// Errors are *mlflow.Error: BAD_REQUEST for a body that cannot be read or a value that cannot become its column's type,
// INVALID_PARAMETER_VALUE for missing columns, wrong shapes and bad params, NOT_IMPLEMENTED for nested column types and bodies of
// language models; status 415 for a content type that is not JSON or CSV in UTF-8, Parquet or Arrow; 413 for more cells than Options allow.
func (p *Plan) Decode(contentType string, body []byte, in *Input) error {
	f, err := formatOf(contentType)
	if err != nil {
		return err
	}
	in.Params = p.defaults
	switch f {
	case formatCSV:
		return p.decodeCSV(body, in)
	case formatParquet:
		return p.decodeParquet(body, in)
	case formatArrow:
		return p.decodeArrow(body, in)
	}
	if p.quick && p.decodeQuick(body, in) {
		return nil
	}
	return p.decodeDocument(body, in)
}
