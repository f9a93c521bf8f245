package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
)

// chunkedLength is what fasthttp reports as content length of a chunked body.
const chunkedLength = -1

// firstRead is the first buffer for a streamed body, in bytes; the engine holds as much already.
const firstRead = 64 << 10

// Body reads the whole request body and returns it; the caller may keep the slice. Calling it twice returns the same bytes.
//
// At most max bytes are accepted, counted while reading, so a chunked body cannot dodge the limit. The bytes are returned as
// they were sent: Content-Encoding is not undone. Returns a 413 beyond max and BAD_REQUEST if the body ends before its declared
// length.
func Body(c *fiber.Ctx, max int64) ([]byte, error) {
	req := &c.Context().Request
	if !req.IsBodyStream() {
		b := req.Body()
		if int64(len(b)) > max {
			return nil, tooLarge(max)
		}
		return append([]byte(nil), b...), nil
	}
	b, err := appendStream(nil, req.BodyStream(), int64(req.Header.ContentLength()), max)
	if err != nil {
		return nil, err
	}
	req.SetBodyRaw(b)
	return b, nil
}

// AppendBody is Body for callers with a buffer of their own, to which the body is appended; the caller keeps the result, which may have
// moved, in the case of an error too. A body that the engine holds already is appended as well. It can be called once.
func AppendBody(c *fiber.Ctx, max int64, dst []byte) ([]byte, error) {
	req := &c.Context().Request
	if req.IsBodyStream() {
		return appendStream(dst, req.BodyStream(), int64(req.Header.ContentLength()), max)
	}
	b := req.Body()
	if int64(len(b)) > max {
		return dst, tooLarge(max)
	}
	return append(dst, b...), nil
}

// appendStream appends what r has up to its end, length bytes if length is not negative. The buffer grows with what arrives: a length
// that was only promised costs nothing.
func appendStream(dst []byte, r io.Reader, length, limit int64) ([]byte, error) {
	if length > limit {
		return dst, tooLarge(limit)
	}
	most := limit + 1 // one more tells that there is too much
	if length >= 0 {
		most = length
	}
	for read := int64(0); length < 0 || read < length; {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, int(min(max(int64(cap(dst)), firstRead), most-read)))
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst, read = dst[:len(dst)+n], read+int64(n)
		switch {
		case read > limit:
			return dst, tooLarge(limit)
		case err == io.EOF && read >= length:
			return dst, nil
		case err == io.EOF:
			return dst, cutShort(io.ErrUnexpectedEOF)
		case err != nil:
			return dst, cutShort(err)
		}
	}
	return dst, nil
}

// BodyReader returns the request body as a stream for uploads that must not be held in memory. It is valid until the handler
// returns and must be read from the handler's goroutine.
//
// Reads fail with a 413 as soon as more than max bytes arrived (0 means no limit), and with BAD_REQUEST if the body ends before
// its declared length: a reader that reached io.EOF saw the complete body. A declared length above max is refused at once.
func BodyReader(c *fiber.Ctx, max int64) (io.Reader, error) {
	if max <= 0 {
		max = math.MaxInt64
	}
	req := &c.Context().Request
	if !req.IsBodyStream() {
		b := req.Body()
		if int64(len(b)) > max {
			return nil, tooLarge(max)
		}
		return &bodyReader{r: bytes.NewReader(b), declared: int64(len(b)), max: max}, nil
	}
	declared := int64(req.Header.ContentLength())
	if declared > max {
		return nil, tooLarge(max)
	}
	return &bodyReader{r: req.BodyStream(), declared: declared, max: max}, nil
}

// bodyReader counts what passes and refuses too much and too little.
type bodyReader struct {
	r        io.Reader
	declared int64 // bytes; negative if the length was not declared
	max      int64 // bytes
	read     int64 // bytes so far
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.read += int64(n)
	if b.read > b.max {
		return 0, tooLarge(b.max)
	}
	switch {
	case err == nil:
		return n, nil
	case err != io.EOF:
		return n, cutShort(err)
	case b.declared >= 0 && b.read < b.declared:
		return n, cutShort(io.ErrUnexpectedEOF)
	}
	return n, io.EOF
}

func tooLarge(max int64) error {
	return &mlflow.Error{
		Code: mlflow.InvalidParameterValue, Status: fiber.StatusRequestEntityTooLarge,
		Message: fmt.Sprintf("The request body exceeds the limit of %d bytes.", max),
	}
}

// cutShort classifies a failure to read the body: the client went away, was too slow, or sent broken chunks.
func cutShort(err error) error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &mlflow.Error{
			Code: mlflow.DeadlineExceeded, Status: fiber.StatusRequestTimeout,
			Message: "The request body did not arrive in time.", Cause: err,
		}
	}
	return &mlflow.Error{Code: mlflow.BadRequest, Message: "The request body ended early or is broken.", Cause: err}
}
