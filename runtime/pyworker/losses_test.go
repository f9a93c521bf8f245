package pyworker_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/runtime/pyworker"
	"sluice/runtime/servable"
)

// TestAllWorkersAtOnce kills every worker while nobody asks: who asks next waits for a new one, and is answered.
func TestAllWorkersAtOnce(t *testing.T) {
	r := newRig(t, pyworker.Options{Workers: 2, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond})
	defer r.Close()
	pids := map[int64]bool{}
	eventually(t, "two workers", func() bool {
		var both [2]int64
		var wg sync.WaitGroup
		for i := range both {
			wg.Go(func() { both[i], _ = r.do(t.Context(), t, "sleep 0.2", false) })
		}
		wg.Wait()
		pids[both[0]], pids[both[1]] = true, true
		delete(pids, 0)
		return len(pids) == 2
	})
	for pid := range pids {
		if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if now := r.must(t, "nothing", false); pids[now] {
		t.Errorf("process %d answers after its end", now)
	}
	r.expect(t, pyworker.Killed, 2)
}

// faultsThat copies the model with another deed on loading, which the file at loading may change again.
func faultsThat(t *testing.T, deed string) (dir, loading string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "faults")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(models, "faults"))); err != nil {
		t.Fatal(err)
	}
	loading = filepath.Join(dir, "artifacts", "loading")
	if err := os.WriteFile(loading, []byte(deed), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, loading
}

// TestLossWhileLoading loses the first worker before it has loaded the model: that is an error of the load, which does not hang.
func TestLossWhileLoading(t *testing.T) {
	for deed, want := range map[string]string{"kill": "killed", "exit": "crashed", "garbage": "garbage"} {
		dir, _ := faultsThat(t, deed)
		_, err := pyworker.LoadDir(t.Context(), interpreter, dir, &pyworker.Options{Dir: t.TempDir(), Workers: 1})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", deed, err)
		}
	}
}

// TestAStormOverAModelThatCannotBeLoadedAgain asks without end for a model whose workers cannot be started any more: every request is refused at
// once, none of them starts a process, and the model is back when it can be.
func TestAStormOverAModelThatCannotBeLoadedAgain(t *testing.T) {
	dir, loading := faultsThat(t, "nothing")
	r := newRigOf(t, dir, pyworker.Options{Workers: 1, MinBackoff: 3 * time.Second, MaxBackoff: 3 * time.Second})
	defer r.Close()
	if err := os.WriteFile(loading, []byte("exit"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.do(t.Context(), t, "kill", false); err == nil {
		t.Error("a request that kills the only worker was answered")
	}
	eventually(t, "a failed start", func() bool { return r.count(pyworker.Failed) > 0 })
	before, began := r.count(pyworker.Failed), time.Now()
	for range 500 {
		if _, err := r.do(t.Context(), t, "nothing", false); !errors.Is(err, servable.ErrNotAvailable) {
			t.Fatalf("got %v", err)
		}
	}
	if n, most := r.count(pyworker.Failed)-before, int64(time.Since(began)/(3*time.Second))+1; n > most {
		t.Errorf("%d starts failed where one every 3 s may be tried", n)
	}
	if err := r.Down(); err == nil || !strings.Contains(err.Error(), "no worker could be started") {
		t.Errorf("down: got %v", err)
	}
	if err := os.WriteFile(loading, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	awaitAnswer(t, r)
	if err := r.Down(); err != nil {
		t.Errorf("up again: %v", err)
	}
}

// TestWorkersThatDieSoonAfterTheirStart have loaded the model each time. Who asks during a long back-off is refused at once, not kept waiting for it.
func TestWorkersThatDieSoonAfterTheirStart(t *testing.T) {
	r := newRig(t, pyworker.Options{Workers: 1, MinBackoff: 2 * time.Second, MaxBackoff: time.Hour})
	defer r.Close()
	if err := r.Down(); err != nil {
		t.Fatal(err)
	}
	pid := r.must(t, "nothing", false)
	if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pool to be down", func() bool { return r.Down() != nil })
	if err := r.Down(); !strings.Contains(err.Error(), "soon after their start (killed)") {
		t.Errorf("down: got %v", err)
	}
	if _, err := r.do(t.Context(), t, "nothing", false); !errors.Is(err, servable.ErrNotAvailable) {
		t.Errorf("got %v", err)
	}
	if now := awaitAnswer(t, r); now == pid {
		t.Errorf("process %d answers after its end", now)
	}
}

// awaitAnswer asks until there is an answer, and returns the process that gave it.
func awaitAnswer(t *testing.T, r *rig) (pid int64) {
	t.Helper()
	eventually(t, "an answer", func() (ok bool) {
		var err error
		pid, err = r.do(t.Context(), t, "nothing", false)
		return err == nil
	})
	return pid
}
