package wire_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/wire"
)

// letters is an answer of n letters, or a failure.
type letters int

var errLetters = errors.New("no letters")

func (n letters) AppendJSON(b []byte) ([]byte, error) {
	if n < 0 {
		return nil, errLetters
	}
	return append(b, letterText(int(n))...), nil
}

func letterText(n int) string { return strings.Repeat(string(rune('a'+n%26)), n) }

// TestBuffers: answers of all lengths, several at once and one after the other on one connection, arrive whole and as themselves.
func TestBuffers(t *testing.T) {
	t.Parallel()
	var buffers wire.Buffers
	app := fiber.New(fiber.Config{DisableStartupMessage: true, ErrorHandler: func(c *fiber.Ctx, err error) error { return c.Status(500).SendString(err.Error()) }})
	app.Get("/:n", func(c *fiber.Ctx) error {
		n, err := c.ParamsInt("n")
		return errors.Join(err, buffers.Send(c, letters(n)))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for _, n := range []int{0, 1, 16 << 10, 16<<10 + 1, 100_003, 2_000_001, 5, -1, 70_000} {
				status, body, err := fetch(client, "http://"+listener.Addr().String()+"/"+strconv.Itoa(n))
				if n < 0 {
					if err != nil || status != 500 || body != errLetters.Error() {
						t.Errorf("a failure: got %d %.40q, %v", status, body, err)
					}
				} else if err != nil || status != 200 || body != letterText(n) {
					t.Errorf("%d letters: got %d, %d of them, %v", n, status, len(body), err)
				}
			}
		})
	}
	clients.Wait()
	if err := errors.Join(app.Shutdown(), <-served); err != nil {
		t.Error(err)
	}
}

func fetch(client *http.Client, url string) (int, string, error) {
	res, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), errors.Join(err, res.Body.Close())
}
