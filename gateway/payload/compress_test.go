package payload

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"

	"sluice/tracking/mlflow"
)

func compressed(t *testing.T, encoding string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if encoding == "deflate" {
		w = zlib.NewWriter(&b)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecompress(t *testing.T) {
	t.Parallel()
	body := []byte(strings.Repeat("body ", 1000))
	for _, encoding := range []string{"gzip", "GZIP", "x-gzip", "deflate"} {
		got, err := Decompress(encoding, compressed(t, encoding, body), int64(len(body)), []byte("before "))
		if err != nil || string(got) != "before "+string(body) {
			t.Errorf("%s: got %d bytes, %v", encoding, len(got), err)
		}
	}
	for _, encoding := range []string{"", "identity", " "} {
		if got, err := Decompress(encoding, body, 1<<20, nil); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%q: got %d bytes, %v", encoding, len(got), err)
		}
	}
}

func TestDecompressRefuses(t *testing.T) {
	t.Parallel()
	bomb := compressed(t, "gzip", make([]byte, 64<<20))
	good := compressed(t, "gzip", []byte("hello"))
	for _, c := range []struct {
		name, encoding string
		body           []byte
		max            int64
		status         int
	}{
		{"bomb", "gzip", bomb, 1 << 20, 413},
		{"deflate bomb", "deflate", compressed(t, "deflate", make([]byte, 1<<20)), 1<<20 - 1, 413},
		{"one byte over", "gzip", good, 4, 413},
		{"plain too large", "", []byte("hello"), 4, 413},
		{"cut", "gzip", good[:len(good)-3], 100, 400},
		{"not gzip", "gzip", []byte("hello"), 100, 400},
		{"empty", "gzip", nil, 100, 400},
		{"brotli", "br", good, 100, 415},
		{"two", "gzip, gzip", good, 100, 415},
	} {
		got, err := Decompress(c.encoding, c.body, c.max, nil)
		var e *mlflow.Error
		if !errors.As(err, &e) || e.HTTPStatus() != c.status || got != nil {
			t.Errorf("%s: got %d bytes, %v; want status %d", c.name, len(got), err, c.status)
		}
	}
}
