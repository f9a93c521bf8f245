package auth

import (
	"fmt"
	"net/netip"
	"strings"
)

// CheckBind returns an error if listening on host would let others in without a credential. host is what --host says: a name or an
// address, empty for all addresses. haveKey says whether a valid key exists; insecure is --insecure-no-auth.
func CheckBind(host string, haveKey, insecure bool) error {
	if haveKey || insecure || Loopback(host) {
		return nil
	}
	return fmt.Errorf("refusing to listen on %q without a key: everybody who reaches that address could change everything; "+
		"make a key with `sluice keys create <name>`, or pass --insecure-no-auth to serve without credentials", host)
}

// Loopback says whether host names this machine only: localhost or a loopback address. Other names do not count, whatever they resolve
// to today.
func Loopback(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
