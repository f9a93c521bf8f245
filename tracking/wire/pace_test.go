package wire_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/wire"
)

// zeros is an endless file that knows whether it was closed.
type zeros struct{ closed atomic.Bool }

func (*zeros) Read(p []byte) (int, error) { return len(p), nil }
func (z *zeros) Close() error             { z.closed.Store(true); return nil }

func TestUploadWaitsForTheSlowButNotForTheStanding(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pace   wire.Pace
		status int
	}{
		"patient":       {wire.Pace{Stall: time.Minute, Total: time.Minute}, 200},
		"stalled":       {wire.Pace{Stall: 50 * time.Millisecond, Total: time.Minute}, 408},
		"over all time": {wire.Pace{Stall: time.Minute, Total: 50 * time.Millisecond}, 408},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan error, 1)
			addr := serve(t, discard(), func(app *fiber.App) {
				app.Put("/", func(f *fiber.Ctx) error {
					r, err := wire.Upload(f, 1<<20, c.pace)
					if err == nil {
						_, err = io.Copy(io.Discard, r)
					}
					got <- err
					return err
				})
			})
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			half := strings.Repeat("x", 5000)
			if _, err := fmt.Fprintf(conn, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n%s", half); err != nil {
				t.Fatal(err)
			}
			if c.status == 200 {
				if _, err := io.WriteString(conn, half); err != nil {
					t.Fatal(err)
				}
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != c.status {
				t.Errorf("got %d (%v), want %d", res.StatusCode, <-got, c.status)
			}
		})
	}
}

func TestDownloadEndsWhenNobodyTakesIt(t *testing.T) {
	t.Parallel()
	var file zeros
	addr := serve(t, discard(), func(app *fiber.App) {
		app.Get("/", func(c *fiber.Ctx) error {
			wire.Download(c, &file, 1<<40, wire.Pace{Stall: 50 * time.Millisecond, Total: time.Hour})
			return nil
		})
	})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); !file.closed.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the file is open still, although nobody reads the answer")
		}
	}
}
