package payload

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// Decompress undoes a Content-Encoding: "" and "identity" return body itself; "gzip" (also "x-gzip") and "deflate" (zlib, RFC 9110)
// append the content to dst and return it. max is the largest decompressed size in bytes, counted while reading, so that a small
// body cannot become a large one; it must be > 0. It applies to uncompressed bodies too.
//
// Errors are *mlflow.Error: status 413 over max, BAD_REQUEST for damaged data, status 415 for another encoding or a list of several.
func Decompress(contentEncoding string, body []byte, max int64, dst []byte) ([]byte, error) {
	name := strings.ToLower(strings.TrimSpace(contentEncoding))
	switch name {
	case "", "identity":
		if int64(len(body)) > max {
			return nil, overLimit(max)
		}
		return body, nil
	case "gzip", "x-gzip", "deflate":
	default:
		return nil, unsupportedf("Content encoding %s is not supported; send gzip, deflate or none.", quoteName(contentEncoding))
	}
	r, err := openCompressed(name, body)
	if err != nil {
		return nil, badf("The body is not valid %s data: %w", name, err)
	}
	dst, err = readBounded(r, max, dst)
	if errors.Is(err, errOverLimit) {
		return nil, overLimit(max)
	}
	if err != nil {
		return nil, badf("The body is not valid %s data: %w", name, err)
	}
	return dst, nil
}

func overLimit(max int64) error {
	return tooLargef("The request body is larger than the limit of %d bytes.", max)
}

func openCompressed(name string, body []byte) (io.Reader, error) {
	if name == "deflate" {
		return zlib.NewReader(bytes.NewReader(body))
	}
	return gzip.NewReader(bytes.NewReader(body))
}

var errOverLimit = errors.New("over the limit")

// readBounded appends at most max bytes of r to dst; one byte more is errOverLimit.
func readBounded(r io.Reader, max int64, dst []byte) ([]byte, error) {
	start := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if int64(len(dst)-start) > max {
			return nil, errOverLimit
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
