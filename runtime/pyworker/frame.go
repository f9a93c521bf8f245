package pyworker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame on the socket between the gateway and a worker, little endian:
//
//	0   4  magic "SLW1"
//	4   1  kind
//	5   3  zero
//	8   8  number of the request that it belongs to
//	16  8  rows of the batch in the body; −1 for one without a common row axis
//	24  4  length of head
//	28  4  length of extra
//	32  8  length of body
//	40     head (JSON), extra (JSON), body (the columns' values, see layout.go)
type frame struct {
	kind   kind
	number uint64
	rows   int64
	head   []byte
	extra  []byte
	body   []byte
}

// kind says what a frame is.
type kind uint8

// To the worker, and (from 17 on) from it.
const (
	kindLoad    kind = 1
	kindPredict kind = 2
	kindPing    kind = 3
	kindLoaded  kind = 17
	kindAnswer  kind = 18
	kindPong    kind = 19
	kindFailed  kind = 20
)

const (
	magic        = "SLW1"
	headerBytes  = 40
	maxHeadBytes = 16 << 20
	// maxBodyBytes bounds what a worker's frame may claim to hold; memory is taken as the bytes come, so that a lie costs nothing.
	maxBodyBytes = 1 << 30
	// readStep is how much memory is taken ahead of the bytes that have come.
	readStep = 4 << 20
)

// errGarbage: what came is no frame of this protocol.
var errGarbage = errors.New("garbage on the socket")

// appendFrame appends the header, head and extra of f to dst; the body is written apart, because it is large.
func (f *frame) appendStart(dst []byte) []byte {
	dst = append(dst, magic...)
	dst = append(dst, byte(f.kind), 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, f.number)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(f.rows))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.head)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.extra)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(f.body)))
	dst = append(dst, f.head...)
	return append(dst, f.extra...)
}

// read reads the next frame into f, reusing its memory. Errors: errGarbage, wrapped, and those of r; io.EOF only between frames.
func (f *frame) read(r io.Reader) error {
	var h [headerBytes]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return err
	}
	if string(h[:4]) != magic || h[5]|h[6]|h[7] != 0 {
		return fmt.Errorf("%w: a frame begins with %x", errGarbage, h[:8])
	}
	f.kind = kind(h[4])
	f.number = binary.LittleEndian.Uint64(h[8:])
	f.rows = int64(binary.LittleEndian.Uint64(h[16:]))
	head, extra, body := binary.LittleEndian.Uint32(h[24:]), binary.LittleEndian.Uint32(h[28:]), binary.LittleEndian.Uint64(h[32:])
	if head > maxHeadBytes || extra > maxHeadBytes || body > maxBodyBytes || f.rows < -1 || f.rows > maxBodyBytes {
		return fmt.Errorf("%w: a frame of %d + %d + %d bytes and %d rows", errGarbage, head, extra, body, f.rows)
	}
	var err error
	if f.head, err = fill(r, f.head, int(head)); err != nil {
		return err
	}
	if f.extra, err = fill(r, f.extra, int(extra)); err != nil {
		return err
	}
	f.body, err = fill(r, f.body, int(body))
	return err
}

// fill reads n bytes into dst's memory, which grows no faster than the bytes come.
func fill(r io.Reader, dst []byte, n int) ([]byte, error) {
	dst = dst[:0]
	for len(dst) < n {
		step := min(n-len(dst), max(readStep, cap(dst)-len(dst)))
		if cap(dst)-len(dst) < step {
			grown := make([]byte, len(dst), min(n, 2*len(dst)+step))
			copy(grown, dst)
			dst = grown
		}
		from := len(dst)
		dst = dst[:from+step]
		if _, err := io.ReadFull(r, dst[from:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return dst[:from], err
		}
	}
	return dst, nil
}
