package outbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"sluice/tracking/mlflow"
)

// ErrRefused is why an attempt did not leave the server: its address is none that webhooks may call.
var ErrRefused = errors.New("address refused")

const (
	resolveTimeout = 5 * time.Second
	dialTimeout    = 10 * time.Second
)

// GuardOptions are the settings of a Guard; nil and the zero value work.
type GuardOptions struct {
	// Schemes are the URL schemes that may be called; default https alone. Only http and https can be asked for.
	Schemes []string
	// AllowPrivate lets webhooks call addresses inside the network of the server, itself included.
	AllowPrivate bool
	// Lookup resolves names; default the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Guard decides which addresses may be called: when a webhook is made, and again at every connection, where the address that is being
// connected to counts, whatever its name resolved to before. Safe for concurrent use.
type Guard struct{ opts GuardOptions }

// NewGuard returns an error for schemes other than http and https.
func NewGuard(opts *GuardOptions) (*Guard, error) {
	var o GuardOptions
	if opts != nil {
		o = *opts
	}
	if len(o.Schemes) == 0 {
		o.Schemes = []string{"https"}
	}
	for _, s := range o.Schemes {
		if s != "http" && s != "https" {
			return nil, fmt.Errorf("webhooks can be delivered by http and https, not by %q", s)
		}
	}
	if o.Lookup == nil {
		o.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
			for i, ip := range found {
				found[i] = ip.Unmap()
			}
			return found, err
		}
	}
	return &Guard{o}, nil
}

// CheckURL returns INVALID_PARAMETER_VALUE, in MLflow's words, for an address that must not be called (source: _validate_webhook_url in
// mlflow/utils/validation.py, MLflow 3.17). Beyond MLflow's rules it refuses user names in URLs and old spellings of IPv4 addresses.
func (g *Guard) CheckURL(ctx context.Context, text string) error {
	if strings.TrimSpace(text) == "" {
		return mlflow.Invalidf("Webhook URL cannot be empty or just whitespace: %s", mlflow.Repr(text))
	}
	u, err := url.Parse(text)
	if err != nil {
		return mlflow.Invalidf("Invalid webhook URL %s: it is not a URL", mlflow.Repr(text))
	}
	if !slices.Contains(g.opts.Schemes, u.Scheme) {
		return mlflow.Invalidf("Invalid webhook URL scheme: %s. Allowed schemes are: %s.", mlflow.Repr(u.Scheme), strings.Join(g.opts.Schemes, ", "))
	}
	host := u.Hostname()
	if host == "" {
		return mlflow.Invalidf("Webhook URL must include a hostname: %s", mlflow.Repr(text))
	}
	if u.User != nil {
		return mlflow.Invalidf("Webhook URL must not include a user name or password.")
	}
	if g.opts.AllowPrivate {
		return nil
	}
	return g.checkHost(ctx, host)
}

func (g *Guard) checkHost(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addresses, err := g.resolve(ctx, host)
	if err != nil {
		return err
	}
	for _, ip := range addresses {
		if !public(ip) {
			return mlflow.Invalidf("Webhook URL must not resolve to a non-public IP address. %s resolves to %s.", mlflow.Repr(host), ip)
		}
	}
	return nil
}

func (g *Guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	if strings.Contains(host, ":") || numeric(host) {
		return nil, mlflow.Invalidf("Webhook URL host %s is not a canonical IP address literal.", mlflow.Repr(host))
	}
	addresses, err := g.opts.Lookup(ctx, host)
	if err != nil || len(addresses) == 0 {
		return nil, mlflow.Invalidf("Cannot resolve Webhook URL hostname %s: %s", mlflow.Repr(host), whyUnresolved(err))
	}
	return addresses, nil
}

func whyUnresolved(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "the resolver did not answer in time"
	case errors.As(err, &dns) && dns.IsNotFound, err == nil:
		return "no such host"
	}
	return "the resolver failed"
}

// dial connects to one of the addresses of the host, resolved now; each is checked, and again by the socket when it connects.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{Timeout: dialTimeout, Control: g.control}
	if g.opts.AllowPrivate {
		return d.DialContext(ctx, network, address)
	}
	addresses, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, ip := range addresses {
		conn, err := d.DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// control runs before the socket connects; address is the one that it is about to connect to.
func (g *Guard) control(_, address string, _ syscall.RawConn) error {
	if g.opts.AllowPrivate {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrRefused, address)
	}
	if !public(to.Addr()) {
		return fmt.Errorf("%w: %s is not a public IP address", ErrRefused, to.Addr())
	}
	return nil
}
