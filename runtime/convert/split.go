package convert

import (
	"fmt"
	"strconv"
	"sync"

	"sluice/runtime/tensor"
)

// splitter writes the rows of one matrix as the columns of a frame, which are named by their position, as pandas names them.
type splitter struct {
	names   []string
	scratch sync.Pool // of *tensor.Tensor: the matrix whose memory the answer had
}

func newSplitter(columns int) *splitter {
	s := &splitter{names: make([]string, columns), scratch: sync.Pool{New: func() any { return new(tensor.Tensor) }}}
	for i := range s.names {
		s.names[i] = strconv.Itoa(i)
	}
	return s
}

// split replaces the only column of out, of shape [rows, columns] or, for one column, [rows].
func (s *splitter) split(out *tensor.Batch) error {
	if len(out.Columns) != 1 || len(out.Columns[0].Tensor.Shape) == 0 {
		return fmt.Errorf("%w: %d columns where one matrix is wanted", tensor.ErrShape, len(out.Columns))
	}
	matrix := s.scratch.Get().(*tensor.Tensor)
	defer s.scratch.Put(matrix)
	*matrix, out.Columns[0].Tensor = out.Columns[0].Tensor, *matrix
	rows, width := matrix.Rows(), matrix.Width()
	if width != len(s.names) || matrix.Type.Text() {
		return fmt.Errorf("%w: the model answers %s %v where a matrix of %d columns is wanted", tensor.ErrShape, matrix.Type, matrix.Shape, len(s.names))
	}
	out.Reset(tensor.Table)
	out.Grow(width)
	size, from := matrix.Type.Size(), matrix.Raw()
	for i, name := range s.names {
		column := out.AddColumn(name)
		column.ResetDirty(matrix.Type, int64(rows))
		to := column.Raw()
		for row := range rows {
			copy(to[row*size:(row+1)*size], from[(row*width+i)*size:])
		}
	}
	return out.CountRows()
}
