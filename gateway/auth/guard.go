package auth

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/gofiber/fiber/v2"

	"sluice/tracking/mlflow"
)

// GuardOptions of Guard; the zero value works.
type GuardOptions struct {
	// AllowedHosts are the Host headers that are answered, as --allowed-hosts has them: a name or address (any port), with a port, or
	// with "*" at its begin ("*.example.com") or as its port. "*" alone allows all. Empty means localhost, loopback and private
	// addresses; a list replaces these, as in MLflow.
	AllowedHosts []string
	// OwnHosts are further names that are always answered: what the server was told to listen on.
	OwnHosts []string
	// AllowedOrigins are the origins of other web pages that may call ("https://app.example.com"); "*" allows all. Empty means none but
	// the server's own and, on loopback, other loopback ones.
	AllowedOrigins []string
}

// probes are answered whatever the Host header says, so that a load balancer can ask by address.
var probes = map[string]bool{"/health": true, "/version": true, "/ping": true, "/ready": true, "/v2/health/live": true, "/v2/health/ready": true}

const (
	hostRefused   = "Invalid Host header - possible DNS rebinding attack detected. Name the host with --allowed-hosts."
	originRefused = "Cross-origin request blocked. Name the origin with --cors-allowed-origins."
)

// Headers in the form that the engine keeps them in; it would otherwise make that form on every request. Read only.
var (
	keyOrigin             = []byte(fiber.HeaderOrigin)
	keySecFetchSite       = []byte("Sec-Fetch-Site")
	keyFrameOptions       = []byte(fiber.HeaderXFrameOptions)
	keyContentTypeOptions = []byte(fiber.HeaderXContentTypeOptions)
	sameOriginFrames      = []byte("SAMEORIGIN")
	noSniff               = []byte("nosniff")
)

// Guard returns the handler that goes before all routes. It sets X-Frame-Options and X-Content-Type-Options, refuses requests whose end is
// declared twice (smuggling, BAD_REQUEST), refuses requests for hosts that are not ours (DNS rebinding), refuses changes that a browser sends from another origin (CSRF), refuses the three content types
// that a form can send where JSON is expected, and answers CORS preflights. Refusals are PERMISSION_DENIED (403), and
// INVALID_PARAMETER_VALUE (400) for the content types.
//
// It returns an error for a pattern that cannot be understood.
func Guard(opts GuardOptions) (fiber.Handler, error) {
	hosts, err := parseHosts(opts.AllowedHosts, opts.OwnHosts)
	if err != nil {
		return nil, err
	}
	origins, err := parseOrigins(opts.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	g := &guard{hosts: hosts, origins: origins}
	return g.handle, nil
}

type guard struct {
	hosts   []hostPattern
	origins map[string]bool
	// lastHost is a Host header that was accepted; nearly every request repeats it.
	lastHost atomic.Pointer[string]
}

func (g *guard) handle(c *fiber.Ctx) error {
	h := &c.Response().Header
	h.SetCanonical(keyFrameOptions, sameOriginFrames)
	h.SetCanonical(keyContentTypeOptions, noSniff)
	if smuggled(c) {
		c.Context().SetConnectionClose()
		return mlflow.Errorf(mlflow.BadRequest, "The request has both a Content-Length and a Transfer-Encoding.")
	}
	if !g.hostOK(c) {
		return refuse(hostRefused)
	}
	origin := c.Request().Header.PeekCanonical(keyOrigin)
	if len(origin) > 0 {
		return g.withOrigin(c, string(origin))
	}
	if unsafeMethod(c.Method()) {
		switch site := c.Request().Header.PeekCanonical(keySecFetchSite); string(site) {
		case "", "same-origin", "none":
		default:
			return refuse(originRefused)
		}
		if err := formRefused(c); err != nil {
			return err
		}
	}
	return c.Next()
}

// withOrigin handles a request that a browser made for a page.
func (g *guard) withOrigin(c *fiber.Ctx, origin string) error {
	own := sameOrigin(origin, string(c.Request().Header.Host()))
	allowed := own || g.originAllowed(origin) || loopbackBoth(origin, string(c.Request().Header.Host()))
	if !own {
		c.Vary(fiber.HeaderOrigin)
	}
	if allowed && !own {
		c.Set(fiber.HeaderAccessControlAllowOrigin, origin)
		c.Set(fiber.HeaderAccessControlExposeHeaders, "X-Request-Id, X-Sluice-Endpoint, X-Sluice-Model-Version, X-Sluice-Arm, X-Sluice-Prediction-Id")
	}
	if c.Method() == fiber.MethodOptions && c.Get(fiber.HeaderAccessControlRequestMethod) != "" {
		return preflight(c, allowed)
	}
	if !allowed && unsafeMethod(c.Method()) {
		return refuse(originRefused)
	}
	return c.Next()
}

// smuggled says whether the request declares its end twice: a proxy in front may have seen it elsewhere than we do (RFC 9112, 6.1).
func smuggled(c *fiber.Ctx) bool {
	var length, encoding bool
	for rest := c.Request().Header.RawHeaders(); len(rest) > 0; {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		length = length || names(line, "content-length")
		encoding = encoding || names(line, "transfer-encoding")
	}
	return length && encoding
}

// names says whether the header line is one of that name, which is lower case.
func names(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && asciiFold(line[:len(name)], name)
}

// preflight answers what a browser asks before a request that a form could not send.
func preflight(c *fiber.Ctx, allowed bool) error {
	if !allowed {
		return refuse(originRefused)
	}
	c.Set(fiber.HeaderAccessControlAllowMethods, "GET, HEAD, POST, PUT, PATCH, DELETE")
	c.Vary(fiber.HeaderAccessControlRequestHeaders)
	c.Set(fiber.HeaderAccessControlAllowHeaders, c.Get(fiber.HeaderAccessControlRequestHeaders))
	c.Set(fiber.HeaderAccessControlMaxAge, "600")
	return c.SendStatus(fiber.StatusNoContent)
}

// hostOK checks the Host header, and the host of the request line where a client wrote one there.
func (g *guard) hostOK(c *fiber.Ctx) bool {
	header := c.Request().Header.Host()
	if last := g.lastHost.Load(); last == nil || string(header) != *last {
		host := string(header)
		if !g.hostAllowed(host) {
			return probes[c.Path()] && !unsafeMethod(c.Method())
		}
		g.lastHost.Store(&host)
	}
	uri := c.Request().URI().Host()
	return string(uri) == string(header) || g.hostAllowed(string(uri))
}

func (g *guard) hostAllowed(header string) bool {
	host, port, ok := splitHost(header)
	if !ok {
		return false
	}
	for _, p := range g.hosts {
		if p.match(host, port) {
			return true
		}
	}
	return false
}

func (g *guard) originAllowed(origin string) bool {
	return origin != "null" && (g.origins["*"] || g.origins[strings.ToLower(origin)])
}

// sameOrigin says whether the origin is the host that was asked. The scheme is not compared: a TLS proxy may stand in between.
func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return false
	}
	return strings.EqualFold(trimPort(u.Host, u.Scheme), trimPort(host, u.Scheme))
}

// trimPort takes the scheme's default port off.
func trimPort(host, scheme string) string {
	if scheme == "http" {
		return strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":443")
}

// loopbackBoth says whether the page and the server are both on loopback: a page of this machine, on whatever port, as MLflow allows it.
func loopbackBoth(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return false
	}
	name, _, ok := splitHost(host)
	return ok && Loopback(name) && Loopback(u.Hostname())
}

// formRefused refuses what an HTML form can send to the API without the browser asking first.
func formRefused(c *fiber.Ctx) error {
	path := c.Path()
	if c.Method() != fiber.MethodPost || !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/ajax-api/") {
		return nil
	}
	kind, _, _ := strings.Cut(string(c.Request().Header.ContentType()), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case fiber.MIMEApplicationForm, fiber.MIMEMultipartForm, fiber.MIMETextPlain:
		return mlflow.Invalidf("Bad Request. Content-Type must be one of ['application/json'].")
	}
	return nil
}

func unsafeMethod(m string) bool {
	return m != fiber.MethodGet && m != fiber.MethodHead && m != fiber.MethodOptions
}

func refuse(message string) error {
	return &mlflow.Error{Code: mlflow.PermissionDenied, Message: message}
}

func parseOrigins(list []string) (map[string]bool, error) {
	out := make(map[string]bool, len(list))
	for _, o := range list {
		if o == "*" {
			out[o] = true
			continue
		}
		u, err := url.Parse(o)
		if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil) {
			err = errors.New(`want "scheme://host[:port]"`)
		}
		if err != nil {
			return nil, fmt.Errorf("allowed origin %q: %w", o, err)
		}
		out[strings.ToLower(o)] = true
	}
	return out, nil
}
