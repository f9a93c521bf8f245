package main

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"
)

func TestACallerWhoLeavesIsSeen(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn) error{
		"closes":      (*net.TCPConn).Close,
		"half closes": (*net.TCPConn).CloseWrite,
		"resets": func(c *net.TCPConn) error {
			if err := c.SetLinger(0); err != nil {
				return err
			}
			return c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := accepted(t, listening(t))
			if _, err := io.WriteString(client, "bytes that nobody reads"); err != nil {
				t.Fatal(err)
			}
			for _, over := range []net.Conn{server, tls.Server(&greeted{Conn: server}, nil)} {
				if left(over) {
					t.Fatal("seen leaving before it did")
				}
			}
			if err := leave(client.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}
			for _, over := range []net.Conn{server, tls.Server(&greeted{Conn: server}, nil)} {
				for until := time.Now().Add(10 * time.Second); !left(over); time.Sleep(time.Millisecond) {
					if time.Now().After(until) {
						t.Fatal("not seen leaving")
					}
				}
			}
		})
	}
	if other, _ := net.Pipe(); left(other) {
		t.Error("a connection that nobody watches was seen leaving")
	}
}
