package main

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestFarDeadlinesMoveOnlyWhenTheyMust(t *testing.T) {
	start := time.Now()
	cases := map[string]struct {
		asked []time.Duration // from start, one after the other
		armed []time.Duration
	}{
		"a busy connection":        {[]time.Duration{60 * time.Second, 60*time.Second + 1, 61*time.Second - 1}, []time.Duration{60 * time.Second}},
		"a second later":           {[]time.Duration{60 * time.Second, 61 * time.Second}, []time.Duration{60 * time.Second, 61 * time.Second}},
		"sooner":                   {[]time.Duration{60 * time.Second, 60*time.Second - 1}, []time.Duration{60 * time.Second, 60*time.Second - 1}},
		"near deadlines are exact": {[]time.Duration{time.Second, time.Second + 1}, []time.Duration{time.Second, time.Second + 1}},
		"none at last":             {[]time.Duration{60 * time.Second, -1, -1}, []time.Duration{60 * time.Second, -1}},
	}
	at := func(d time.Duration) time.Time {
		if d < 0 {
			return time.Time{}
		}
		return start.Add(d)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var a armed
			var got []time.Time
			for _, d := range c.asked {
				if err := a.move(at(d), func(t time.Time) error { got = append(got, t); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if len(got) != len(c.armed) {
				t.Fatalf("armed %v, want %v", got, c.armed)
			}
			for i, want := range c.armed {
				if !got[i].Equal(at(want)) {
					t.Errorf("armed %v, want %v after %v", got[i], want, start)
				}
			}
		})
	}
}

func TestAFailedMoveIsTriedAgain(t *testing.T) {
	var a armed
	broken := errors.New("broken")
	by := time.Now().Add(time.Hour)
	if err := a.move(by, func(time.Time) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	moved := false
	if err := a.move(by, func(time.Time) error { moved = true; return nil }); err != nil || !moved {
		t.Errorf("not tried again: %v", err)
	}
}

func TestADeadlineEndsTheReadThatWaits(t *testing.T) {
	_, server := accepted(t, listening(t))
	ended := make(chan error, 1)
	go func() {
		_, err := server.Read(make([]byte, 1))
		ended <- err
	}()
	for ended != nil { // whether it waits already or not
		if err := server.SetReadDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the read ended with %v", err)
			}
			ended = nil
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err := server.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a later read ended with %v", err)
	}
	if _, err := io.Copy(io.Discard, server); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a copy ended with %v", err)
	}
	if err := server.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write after its deadline ended with %v", err)
	}
}

// A client that is still sending when the answer is complete gets all of it.
func TestAnAnswerOutlivesItsRequest(t *testing.T) {
	client, server := accepted(t, listening(t))
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, 8<<20))
		sent <- errors.Join(err, client.(*net.TCPConn).CloseWrite())
	}()
	if _, err := server.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	const length = 1 << 20
	closed := make(chan error, 1)
	go func() {
		_, err := server.Write(make([]byte, length))
		closed <- errors.Join(err, server.Close())
	}()
	answer, err := io.ReadAll(client)
	if err != nil || len(answer) != length {
		t.Errorf("%d of %d bytes: %v", len(answer), length, err)
	}
	if err := errors.Join(<-sent, <-closed); err != nil {
		t.Error(err)
	}
}
