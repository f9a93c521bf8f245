package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"
)

// What has connected is accepted and answered, also after newcomers are ignored.
func TestRefusedConnectionsAreIgnoredNotReset(t *testing.T) {
	l, err := watch("127.0.0.1:0", 1000, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	early, err := net.Dial("tcp", l.Addr().String()) // waits in the listener's queue
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	if err := refuseConnections(l.TCPListener); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var d net.Dialer
	if c, err := d.DialContext(ctx, "tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("a newcomer was let in")
	} else if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a newcomer got %v", err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(early, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(accepted, got); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	accepted.Close()
}
