package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a self-signed certificate for localhost and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", secret)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	b := boot(t, "--tls-cert", cert, "--tls-key", key)
	pool := x509.NewCertPool()
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(text)
	for _, v := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		conn, err := tls.Dial("tcp", b.addr, &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: v, MaxVersion: v})
		if (err == nil) != (v >= tls.VersionTLS12) {
			t.Errorf("%s: %v", tls.VersionName(v), err)
		}
		if err == nil {
			conn.Close()
		}
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	res, err := client.Get(b.URL() + "/version")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Proto != "HTTP/1.1" {
		t.Errorf("%s %d", res.Proto, res.StatusCode)
	}
}

func TestPlainHTTPOnTheTLSPortIsToldSo(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	b := boot(t, "--tls-cert", cert, "--tls-key", key)
	for _, text := range []string{message("GET", "/health", "", ""), message("POST", "/invocations", "", strings.Repeat("x", 30_000)), "G"} {
		res, body := b.send(t, "GET", text)
		if res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "https://") || !strings.Contains(body, `"error_code"`) {
			t.Errorf("%.20q: %d %s", text, res.StatusCode, body)
		}
	}
	for _, noise := range []string{"\x16\x03\x01\xff\xff", "\x00", "\x80\x2e\x01\x00\x02", "{}"} {
		conn := b.dial(t)
		if _, err := conn.Write([]byte(noise)); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
}

func TestWrongKeyPairIsNamed(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	_, other := certificate(t)
	for name, c := range map[string]Config{
		"the key of another": {TLSCert: cert, TLSKey: other}, "no file": {TLSCert: cert, TLSKey: key + ".none"}, "the wrong way round": {TLSCert: key, TLSKey: cert},
	} {
		if _, err := tlsConfig(&c, "http/1.1"); err == nil || !strings.Contains(err.Error(), "--tls-cert, --tls-key: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (&Config{TLSCert: cert}).checkTLS(); err == nil {
		t.Error("a certificate without a key is accepted")
	}
}

// What may be read may be asked after, with the same status and headers and no body.
func TestHead(t *testing.T) {
	t.Parallel()
	b := boot(t)
	b.send(t, "PUT", message("PUT", "/api/2.0/mlflow-artifacts/artifacts/f", "", "0123456789"))
	for target, length := range map[string]string{
		"/health": "2", "/version": "", "/": "", "/metrics": "", "/api/2.0/mlflow-artifacts/artifacts/f": "10", "/api/2.0/mlflow/experiments/get?experiment_id=0": "",
	} {
		got, _ := b.send(t, "GET", message("GET", target, "", ""))
		head, body := b.send(t, "HEAD", message("HEAD", target, "", ""))
		if head.StatusCode != http.StatusOK || got.StatusCode != http.StatusOK || body != "" || head.Header.Get("Content-Type") != got.Header.Get("Content-Type") {
			t.Errorf("%s: %d %q %v", target, head.StatusCode, body, head.Header)
		}
		if length != "" && head.Header.Get("Content-Length") != length {
			t.Errorf("%s: Content-Length %s, want %s", target, head.Header.Get("Content-Length"), length)
		}
	}
}
