package pyenv

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestIndexSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pip.conf")
	text := "[global]\n# comment\nindex-url = https://file.example/simple\nfind-links =\n  /srv/one\n  /srv/two\ntrusted_host = file.example\n[freeze]\nindex-url = https://no\n[install]\ncert = /etc/ca.pem\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		environ []string
		files   []string
		want    []string
	}{
		{"nothing is passed by default", []string{"HOME=/root", "AWS_SECRET_ACCESS_KEY=x", "UV_PUBLISH_TOKEN=x", "PIP_TIMEOUT=3"}, nil, nil},
		{"uv's own", []string{"UV_INDEX_URL=https://u", "https_proxy=http://p", "UV_INDEX_A_USERNAME=n", "PIP_INDEX_URL=https://pip"}, []string{file},
			[]string{"SSL_CERT_FILE=/etc/ca.pem", "UV_FIND_LINKS=/srv/one,/srv/two", "UV_INDEX_A_USERNAME=n", "UV_INDEX_URL=https://u", "UV_INSECURE_HOST=file.example", "https_proxy=http://p"}},
		{"pip's variables before pip's files", []string{"PIP_INDEX_URL=https://pip", "PIP_NO_INDEX="}, []string{"/nowhere", file},
			[]string{"SSL_CERT_FILE=/etc/ca.pem", "UV_DEFAULT_INDEX=https://pip", "UV_FIND_LINKS=/srv/one,/srv/two", "UV_INSECURE_HOST=file.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := indexSettings(c.environ, c.files); !slices.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

func TestTheKeyKnowsTheIndexAndNotItsCredentials(t *testing.T) {
	key := func(environ ...string) string {
		t.Helper()
		p := pool(t, t.TempDir(), Options{Environ: append(environ, "PATH="+os.Getenv("PATH"))})
		k, err := p.Key(patient(t), Spec{Requirements: []string{"b", "a", "b"}})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	plain, one, rotated := key(), key("UV_INDEX_URL=https://u:old@h/s"), key("UV_INDEX_URL=https://u:new@h/s")
	if plain == one || one != rotated {
		t.Errorf("got the keys %s, %s and %s", plain, one, rotated)
	}
	p := pool(t, t.TempDir(), Options{})
	again, err := p.Key(patient(t), Spec{Requirements: []string{"a", "b"}})
	if err != nil || again != plain {
		t.Errorf("the order of requirements changes the key: %s, %s, %v", again, plain, err)
	}
}

func TestOutputIsBoundedAndHoldsNoCredentials(t *testing.T) {
	var o output
	o.say("first https://user:pw@host/x")
	for range 2000 {
		o.say("%s", strings.Repeat("y", 2*maxLine))
	}
	o.say("last\xff")
	text := o.String()
	if len(text) > maxHead+2*maxTail+maxLine || !strings.HasPrefix(text, "first https://host/x\n") || !strings.HasSuffix(text, "last�\n") || !strings.Contains(text, "…") {
		t.Errorf("kept %d bytes, %.40q … %q", len(text), text, text[len(text)-20:])
	}
	if end := o.end(); len(end) > maxWhy+10 || !strings.HasSuffix(end, "last�") {
		t.Errorf("the end has %d bytes", len(end))
	}
}
