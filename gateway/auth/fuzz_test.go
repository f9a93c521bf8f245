package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"net"
	"strings"
	"testing"
)

// FuzzCredential: no header but those that carry the key's exact text is accepted.
func FuzzCredential(f *testing.F) {
	const key = "slk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	cred := &credential{Key: Key{Name: "ann", Hash: sha256.Sum256([]byte(key))}}
	set := &snapshot{byHash: map[Hash]*credential{cred.Hash: cred}}
	for _, s := range []string{
		"Bearer " + key, "bearer  " + key, "Basic " + base64.StdEncoding.EncodeToString([]byte("u:"+key)), "Basic x", "Bearer", "", " ", "Basic " + strings.Repeat("A", 2000),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if set.find([]byte(header)) == nil {
			return
		}
		if strings.Contains(header, key) {
			return
		}
		_, encoded, _ := strings.Cut(header, " ")
		text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
		if err != nil || !strings.HasSuffix(string(text), ":"+key) {
			t.Errorf("%q was accepted", header)
		}
	})
}

// FuzzHost: what the default accepts is localhost or an address of this machine or its network, whatever its spelling.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"localhost", "LOCALHOST.:80", "127.0.0.1:5000", "[::1]:1", "10.0.0.1", "10.evil", "[fd00::1]", "a@b", "", ":80", "[]", "[::1%25lo]"} {
		f.Add(s)
	}
	patterns, err := parseHosts(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	g := &guard{hosts: patterns}
	f.Fuzz(func(t *testing.T, header string) {
		if !g.hostAllowed(header) {
			return
		}
		host := header
		if h, _, err := net.SplitHostPort(header); err == nil {
			host = h
		}
		host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsUnspecified()) {
			t.Errorf("%q was accepted", header)
		}
	})
}
