// Package respcachetest is the suite that every respcache.Store passes.
//
// It owns what the contract promises, as tests. It is called by the drivers' tests; it must not know how a driver keeps anything.
package respcachetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/gateway/respcache"
)

// Run runs the suite over stores that New makes; each is empty and closed by the suite.
func Run(t *testing.T, New func(t *testing.T) respcache.Store) {
	for name, f := range map[string]func(t *testing.T, s respcache.Store){
		"what was put is found":      found,
		"keys are apart":             apart,
		"the last value counts":      last,
		"values end after their ttl": expiry,
		"values of any bytes":        anyBytes,
		"many at once":               many,
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			f(t, s)
		})
	}
}

// Key is a key for tests.
func Key(owner, n int) *respcache.Key {
	k := &respcache.Key{Owner: respcache.Owner(owner)}
	copy(k.Sum[:], fmt.Sprintf("%032d", n))
	return k
}

func put(t *testing.T, s respcache.Store, k *respcache.Key, value string, ttl time.Duration) {
	t.Helper()
	if err := s.Put(t.Context(), k, value, ttl); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, s respcache.Store, k *respcache.Key, value string) {
	t.Helper()
	got, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if got != value {
		t.Errorf("got %d bytes %.20q, want %d bytes %.20q", len(got), got, len(value), value)
	}
}

func found(t *testing.T, s respcache.Store) {
	want(t, s, Key(1, 1), "")
	put(t, s, Key(1, 1), "one", time.Hour)
	want(t, s, Key(1, 1), "one")
}

func apart(t *testing.T, s respcache.Store) {
	put(t, s, Key(1, 1), "one", time.Hour)
	want(t, s, Key(1, 2), "")
	want(t, s, Key(2, 1), "")
}

func last(t *testing.T, s respcache.Store) {
	put(t, s, Key(1, 1), "one", time.Hour)
	put(t, s, Key(1, 1), "two", time.Hour)
	want(t, s, Key(1, 1), "two")
}

func expiry(t *testing.T, s respcache.Store) {
	put(t, s, Key(1, 1), "short", time.Millisecond)
	put(t, s, Key(1, 2), "long", time.Hour)
	for deadline := time.Now().Add(30 * time.Second); ; {
		got, err := s.Get(t.Context(), Key(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		if got == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a value of 1 ms is still there after 30 s")
		}
	}
	want(t, s, Key(1, 2), "long")
}

func anyBytes(t *testing.T, s respcache.Store) {
	var all strings.Builder
	for i := range 1 << 16 {
		all.WriteByte(byte(i * 31))
	}
	put(t, s, Key(1, 1), all.String(), time.Hour)
	want(t, s, Key(1, 1), all.String())
}

func many(t *testing.T, s respcache.Store) {
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 50 {
				value := fmt.Sprintf("%d/%d", worker, i)
				if err := s.Put(t.Context(), Key(worker, i), value, time.Hour); err != nil {
					t.Error(err)
					return
				}
				if got, err := s.Get(t.Context(), Key(worker, i)); err != nil || got != value {
					t.Errorf("got %q, %v, want %q", got, err, value)
					return
				}
			}
		})
	}
	all.Wait()
}
