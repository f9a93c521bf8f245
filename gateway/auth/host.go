package auth

import (
	"fmt"
	"net/netip"
	"strings"
)

// hostPattern is one allowed host. host is lower case without brackets; port "" or "*" means any.
type hostPattern struct {
	host   string // "*" all, "*.example.com" every name below, else exact
	port   string
	nearby bool // instead of host: localhost, loopback, private and unspecified addresses
}

func (p hostPattern) match(host, port string) bool {
	if p.nearby {
		return nearby(host)
	}
	if p.port != "" && p.port != "*" && p.port != port {
		return false
	}
	if suffix, wild := strings.CutPrefix(p.host, "*"); wild {
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return p.host == host
}

// nearby says whether host is localhost or an address that only this machine or its own network has. Addresses are parsed, so a name such
// as 10.evil.example is none.
func nearby(host string) bool {
	if Loopback(host) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	return addr.IsPrivate() || addr == netip.IPv4Unspecified()
}

// parseHosts compiles --allowed-hosts; own hosts are added.
func parseHosts(allowed, own []string) ([]hostPattern, error) {
	out := []hostPattern{}
	if len(allowed) == 0 {
		out = append(out, hostPattern{nearby: true})
	}
	for _, h := range append(append([]string{}, allowed...), own...) {
		if h == "" {
			continue
		}
		p, err := parsePattern(h)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func parsePattern(s string) (hostPattern, error) {
	if s == "*" {
		return hostPattern{host: "*"}, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil { // an IPv6 address without brackets
		return hostPattern{host: addr.String()}, nil
	}
	stem, wild := strings.CutPrefix(s, "*.")
	anyPort := strings.HasSuffix(stem, ":*")
	host, port, ok := splitHost(strings.TrimSuffix(stem, ":*"))
	if !ok || anyPort && port != "" {
		return hostPattern{}, fmt.Errorf("allowed host %q is not a name or address, optionally with a port or a leading \"*.\"", s)
	}
	if wild {
		host = "*." + host
	}
	return hostPattern{host: host, port: port}, nil
}

// splitHost reads a Host header: a name or IPv4 address, or an IPv6 address in brackets, then an optional port. The host comes back in
// lower case, without brackets and without a final dot. ok is false for anything else.
func splitHost(s string) (host, port string, ok bool) {
	if rest, v6 := strings.CutPrefix(s, "["); v6 {
		inner, after, closed := strings.Cut(rest, "]")
		addr, err := netip.ParseAddr(inner)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" || after != "" && after[0] != ':' {
			return "", "", false
		}
		port, ok = portOf(after)
		return addr.String(), port, ok
	}
	host, _, _ = strings.Cut(s, ":")
	port, ok = portOf(s[len(host):])
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host, port, ok && hostName(host)
}

// portOf reads ":port" or nothing.
func portOf(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	s = s[1:]
	if s == "" || len(s) > 5 {
		return "", false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return "", false
		}
	}
	return s, true
}

func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}
