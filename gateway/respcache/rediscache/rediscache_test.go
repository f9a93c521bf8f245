package rediscache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/goleak"

	"sluice/gateway/respcache"
	"sluice/gateway/respcache/respcachetest"
	"sluice/runtime/tensor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a Redis of a test's own, on a socket.
type server struct {
	process *exec.Cmd
	url     string
}

func start(t testing.TB) *server {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("redis-server is not installed: run `make redis`")
	}
	dir, err := os.MkdirTemp("", "redis") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	s := &server{exec.Command(program, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir), "unix://" + socket}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		_ = os.RemoveAll(dir)
	})
	probe := open(t, s.url, &Options{Timeout: time.Minute})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if probe.client.Ping(t.Context()).Err() == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal("redis-server does not answer after a minute")
		}
	}
}

func (s *server) kill() {
	_ = s.process.Process.Signal(syscall.SIGCONT)
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

func open(t testing.TB, url string, o *Options) *Store {
	t.Helper()
	s, err := New(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// patient is for tests on a busy machine that mind the answers.
func patient() *Options { return &Options{Timeout: time.Minute} }

func TestSuite(t *testing.T) {
	redis := start(t)
	respcachetest.Run(t, func(t *testing.T) respcache.Store {
		s := open(t, redis.url, patient())
		if err := s.client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestWhatAnybodyPutThereIsNoValue(t *testing.T) {
	s := open(t, start(t).url, patient())
	list, text := respcachetest.Key(1, 1), respcachetest.Key(1, 2)
	if err := errors.Join(s.client.LPush(t.Context(), prefix+list.String(), "x").Err(), s.client.Set(t.Context(), prefix+text.String(), "x", 0).Err()); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Get(t.Context(), list); v != "" || err != nil {
		t.Errorf("a list is %q, %v", v, err)
	}
	cache := respcache.New(map[string]respcache.Store{"redis": s}, nil)
	e := cache.Endpoint("e", respcache.Settings{Store: "redis", TTL: time.Hour, MaxEntryBytes: 1000})
	found, lead, err := e.Find(t.Context(), text, time.Hour, new(tensor.Batch))
	if found.Result != respcache.None || lead == nil || err != nil {
		t.Errorf("a text of somebody's is %v, %v", found, err)
	}
}

func TestTwoProcessesShareAnswers(t *testing.T) {
	redis := start(t)
	answer := new(tensor.Batch)
	answer.Reset(tensor.Bare)
	answer.AddColumn("").Reset(tensor.Float64, 3)
	endpoint := func() *respcache.Endpoint {
		cache := respcache.New(map[string]respcache.Store{"redis": open(t, redis.url, patient())}, nil)
		return cache.Endpoint("e", respcache.Settings{Store: "redis", TTL: time.Hour, MaxEntryBytes: 1000})
	}
	k, out := respcachetest.Key(1, 1), new(tensor.Batch)
	one, other := endpoint(), endpoint()
	if found, lead, err := one.Find(t.Context(), k, time.Hour, out); found.Result != respcache.None || err != nil {
		t.Fatalf("%v, %v", found, err)
	} else {
		lead.Answer(t.Context(), answer, nil)
	}
	if found, _, err := other.Find(t.Context(), k, time.Hour, out); found.Result != respcache.Hit || err != nil || out.Columns[0].Tensor.Len() != 3 {
		t.Errorf("%v, %v", found, err)
	}
}

// TestARedisThatHangsCostsLittle: each request waits for the timeout, the sixth and later ones not at all, and all goes on when Redis does.
func TestARedisThatHangsCostsLittle(t *testing.T) {
	redis := start(t)
	s := open(t, redis.url, &Options{Timeout: 20 * time.Millisecond, Rest: 50 * time.Millisecond})
	if err := redis.process.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	k := respcachetest.Key(1, 1)
	for i := range 5 {
		if _, err := s.Get(t.Context(), k); err == nil {
			t.Fatalf("%d: a stopped Redis answers", i)
		}
	}
	if err := s.Put(t.Context(), k, "x", time.Hour); !errors.Is(err, gobreaker.ErrOpenState) {
		t.Errorf("it is asked for a sixth time: %v", err)
	}
	if err := redis.process.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); s.Put(t.Context(), k, "x", time.Hour) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not asked again within a minute")
		}
	}
}

func TestARedisThatIsGone(t *testing.T) {
	redis := start(t)
	s := open(t, redis.url, patient())
	redis.kill()
	if _, err := s.Get(t.Context(), respcachetest.Key(1, 1)); err == nil {
		t.Error("a Redis that is gone answers")
	}
}

func TestACallerThatHasNoTimeSaysNothingAboutRedis(t *testing.T) {
	s := open(t, start(t).url, patient())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := s.Get(ended, respcachetest.Key(1, 1)); err == nil {
			t.Fatal("answered after its caller's end")
		}
	}
	if err := s.Put(t.Context(), respcachetest.Key(1, 1), "x", time.Hour); err != nil {
		t.Error(err)
	}
}

func TestAFullRedisIsReadAllTheSame(t *testing.T) {
	s := open(t, start(t).url, patient())
	if err := s.client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := s.Put(t.Context(), respcachetest.Key(1, i), "x", time.Hour); err == nil || !strings.Contains(err.Error(), "OOM") {
			t.Fatalf("put into a full Redis: %v", err)
		}
	}
	if _, err := s.Get(t.Context(), respcachetest.Key(1, 1)); err != nil {
		t.Error(err)
	}
}

func TestURLs(t *testing.T) {
	for url, good := range map[string]bool{
		"redis://localhost:6379/3": true, "rediss://me:secret@redis.example.org": true, "unix:///run/redis.sock": true,
		"": false, "localhost:6379": false, "http://me:secret@localhost": false, "redis://me:secret@localhost/abc": false, "redis://me:secret@[::1": false,
		"redis://me:secret@localhost?max_retries=5": false, "redis://me:secret@localhost:port": false,
	} {
		err := CheckURL(url)
		if (err == nil) != good {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%q: the error tells the password: %v", url, err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := open(b, start(b).url, patient())
	k := respcachetest.Key(1, 1)
	if err := s.Put(b.Context(), k, strings.Repeat("x", 512), time.Hour); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if v, err := s.Get(b.Context(), k); v == "" || err != nil {
			b.Fatal(v, err)
		}
	}
}
