package loadtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"
)

// encode returns the request as it is sent, and where it goes.
func (r *Request) encode() (outgoing, target, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" {
		return outgoing{}, target{}, fmt.Errorf("loadtest: %q is not a URL", r.URL)
	}
	switch u.Scheme {
	case "http", "https":
	case "grpc", "grpcs":
		return r.encodeRPC(u)
	default:
		return outgoing{}, target{}, fmt.Errorf("loadtest: %q is not an http://, https://, grpc:// or grpcs:// URL", r.URL)
	}
	to := target{host: u.Host, tls: u.Scheme == "https"}
	if u.Port() == "" {
		to.host = net.JoinHostPort(u.Hostname(), map[bool]string{false: "80", true: "443"}[to.tls])
	}
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	req.Header.SetRequestURI(u.RequestURI()) // the path alone: not every server takes a whole URL there
	req.Header.SetMethod("POST")
	if r.Method != "" {
		req.Header.SetMethod(r.Method)
	}
	req.Header.SetHost(u.Host)
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	req.SetBodyRaw(r.Body)
	var buf bytes.Buffer
	w := bufio.NewWriter(&buf)
	if err := req.Write(w); err != nil {
		return outgoing{}, target{}, err
	}
	if err := w.Flush(); err != nil {
		return outgoing{}, target{}, err
	}
	return outgoing{wire: buf.Bytes()}, to, nil
}

// conn is a connection of HTTP.
type conn struct {
	net.Conn  // nil after it was closed, until the next request
	in        *bufio.Reader
	res       fasthttp.Response
	to        target
	config    *tls.Config // for TLS
	deadlined bool        // the connection knows until when answers must have come
}

func newConn(ctx context.Context, to target, config *tls.Config) (*conn, error) {
	if config == nil {
		config = &tls.Config{}
	}
	c := &conn{to: to, config: config.Clone()}
	c.config.NextProtos = []string{"http/1.1"}
	return c, c.dial(ctx)
}

func (c *conn) dial(ctx context.Context) (err error) {
	if c.to.tls {
		c.Conn, err = (&tls.Dialer{Config: c.config}).DialContext(ctx, "tcp", c.to.host)
	} else {
		c.Conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", c.to.host)
	}
	if err != nil {
		c.Conn = nil
		return err
	}
	c.in, c.deadlined = bufio.NewReaderSize(c.Conn, 16<<10), false
	return nil
}

// Close closes the connection for good.
func (c *conn) Close() error {
	if c.Conn == nil {
		return nil
	}
	return c.Conn.Close()
}

// ask implements connection, on a new one if the one before was closed.
func (c *conn) ask(ctx context.Context, until time.Time, o outgoing) (int, []byte, error) {
	if c.Conn == nil {
		ctx, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		if err := c.dial(ctx); err != nil {
			return 0, nil, err
		}
	}
	if !c.deadlined {
		if err := c.SetDeadline(until); err != nil {
			return 0, nil, c.drop(err)
		}
		c.deadlined = true
	}
	if _, err := c.Write(o.wire); err != nil {
		return 0, nil, c.drop(err)
	}
	c.res.Reset()
	if err := c.res.Read(c.in); err != nil {
		return 0, nil, c.drop(err)
	}
	if c.res.ConnectionClose() {
		_ = c.drop(nil)
	}
	return c.res.StatusCode(), c.res.Body(), nil
}

// drop closes the connection; the next request makes another. It returns why.
func (c *conn) drop(why error) error {
	_ = c.Conn.Close()
	c.Conn = nil
	return why
}
