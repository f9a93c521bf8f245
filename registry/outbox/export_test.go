package outbox

import (
	"context"
	"net"
	"time"
)

// Dial connects as the sender does.
func Dial(ctx context.Context, g *Guard, address string) (net.Conn, error) {
	return g.dial(ctx, "tcp", address)
}

// RetryAfter reads the header.
func RetryAfter(header string, now time.Time) time.Duration { return retryAfter(header, now) }
