package rest

import (
	"bytes"
	"compress/gzip"
	"io"
	"path"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"
)

// maxGzipCache bounds the compressed files that are kept, in bytes; beyond it files are compressed for each request that asks.
// MLflow 3.17.2's whole UI needs 7 MB.
const maxGzipCache = 16 << 20

// gzipCache holds the text files of the web UI, compressed on first use. It is safe for concurrent use.
type gzipCache struct {
	flight singleflight.Group
	mu     sync.Mutex
	pages  map[string]page // guarded by mu
	size   int             // bytes in pages; guarded by mu
}

func newGzipCache() *gzipCache { return &gzipCache{pages: map[string]page{}} }

// get returns the file name, reading it with read the first time. A page from the cache has no plain body: whoever needs one
// decompresses it.
func (g *gzipCache) get(name string, read func() ([]byte, error)) (page, error) {
	g.mu.Lock()
	p, ok := g.pages[name]
	g.mu.Unlock()
	if ok {
		return p, nil
	}
	made, err, _ := g.flight.Do(name, func() (any, error) {
		body, err := read()
		if err != nil {
			return page{}, err
		}
		p, err := newPage(body)
		g.keep(name, p)
		return p, err
	})
	return made.(page), err
}

func (g *gzipCache) keep(name string, p page) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.pages[name]; ok || g.size+len(p.gzip) > maxGzipCache {
		return
	}
	g.size += len(p.gzip)
	p.body = nil
	g.pages[name] = p
}

func compress(r io.Reader) ([]byte, error) {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := io.Copy(w, r); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(buf.Bytes()), nil
}

func decompress(b []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// isText reports whether compressing the file is worth it.
func isText(p string) bool {
	switch strings.ToLower(path.Ext(p)) {
	case ".js", ".mjs", ".css", ".html", ".json", ".svg", ".txt", ".map", ".wasm":
		return true
	}
	return false
}

// webType is the content type of a file that a browser runs or shows on our origin.
func webType(p string) string {
	switch strings.ToLower(path.Ext(p)) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".json", ".map":
		return "application/json"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain; charset=utf-8"
	case ".wasm":
		return "application/wasm"
	case ".ico":
		return "image/x-icon"
	case ".woff", ".woff2", ".ttf":
		return "font/" + strings.TrimPrefix(strings.ToLower(path.Ext(p)), ".")
	}
	return mimeOf(p)
}
