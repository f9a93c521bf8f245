package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// tlsConfig reads the certificate for a port that speaks the protocol (http/1.1 or h2), and offers no other; nil without a certificate.
func tlsConfig(cfg *Config, protocol string) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{protocol}}, nil
}

// httpsOnly is a listener below TLS that tells clients which forgot the "s" what they forgot.
type httpsOnly struct{ net.Listener }

// Accept implements net.Listener.
func (l httpsOnly) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &greeted{Conn: c}, nil
}

// greeted looks at the first byte that a client sends: a TLS handshake begins with 22, a method of HTTP with a letter.
type greeted struct {
	net.Conn
	known bool
}

const (
	httpsHint = `{"error_code": "BAD_REQUEST", "message": "This port speaks HTTPS: begin the address with https://."}`
	// lookOn and lookFor bound what is read of a request that cannot be answered; bytes that were not read would make the client lose the hint.
	lookOn  = 100 * time.Millisecond
	lookFor = 64 << 10
)

var errPlainHTTP = errors.New("the client speaks HTTP where HTTPS is spoken")

// Read implements net.Conn.
func (c *greeted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.known || n == 0 {
		return n, err
	}
	c.known = true
	if p[0] < 'A' || p[0] > 'Z' {
		return n, err
	}
	_ = c.SetDeadline(time.Now().Add(lookOn))
	_, _ = io.CopyN(io.Discard, c.Conn, lookFor)
	_ = c.SetDeadline(time.Now().Add(lookOn))
	_, _ = fmt.Fprintf(c.Conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(httpsHint), httpsHint)
	return 0, errPlainHTTP
}
