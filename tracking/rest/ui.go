package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/artifact"
	"sluice/tracking/mlflow"
	"sluice/tracking/wire"
)

// setupPage stands at / until the UI has been fetched.
const setupPage = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>sluice</title></head><body>
<h1>The web UI is not installed</h1>
<p>The server works. To see MLflow's web UI here, run <code>make setup</code> and start the server again.</p>
</body></html>`

// webUI serves MLflow's built web UI from a folder. It is safe for concurrent use.
type webUI struct {
	root  *os.Root // nil without a UI
	index page
	files *gzipCache
}

// page is a document that is held in memory.
type page struct {
	body, gzip []byte
	etag       string
}

func newPage(body []byte) (page, error) {
	zipped, err := compress(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	return page{body, zipped, `"` + hex.EncodeToString(sum[:12]) + `"`}, err
}

// openUI opens the folder dir; "" and a folder that does not exist give the page that says how to get the UI.
func openUI(dir string) (*webUI, error) {
	root, err := os.OpenRoot(dir)
	if dir == "" || errors.Is(err, fs.ErrNotExist) {
		p, err := newPage([]byte(setupPage))
		return &webUI{index: p}, err
	}
	if err != nil {
		return nil, fmt.Errorf("web UI: %w", err)
	}
	index, err := root.ReadFile("index.html")
	if err == nil && !bytes.Contains(index, []byte("<head>")) {
		err = errors.New("index.html has no <head>")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("web UI in %s: %w", dir, err), root.Close())
	}
	p, err := newPage(bytes.Replace(index, []byte("<head>"), []byte("<head><script>"+script+"</script>"), 1))
	return &webUI{root: root, index: p, files: newGzipCache()}, err
}

func (u *webUI) close() error {
	if u.root == nil {
		return nil
	}
	return u.root.Close()
}

func (u *webUI) routes() []wire.Route {
	return []wire.Route{
		{Method: fiber.MethodGet, Path: "/", Permission: wire.Public, Audit: "tracking.ui.page", Handler: u.sendIndex},
		frameRoute(),
		{Method: fiber.MethodGet, Path: "/static-files/*", Permission: wire.Public, Audit: "tracking.ui.file", Handler: u.sendFile},
	}
}

// sendIndex answers the UI's one page; browsers ask again each time and usually get a 304.
func (u *webUI) sendIndex(c *fiber.Ctx) error {
	pageHeaders(c, uiPolicy)
	c.Set(fiber.HeaderCacheControl, "no-cache")
	return sendPage(c, u.index)
}

func sendPage(c *fiber.Ctx, p page) error {
	c.Set(fiber.HeaderETag, p.etag)
	c.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	if c.Get(fiber.HeaderIfNoneMatch) == p.etag {
		c.Status(fiber.StatusNotModified)
		return nil
	}
	if acceptsGzip(c) {
		c.Set(fiber.HeaderContentEncoding, "gzip")
		c.Response().SetBodyRaw(p.gzip)
		return nil
	}
	body, err := p.body, error(nil)
	if body == nil {
		body, err = decompress(p.gzip)
	}
	c.Response().SetBodyRaw(body)
	return err
}

// sendFile answers a file of the UI. Files under static/ carry a hash in their name and never change.
func (u *webUI) sendFile(c *fiber.Ctx) error {
	p, err := wire.Param(c, "*")
	if err != nil {
		return err
	}
	if p, err = artifact.CleanPath(p); err != nil {
		return err
	}
	if u.root == nil || p == "" {
		return noFile()
	}
	if strings.HasPrefix(p, "static/") {
		c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	} else {
		c.Set(fiber.HeaderCacheControl, "public, max-age=3600")
	}
	if strings.HasSuffix(p, ".html") {
		pageHeaders(c, uiPolicy)
	}
	if isText(p) {
		c.Set(fiber.HeaderContentType, webType(p))
		doc, err := u.files.get(p, func() ([]byte, error) { return u.read(p) })
		if err != nil {
			return u.missing(c, err)
		}
		return sendPage(c, doc)
	}
	return u.stream(c, p)
}

// stream answers fonts and pictures, which are compressed already.
func (u *webUI) stream(c *fiber.Ctx, p string) error {
	f, err := u.root.Open(p)
	if err != nil {
		return u.missing(c, err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return u.missing(c, errors.Join(err, fs.ErrNotExist, f.Close()))
	}
	c.Set(fiber.HeaderContentType, webType(p))
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	wire.Download(c, f, info.Size(), transfer)
	return nil
}

// maxUIFile bounds a file that is read into memory, in bytes; the largest of MLflow 3.17.2 has 6 MB.
const maxUIFile = 32 << 20

func (u *webUI) read(p string) ([]byte, error) {
	f, err := u.root.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxUIFile+1))
	if err == nil && len(b) > maxUIFile {
		err = fmt.Errorf("web UI: %s has more than %d bytes", p, maxUIFile)
	}
	return b, err
}

func (u *webUI) missing(c *fiber.Ctx, err error) error {
	c.Set(fiber.HeaderCacheControl, "no-store")
	if errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "escapes") {
		return noFile()
	}
	return err
}

func noFile() error {
	return mlflow.Errorf(mlflow.EndpointNotFound, "The web UI has no such file.")
}

func acceptsGzip(c *fiber.Ctx) bool {
	for part := range strings.SplitSeq(c.Get(fiber.HeaderAcceptEncoding), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if (name == "gzip" || name == "*") && strings.TrimSpace(q) != "q=0" {
			return true
		}
	}
	return false
}
