package wire

import (
	"io"
	"time"

	"github.com/gofiber/fiber/v2"
)

// Pace says how slow the other side of a long transfer may be; the engine's own timeouts, which are made for short ones, do not count then.
// The zero value is not valid.
type Pace struct {
	// Stall is how long the connection may stand still.
	Stall time.Duration
	// Total is how long the whole transfer may take.
	Total time.Duration
}

// Upload is BodyReader for a body that may take longer than the engine waits for a request. Reads fail with a 408 when the client is
// slower than pace. Call it only for callers who may upload: it is what lets them hold a connection.
func Upload(c *fiber.Ctx, max int64, pace Pace) (io.Reader, error) {
	r, err := BodyReader(c, max)
	if err != nil {
		return nil, err
	}
	return &paced{read: r.Read, extend: c.Context().SetReadDeadline, pace: pace, end: time.Now().Add(pace.Total)}, nil
}

// Download answers with what r gives, size bytes, and closes r afterwards. A client that takes the bytes slower than pace loses its
// connection.
func Download(c *fiber.Ctx, r io.ReadCloser, size int64, pace Pace) {
	p := &paced{read: r.Read, extend: c.Context().SetWriteDeadline, pace: pace, end: time.Now().Add(pace.Total)}
	c.Context().SetBodyStream(pacedCloser{p, r}, int(size))
}

// paced pushes the connection's deadline forward with each piece of a transfer. Deadlines are the network's: they run on the real clock.
type paced struct {
	read   func([]byte) (int, error)
	extend func(time.Time) error
	pace   Pace
	end    time.Time
}

func (p *paced) Read(b []byte) (int, error) {
	deadline := time.Now().Add(p.pace.Stall)
	if deadline.After(p.end) {
		deadline = p.end
	}
	if err := p.extend(deadline); err != nil {
		return 0, err
	}
	return p.read(b)
}

type pacedCloser struct {
	*paced
	io.Closer
}
