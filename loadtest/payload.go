package loadtest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"
)

// Payload is what one request carries.
type Payload struct {
	Body        []byte
	ContentType string
	Header      map[string]string // further headers; may be nil
}

// Make says what payloads are made.
type Make struct {
	// Requests is how many different ones; at least 1.
	Requests int
	// Rows of each. Default (0): those of the model's own serving example if it has one, which is then the only payload; else 1.
	Rows int
	// Seed of the values: equal seeds make equal payloads.
	Seed uint64
	// Binary sends the tensors of the Open Inference Protocol as bytes and asks for bytes in the answer.
	Binary bool
}

const (
	jsonType   = "application/json"
	binaryType = "application/octet-stream" // of binary tensors
)

// Requests returns what sends the payloads to a URL; header goes before the payloads' own.
func Requests(url string, payloads []Payload, header map[string]string) []Request {
	out := make([]Request, len(payloads))
	for i, p := range payloads {
		all := map[string]string{"Content-Type": p.ContentType}
		maps.Copy(all, p.Header)
		maps.Copy(all, header)
		out[i] = Request{URL: url, Header: all, Body: p.Body}
	}
	return out
}

// Source asks servers what their models take.
type Source struct {
	// Client makes the calls. Default (nil): http.DefaultClient.
	Client *http.Client
	// Header goes with every call, for servers that ask who calls; may be nil.
	Header map[string]string
}

// maxPayload bounds anything that is fetched or read to make a payload from, bytes.
const maxPayload = 64 << 20

func (s Source) fetch(ctx context.Context, from string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	for name, value := range s.Header {
		req.Header.Set(name, value)
	}
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPayload))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("loadtest: GET %s: status %d: %.200s", from, res.StatusCode, body)
	}
	return body, nil
}
