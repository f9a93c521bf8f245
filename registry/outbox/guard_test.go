package outbox_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"sluice/registry"
	"sluice/registry/outbox"
	"sluice/tracking/mlflow"
)

func guard(t testing.TB, opts *outbox.GuardOptions) *outbox.Guard {
	t.Helper()
	g, err := outbox.NewGuard(opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// names resolves names without a network: a name may stand for several addresses.
func names(known map[string]string) func(context.Context, string) ([]netip.Addr, error) {
	return func(_ context.Context, host string) ([]netip.Addr, error) {
		var out []netip.Addr
		for text := range strings.FieldsSeq(known[host]) {
			out = append(out, netip.MustParseAddr(text))
		}
		return out, nil
	}
}

// TestCheckURL holds the inputs of the known advisories (CVE-2026-2393 and its kin).
func TestCheckURL(t *testing.T) {
	t.Parallel()
	g := guard(t, &outbox.GuardOptions{Lookup: names(map[string]string{
		"public.example": "93.184.216.34 2606:2800:220:1::1", "private.example": "10.0.0.8", "half.example": "93.184.216.34 127.0.0.1",
		"mapped.example": "::ffff:192.168.0.1", "metadata.example": "169.254.169.254",
	})})
	for _, c := range []struct{ url, want string }{
		{"https://public.example/hook?x=1", ""},
		{"https://93.184.216.34/", ""},
		{"https://[2606:2800:220:1::1]:8443/", ""},
		{"https://[64:ff9b::5db8:d822]/", ""}, // NAT64 of 93.184.216.34
		{"http://public.example/", "Invalid webhook URL scheme: 'http'. Allowed schemes are: https."},
		{"http://169.254.169.254/latest/meta-data/", "Invalid webhook URL scheme"},
		{"ftp://public.example/", "Invalid webhook URL scheme: 'ftp'"},
		{"file:///etc/passwd", "Invalid webhook URL scheme: 'file'"},
		{"//public.example/", "Invalid webhook URL scheme: ''"},
		{"gopher://127.0.0.1:6379/_x", "Invalid webhook URL scheme"},
		{"https:///hook", "must include a hostname"},
		{"", "cannot be empty"},
		{" \t", "cannot be empty"},
		{"https://public.example:port/", "Invalid webhook URL"},
		{"https://user:pw@public.example/", "user name"},
		{"https://public.example@127.0.0.1/", "user name"},
		{"https://169.254.169.254/latest/meta-data/", "'169.254.169.254' resolves to 169.254.169.254"},
		{"https://metadata.example/", "'metadata.example' resolves to 169.254.169.254"},
		{"https://127.0.0.1/", "non-public"}, {"https://10.1.2.3/", "non-public"}, {"https://172.16.0.1/", "non-public"},
		{"https://192.168.1.1/", "non-public"}, {"https://100.64.0.1/", "non-public"}, {"https://0.0.0.0/", "non-public"},
		{"https://224.0.0.1/", "non-public"}, {"https://255.255.255.255/", "non-public"}, {"https://198.18.0.1/", "non-public"},
		{"https://[::1]/", "non-public"}, {"https://[::]/", "non-public"}, {"https://[fe80::1]/", "non-public"}, {"https://[fc00::1]/", "non-public"},
		{"https://[ff02::1]/", "non-public"}, {"https://[2001:db8::1]/", "non-public"}, {"https://[2001::1]/", "non-public"},
		{"https://[::ffff:127.0.0.1]/", "non-public"}, {"https://[::ffff:7f00:1]/", "non-public"},
		{"https://[64:ff9b::7f00:1]/", "non-public"}, {"https://[64:ff9b:1::7f00:1]/", "non-public"}, {"https://[2002:7f00:1::]/", "non-public"},
		{"https://[::127.0.0.1]/", "non-public"}, {"https://[fe80::1%25eth0]/", "non-public"}, {"https://[2606:2800:220:1::1%25eth0]/", "non-public"},
		{"https://0177.0.0.1/", "not a canonical IP"}, {"https://127.1/", "not a canonical IP"}, {"https://2130706433/", "not a canonical IP"},
		{"https://0x7f.0.0.1/", "not a canonical IP"}, {"https://0x7f000001/", "not a canonical IP"}, {"https://127.0.0.1./", "not a canonical IP"},
		{"https://0x7F.1/", "not a canonical IP"}, {"https://0300.0250.0.1/", "not a canonical IP"}, {"https://./", "not a canonical IP"},
		{"https://private.example/", "resolves to 10.0.0.8"}, {"https://half.example/", "resolves to 127.0.0.1"},
		{"https://mapped.example/", "non-public"}, {"https://unknown.example/", "Cannot resolve Webhook URL hostname 'unknown.example'"},
	} {
		err := g.CheckURL(t.Context(), c.url)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.url, err)
			}
			continue
		}
		if mlflow.CodeOf(err) != mlflow.InvalidParameterValue || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.url, err, c.want)
		}
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	g := guard(t, &outbox.GuardOptions{Schemes: []string{"http", "https"}, AllowPrivate: true})
	for _, url := range []string{"http://127.0.0.1:8080/", "https://localhost/", "http://[::1]/"} {
		if err := g.CheckURL(t.Context(), url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if err := g.CheckURL(t.Context(), "ftp://127.0.0.1/"); err == nil {
		t.Error("ftp was allowed")
	}
	if _, err := outbox.NewGuard(&outbox.GuardOptions{Schemes: []string{"gopher"}}); err == nil {
		t.Error("gopher can be asked for")
	}
}

// TestNamesThatFlip resolves to a public address when the URL is checked and to this machine when it is called.
func TestNamesThatFlip(t *testing.T) {
	t.Parallel()
	var hits, lookups atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(receiver.Close)
	to, err := url.Parse(receiver.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, &outbox.GuardOptions{Schemes: []string{"http"}, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		if lookups.Add(1) == 1 {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}})
	sender, err := outbox.NewSender(outbox.SenderOptions{Guard: g, NewID: uuid.NewString})
	if err != nil {
		t.Fatal(err)
	}
	got, err := sender.Try(t.Context(), registry.Webhook{URL: "http://flip.example:" + to.Port() + "/"}, registry.WebhookEvent{Entity: "model_version", Action: "created"})
	if err != nil || got.OK || !strings.Contains(got.Error, outbox.ErrRefused.Error()) || hits.Load() != 0 {
		t.Errorf("got %+v, %v after %d hits", got, err, hits.Load())
	}
	if _, err := outbox.Dial(t.Context(), g, receiver.Listener.Addr().String()); !errors.Is(err, outbox.ErrRefused) {
		t.Errorf("the socket connected: %v", err)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{"https://127.1/", "https://[::ffff:127.0.0.1]/", "https://a@b/", "https://0x7f.1./", "https://93.184.216.34/"} {
		f.Add(seed)
	}
	g := guard(f, &outbox.GuardOptions{Lookup: names(nil)})
	f.Fuzz(func(t *testing.T, text string) {
		if g.CheckURL(t.Context(), text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.User != nil {
			t.Fatalf("%q was accepted", text)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err != nil || ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() {
			t.Fatalf("%q was accepted: %v", text, ip)
		}
	})
}
