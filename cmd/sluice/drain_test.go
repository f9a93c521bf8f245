package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"
)

// accepted returns both ends of a connection that l watches.
func accepted(t *testing.T, l *connections) (client, server net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

func listening(t *testing.T) *connections {
	t.Helper()
	l, err := watch("127.0.0.1:0", 1000, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestHurryEndsReadsThatWait(t *testing.T) {
	l := listening(t)
	_, before := accepted(t, l)
	if err := before.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := before.Read(make([]byte, 1))
		ended <- err
	}()
	l.hurry()
	client, after := accepted(t, l)
	if err := after.SetReadDeadline(time.Time{}); err != nil { // for ever, but for the hurry
		t.Fatal(err)
	}
	if _, err := io.WriteString(client, "x"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1)
	if _, err := io.ReadFull(after, got); err != nil {
		t.Errorf("what arrives in time is not read: %v", err)
	}
	start := time.Now()
	if _, err := after.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) < stall/2 {
		t.Errorf("a pause ended after %v with %v", time.Since(start), err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read that waited already ended with %v", err)
	}
}

func TestCutEndsWhatIsLeft(t *testing.T) {
	l := listening(t)
	client, _ := accepted(t, l)
	_, gone := accepted(t, l)
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	if n := l.count(); n != 1 {
		t.Errorf("%d connections open, want 1", n)
	}
	if n := l.cut(); n != 1 {
		t.Errorf("cut %d connections, want 1", n)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client still reads")
	}
	l.leave(t.Context(), 10*time.Millisecond) // returns although one is counted until its owner closes it
}
