package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// booted is a whole server in this process: real stores on a directory of its own, a real port.
type booted struct {
	*App
	addr string
	log  *safeBuffer
}

// safeBuffer is what the server logs, readable while it runs.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// boot starts a server with the flags and ends it with the test.
func boot(t *testing.T, flags ...string) *booted {
	t.Helper()
	dir := t.TempDir()
	var cfg Config
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	cfg.bind(f)
	if err := f.Parse(append([]string{"--port", "0", "--grpc-port", "0", "--data-dir", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache"), "--shutdown-grace", "5s"}, flags...)); err != nil {
		t.Fatal(err)
	}
	environ := []string{"HOME=" + dir}
	if err := cfg.resolve(environ); err != nil {
		t.Fatal(err)
	}
	b := &booted{log: &safeBuffer{}}
	var err error
	if b.App, err = New(t.Context(), cfg, environ, slog.New(slog.NewTextHandler(b.log, nil))); err != nil {
		t.Fatal(err)
	}
	_, b.addr, _ = strings.Cut(b.URL(), "://")
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// message is a request as it goes over the wire; headers end with CRLF each.
func message(method, target, headers, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s", method, target, headers, len(body), body)
}

// dial opens a connection that fails rather than hangs.
func (b *booted) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatalf("the server is gone: %v", err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// send writes text to a connection of its own and reads one answer; method is that of the request.
func (b *booted) send(t *testing.T, method, text string) (*http.Response, string) {
	t.Helper()
	conn := b.dial(t)
	defer conn.Close()
	// A server that answers before it has read everything may close: the answer counts, not the failed write.
	go func() { _, _ = io.WriteString(conn, text) }()
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.200q: no answer: %v", text, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%.200q: %v", text, err)
	}
	return res, string(body)
}

// onDisk fails the test if a file below dir holds text.
func onDisk(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(p)
		if bytes.Contains(content, []byte(text)) {
			t.Errorf("%s holds what must not be stored", p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStopRightAfterStart(t *testing.T) {
	t.Parallel()
	began := time.Now()
	t.Run("server", func(t *testing.T) { boot(t) })
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("took %v: the stop waited out its grace", took)
	}
}
