package outbox

import (
	"net/netip"
	"strings"
)

// closed are the parts of the address space that are not the public Internet (source: IANA's special-purpose registries, as Python's
// ipaddress has them, and multicast, which it calls global).
var closed = prefixes("0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 " +
	"192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 " +
	"2001::/23 2001:db8::/32 3fff::/20")

// open6 is where public IPv6 addresses lie; 6to4 and NAT64 wrap an IPv4 address.
var (
	open6 = netip.MustParsePrefix("2000::/3")
	sixTo = netip.MustParsePrefix("2002::/16")
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(text string) []netip.Prefix {
	var out []netip.Prefix
	for field := range strings.FieldsSeq(text) {
		out = append(out, netip.MustParsePrefix(field))
	}
	return out
}

// unwrap returns the IPv4 address that an IPv6 address stands for: mapped, 6to4, NAT64.
func unwrap(ip netip.Addr) netip.Addr {
	ip = ip.Unmap()
	if ip.Is4() {
		return ip
	}
	b := ip.As16()
	switch {
	case sixTo.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16]))
	}
	return ip
}

// public says whether ip is on the public Internet, also when it wraps another.
func public(ip netip.Addr) bool {
	if ip.Zone() != "" {
		return false
	}
	ip = unwrap(ip)
	if ip.Is6() && !open6.Contains(ip) {
		return false
	}
	for _, p := range closed {
		if p.Contains(ip) {
			return false
		}
	}
	return ip.IsValid()
}

// numeric says whether a resolver might read the host as an IPv4 address in an old spelling: its last label is a number, decimal, octal or
// hexadecimal (source: the WHATWG URL standard's "ends in a number").
func numeric(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" {
		return true
	}
	if rest, ok := strings.CutPrefix(strings.ToLower(last), "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}
