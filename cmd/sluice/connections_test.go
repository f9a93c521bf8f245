package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"
)

// reads takes what comes over a connection, as the engine does, until it ends.
func reads(c net.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, struct{ io.Reader }{c})
		c.Close()
		ended <- err
	}()
	return ended
}

func TestTooManyConnectionsMakeRoom(t *testing.T) {
	const most = 16
	l, err := watch("127.0.0.1:0", most, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, answered := accepted(t, l) // nobody reads from it: its request is being answered
	var ended []<-chan error
	for i := range 10 * most {
		_, server := accepted(t, l)
		if err := server.SetReadDeadline(time.Now().Add(time.Minute + time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		c := server.(*connection)
		ended = append(ended, reads(server))
		for waits := false; !waits; _, waits = c.waits() {
			time.Sleep(100 * time.Microsecond)
		}
	}
	for i, end := range ended[:9*most] {
		select {
		case <-end:
		case <-time.After(10 * time.Second):
			t.Fatalf("connection %d of %d is still open", i, len(ended))
		}
	}
	select {
	case <-ended[len(ended)-1]:
		t.Error("the newest connection was ended")
	default:
	}
	if answered.(*connection).ended.Load() {
		t.Error("the connection that was being answered was ended")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.open); n > most || l.ending != 0 {
		t.Errorf("%d connections, %d of them ending, want %d at most and none", n, l.ending, most)
	}
}

func TestNewcomersAreRefusedWhereEverybodyIsAnswered(t *testing.T) {
	l, err := watch("127.0.0.1:0", 1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, busy := accepted(t, l)
	refused, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	next := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		next <- c
	}()
	if n, err := refused.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
	busy.Close()
	late, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if c := <-next; c != nil {
		c.Close()
	}
}

func TestWantOfDescriptorsPasses(t *testing.T) {
	for err, passes := range map[error]bool{
		&net.OpError{Op: "accept", Err: syscall.EMFILE}: true,
		&net.OpError{Op: "accept", Err: net.ErrClosed}:  false,
		errors.New("another"):                           false,
	} {
		if wanting(err) != passes {
			t.Errorf("%v", err)
		}
	}
}
