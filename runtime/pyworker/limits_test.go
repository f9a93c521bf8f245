package pyworker_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/runtime/pyworker"
)

// leak is what a leaking model keeps of each call, 100 MiB.
const leak = 100 << 20

// TestALeakCostsNoRequest lets a model leak until its bound refuses it memory: its worker is replaced, and the request answered by another.
func TestALeakCostsNoRequest(t *testing.T) {
	r := newRig(t, pyworker.Options{Workers: 1, MemoryBytes: 1200 << 20, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond})
	defer r.Close()
	pids := map[int64]int{}
	for len(pids) < 3 {
		pid := r.must(t, fmt.Sprint("leak ", leak), false)
		if pids[pid]++; pids[pid] > 12 {
			t.Fatalf("a worker has answered %d times, and its bound is 1200 MiB", pids[pid])
		}
	}
	r.expect(t, pyworker.Memory, 2)
}

// TestOutOfMemoryKill puts a worker under a bound of the system's own, which kills it without a word when it has leaked as much.
func TestOutOfMemoryKill(t *testing.T) {
	group := controlGroup(t, "memory", "memory.limit_in_bytes", 512<<20)
	r := newRig(t, pyworker.Options{Workers: 1, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond})
	defer r.Close()
	first := r.must(t, "nothing", false)
	group(first)
	for pid, calls := first, 0; pid == first; calls++ {
		if pid = r.must(t, fmt.Sprint("leak ", leak), false); calls > 8 {
			t.Fatal("the system lets a worker have more than its group's bound")
		}
	}
	r.expect(t, pyworker.OutOfMemory, 1)
}

// TestExhaustion runs a model into the other bounds: it is told so, and its worker survives.
func TestExhaustion(t *testing.T) {
	group := controlGroup(t, "pids", "pids.max", 60)
	r := newRig(t, pyworker.Options{Workers: 1, MaxFiles: 64})
	defer r.Close()
	first := r.must(t, "nothing", false)
	group(first)
	for deed, want := range map[string]string{"open 100": "Too many open files", "threads 100": "can't start new thread"} {
		if _, err := r.do(t.Context(), t, deed, false); !errors.Is(err, pyworker.ErrModel) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", deed, err)
		}
		if now := r.must(t, "nothing", false); now != first {
			t.Errorf("%s: the worker was replaced", deed)
		}
	}
}

// controlGroup makes a group of the system's controller (cgroups v1) with one setting, for processes that are put into it. What no process but
// root on such a machine can make is no part of what is tested: the test is skipped elsewhere.
func controlGroup(t *testing.T, controller, setting string, value int) (put func(pid int64)) {
	t.Helper()
	group := filepath.Join("/sys/fs/cgroup", controller, fmt.Sprintf("sluice-test-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skipf("this machine lends no control group: %v", err)
	}
	write := func(file string, value int64) {
		if err := os.WriteFile(filepath.Join(group, file), strconv.AppendInt(nil, value, 10), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { // the group goes when its last process has
		eventually(t, "the control group's end", func() bool { return os.Remove(group) == nil })
	})
	write(setting, int64(value))
	return func(pid int64) { write("cgroup.procs", pid) }
}
