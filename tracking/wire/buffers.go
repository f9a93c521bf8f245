package wire

import (
	"io"
	"sync"

	"github.com/gofiber/fiber/v2"
)

// Buffers lends memory to large answers and gets it back when they have been sent. The zero value works and is safe for concurrent use.
// What nobody has used between two garbage collections is freed.
type Buffers struct{ idle sync.Pool }

// copied is the longest answer that goes into the connection's own buffer, which lives as long as the connection.
const copied = 16 << 10

// Send is Send for an answer that encodes itself, in memory that is lent.
func (p *Buffers) Send(c *fiber.Ctx, answer Appender) error {
	s, _ := p.idle.Get().(*lentBody)
	if s == nil {
		s = &lentBody{owner: p}
	}
	b, err := answer.AppendJSON(s.memory[:0])
	if err != nil {
		return err
	}
	s.memory, s.rest = b, b
	c.Response().Header.SetContentType(fiber.MIMEApplicationJSON)
	if len(b) <= copied {
		c.Response().SetBody(b)
		return s.Close()
	}
	c.Response().SetBodyStream(s, len(b))
	return nil
}

// lentBody is a body of a response; its end, which the HTTP engine calls once, gives the memory back.
type lentBody struct {
	owner        *Buffers
	memory, rest []byte
}

func (s *lentBody) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// WriteTo spares the copies of Read.
func (s *lentBody) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(s.rest)
	s.rest = s.rest[n:]
	return int64(n), err
}

func (s *lentBody) Close() error {
	s.rest = nil
	s.owner.idle.Put(s)
	return nil
}
