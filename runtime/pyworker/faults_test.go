package pyworker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/runtime/pyworker"
	"sluice/runtime/servable"
	"sluice/runtime/tensor"
)

// patience is how long a test waits for what must come on a busy machine.
const patience = 120 * time.Second

// rig is a served "faults" model.
type rig struct {
	*pyworker.Backend
	restarts *pyworker.Restarts
	tokens   string
	made     int
	log      *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newRig(t *testing.T, opts pyworker.Options) *rig {
	t.Helper()
	return newRigOf(t, filepath.Join(models, "faults"), opts)
}

// newRigOf is newRig for a copy of the model in another folder.
func newRigOf(t *testing.T, dir string, opts pyworker.Options) *rig {
	t.Helper()
	r := &rig{restarts: new(pyworker.Restarts), tokens: t.TempDir(), log: new(syncBuffer)}
	opts.Restarts, opts.Inspect = r.restarts, 50*time.Millisecond
	opts.Logger = slog.New(slog.NewTextHandler(r.log, nil)).With(slog.String("model", "faults"))
	r.Backend = openDir(t, dir, &opts)
	return r
}

// count is how many workers were replaced for a reason.
func (r *rig) count(reason pyworker.Reason) (n int64) {
	r.restarts.Each(func(have pyworker.Reason, count int64) {
		if have == reason {
			n = count
		}
	})
	return n
}

// do asks for a deed and returns the process that answered. Once deeds are done by the first worker that meets them.
func (r *rig) do(ctx context.Context, t *testing.T, deed string, once bool) (pid int64, err error) {
	t.Helper()
	token := ""
	if once {
		r.made++
		token = filepath.Join(r.tokens, fmt.Sprint(r.made))
	}
	var out tensor.Batch
	if err := r.Predict(ctx, table(t, column{"deed", []string{deed}}, column{"token", []string{token}}), nil, &out); err != nil {
		return 0, err
	}
	return tensor.Of[int64](&out.Columns[0].Tensor)[0], nil
}

// must is do that has to succeed.
func (r *rig) must(t *testing.T, deed string, once bool) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pid, err := r.do(ctx, t, deed, once)
	if err != nil {
		t.Fatalf("%s: %v", deed, err)
	}
	return pid
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if check() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("%s did not come true", what)
}

func (r *rig) expect(t *testing.T, reason pyworker.Reason, n int64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d restarts for %s", n, reason), func() bool { return r.count(reason) == n })
}

// TestFaults loses workers in every way: the request under way is answered by a sibling, and the loss is counted by its reason.
func TestFaults(t *testing.T) {
	r := newRig(t, pyworker.Options{Workers: 2, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond})
	defer r.Close()
	for _, c := range []struct {
		deed   string
		reason pyworker.Reason
		n      int64
	}{
		{"kill", pyworker.Killed, 1}, {"stop", pyworker.Stopped, 1}, {"exit", pyworker.Crashed, 1},
		{"garbage", pyworker.Garbage, 1}, {"close", pyworker.Crashed, 2},
	} {
		t.Run(c.deed, func(t *testing.T) {
			r.must(t, c.deed, true)
			r.expect(t, c.reason, c.n)
		})
	}
	t.Run("a request that kills every worker is given up", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := r.do(ctx, t, "kill", false); !errors.Is(err, servable.ErrLost) {
			t.Errorf("got %v", err)
		}
		r.expect(t, pyworker.Killed, 3)
		r.must(t, "nothing", false)
	})
}

// TestDeadlines interrupts predictions that take too long, and keeps the worker where that helps.
func TestDeadlines(t *testing.T) {
	r := newRig(t, pyworker.Options{Workers: 1, InterruptGrace: 2 * time.Second, MinBackoff: time.Millisecond})
	defer r.Close()
	pid := r.must(t, "nothing", false)
	expire := func(t *testing.T, deed string) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := r.do(ctx, t, deed, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v", deed, err)
		}
	}
	t.Run("busy loop", func(t *testing.T) {
		for range 3 {
			expire(t, "spin")
		}
		if now := r.must(t, "nothing", false); now != pid {
			t.Errorf("the worker was replaced")
		}
	})
	t.Run("a wait", func(t *testing.T) {
		expire(t, "sleep 60")
		if now := r.must(t, "nothing", false); now != pid {
			t.Errorf("the worker was replaced")
		}
	})
	t.Run("a model that ends itself", func(t *testing.T) {
		if _, err := r.do(t.Context(), t, "sys.exit", false); !errors.Is(err, pyworker.ErrModel) {
			t.Errorf("got %v", err)
		}
		if now := r.must(t, "nothing", false); now != pid {
			t.Errorf("the worker was replaced")
		}
	})
	t.Run("a model that cannot be interrupted", func(t *testing.T) {
		expire(t, "stubborn")
		r.expect(t, pyworker.Hung, 1)
		if now := r.must(t, "nothing", false); now == pid {
			t.Errorf("the worker was not replaced")
		}
	})
}

// TestMemory bounds what workers allocate, and replaces those that hold too much.
func TestMemory(t *testing.T) {
	const bound = 1 << 30
	r := newRig(t, pyworker.Options{Workers: 1, MemoryBytes: bound, MinBackoff: time.Millisecond})
	defer r.Close()
	pid := r.must(t, "nothing", false)
	if _, err := r.do(t.Context(), t, fmt.Sprintf("allocate %d", 2*bound), false); !errors.Is(err, pyworker.ErrModel) || !strings.Contains(err.Error(), "MemoryError") {
		t.Errorf("got %v", err)
	}
	if now := r.must(t, "nothing", false); now != pid {
		t.Errorf("the worker was replaced for what it was not given")
	}
	r.must(t, fmt.Sprintf("hold %d", bound), true) // shared memory, which no limit of the system counts
	r.expect(t, pyworker.Memory, 1)
	eventually(t, "another worker", func() bool { return r.must(t, "nothing", false) != pid })
	if n := r.Bytes(); n <= 0 || n > bound {
		t.Errorf("%d bytes", n)
	}
}

// TestRecycling replaces a worker that has done its share, without a failed request and without a gap.
func TestRecycling(t *testing.T) {
	for _, c := range []struct {
		reason pyworker.Reason
		opts   pyworker.Options
	}{
		{pyworker.Requests, pyworker.Options{MaxRequests: 5}},
		{pyworker.Rows, pyworker.Options{MaxRows: 5}},
		{pyworker.Age, pyworker.Options{MaxAge: time.Second}},
	} {
		t.Run(c.reason.String(), func(t *testing.T) {
			c.opts.Workers = 1
			r := newRig(t, c.opts)
			defer r.Close()
			first := r.must(t, "spawn", false)
			eventually(t, "a successor", func() bool { return r.must(t, "nothing", false) != first })
			eventually(t, "a restart", func() bool { return r.count(c.reason) >= 1 })
			eventually(t, "the first worker's end", func() bool { return !alive(first) })
			for reason := range pyworker.Age { // those that are no plan
				if n := r.count(reason); n != 0 {
					t.Errorf("%d workers were lost: %s", n, reason)
				}
			}
		})
	}
}

// TestSurroundings looks at what a worker sees and leaves.
func TestSurroundings(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, pyworker.Options{Workers: 1, Dir: dir, Environ: append(os.Environ(), "AWS_SECRET_ACCESS_KEY=hush", "OMP_TOKEN=hush", "LC_TIME=C"), MaxFiles: 77, Nice: 3})
	first := r.must(t, "print where", false)
	second := r.must(t, "spawn", false)
	if first != second {
		t.Errorf("two workers")
	}
	r.must(t, "tell", false)
	eventually(t, "the model's output in the log", func() bool {
		return strings.Count(r.log.String(), "text=where") == 2 && strings.Contains(r.log.String(), "told files") && strings.Contains(r.log.String(), "LC_TIME")
	})
	log := r.log.String()
	priority, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0) // 20 − niceness, as the system call has it
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"model=faults", "stream=stdout", "stream=stderr", "files=77", fmt.Sprintf("nice=%d", 20-priority+3), "mode=700", "LC_TIME"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, "hush") || strings.Contains(log, "OMP_TOKEN") {
		t.Errorf("a credential is in the worker's environment:\n%s", log)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(first) {
		t.Errorf("the worker lives")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestBroken names what is wrong with a model or an interpreter.
func TestBroken(t *testing.T) {
	if _, err := pyworker.LoadDir(t.Context(), interpreter, filepath.Join(models, "broken"), &pyworker.Options{Dir: t.TempDir()}); !errors.Is(err, pyworker.ErrModel) || !strings.Contains(err.Error(), "the model's own reason") {
		t.Errorf("got %v", err)
	}
	if _, err := pyworker.LoadDir(t.Context(), filepath.Join(models, "no-such-python"), filepath.Join(models, "sums"), &pyworker.Options{Dir: t.TempDir()}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// alive reports whether a process, or its zombie, is there.
func alive(pid int64) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil
}
