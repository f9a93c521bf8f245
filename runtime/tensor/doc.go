// Package tensor holds the values that flow through a prediction: dtype, shape, tensor, and the batch of named columns or tensors.
//
// It owns memory layout, and joining, cutting and viewing batches by rows. It is called by every room of runtime and by the gateway's data plane; it must
// not know JSON, HTTP, MLflow or ONNX Runtime. A Tensor or Batch is single-user: hand it over, do not share it while it is written.
//
// # Filling a batch row by row
//
// A decoder that meets one row after the other resets the batch, adds the columns once and appends to each; nothing is allocated once
// the batch has seen a body of this size:
//
//	b.Reset(tensor.Table)
//	b.Grow(len(names))
//	for _, name := range names {
//		b.AddColumn(name).Reset(tensor.Float64, 0)
//	}
//	for … {
//		tensor.Append(&b.Columns[i].Tensor, value)
//	}
//	err := b.CountRows()
//
// # Views
//
// [Batch.View] shares the memory of its source: it is valid while the source is neither reset nor written. Resetting a view gives it
// memory of its own and leaves the source alone.
package tensor
