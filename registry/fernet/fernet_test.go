package fernet_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice/registry/fernet"
	"sluice/tracking/sqldb/sqldbtest"
)

func key(t testing.TB, text string, opts *fernet.Options) *fernet.Key {
	t.Helper()
	k, err := fernet.New(text, opts)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSpecification is the vector of the specification (fernet/spec, generate.json).
func TestSpecification(t *testing.T) {
	t.Parallel()
	iv := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	k := key(t, "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=", &fernet.Options{
		Now: func() time.Time { return time.Unix(499162800, 0) }, Random: bytes.NewReader(iv)})
	const want = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
	if got, err := k.Seal("hello"); err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := k.Open(want); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSealedComesBack(t *testing.T) {
	t.Parallel()
	k := key(t, fernet.Generate(), nil)
	for _, plain := range []string{"", "a", "exactly 16 bytes", strings.Repeat("x", 512), "Straße 日本 \x00"} {
		sealed, err := k.Seal(plain)
		if err != nil || len(sealed) > 1000 || len(plain) > 5 && strings.Contains(sealed, plain) {
			t.Errorf("%q: %s, %v", plain, sealed, err)
		}
		if got, err := k.Open(sealed); err != nil || got != plain {
			t.Errorf("got %q, %v; want %q", got, err, plain)
		}
	}
}

func TestChangedOrForeignIsRefused(t *testing.T) {
	t.Parallel()
	k, other := key(t, fernet.Generate(), nil), key(t, fernet.Generate(), nil)
	sealed, err := k.Seal("a secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(sealed); !errors.Is(err, fernet.ErrSealed) {
		t.Errorf("another key: %v", err)
	}
	raw, _ := base64.URLEncoding.DecodeString(sealed)
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if _, err := k.Open(base64.URLEncoding.EncodeToString(changed)); !errors.Is(err, fernet.ErrSealed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for i := range raw {
		if _, err := k.Open(base64.URLEncoding.EncodeToString(raw[:i])); !errors.Is(err, fernet.ErrSealed) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "secret", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4Q", "!!!!"} {
		if _, err := fernet.New(text, nil); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// TestPythonReadsOurs and writes what we read: MLflow uses this very class.
func TestPythonReadsOurs(t *testing.T) {
	t.Parallel()
	text := fernet.Generate()
	k := key(t, text, nil)
	sealed, err := k.Seal("ours ü")
	if err != nil {
		t.Fatal(err)
	}
	script := "import sys; from cryptography.fernet import Fernet; f = Fernet(sys.argv[1]); print(f.decrypt(sys.argv[2]).decode() + '|' + f.encrypt(b'theirs').decode())"
	cmd := exec.Command(sqldbtest.PythonPath(t), "-c", script, text, sealed)
	cmd.Env = append(cmd.Environ(), "PYTHONIOENCODING=utf-8")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, _ := strings.Cut(strings.TrimSpace(string(out)), "|")
	if plain, err := k.Open(theirs); ours != "ours ü" || err != nil || plain != "theirs" {
		t.Errorf("got %q and %q, %v", ours, plain, err)
	}
}

func FuzzOpen(f *testing.F) {
	k := key(f, "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=", nil)
	f.Add("gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if plain, err := k.Open(text); err == nil {
			if again, err := k.Seal(plain); err != nil || again == "" {
				t.Errorf("%q opened, but cannot be sealed: %v", plain, err)
			}
		}
	})
}
