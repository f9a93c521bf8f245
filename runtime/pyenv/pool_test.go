package pyenv

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAnEnvironmentIsBuiltOnceAndShared(t *testing.T) {
	wheels := t.TempDir()
	wheel(t, wheels, "greeting", "1.0", "WORD = 'hello'\n", "letters>=2")
	wheel(t, wheels, "letters", "2.1", "COUNT = 5\n")
	dir := t.TempDir()
	p := pool(t, dir, Options{Wheels: wheels})
	spec := Spec{Requirements: []string{"greeting==1.0"}}

	var all sync.WaitGroup
	envs := make([]*Env, 8)
	for i := range envs {
		all.Go(func() {
			env, err := p.Ensure(patient(t), spec, nil)
			if err != nil {
				t.Error(err)
				return
			}
			envs[i] = env
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, env := range envs {
		if env.Dir != envs[0].Dir {
			t.Errorf("got %s and %s for one spec", env.Dir, envs[0].Dir)
		}
	}
	if got := python(t, envs[0], "import greeting, letters; print(greeting.WORD, letters.COUNT)"); got != "hello 5" {
		t.Errorf("the environment says %q", got)
	}
	log, ok := p.Log(envs[0].Key)
	if !ok || strings.Count(log, "Installed 2 packages") != 1 {
		t.Errorf("the log of the one build is %q", log)
	}
	list, err := p.List()
	if err != nil || len(list) != 1 || !list[0].InUse || strings.Join(list[0].Packages, " ") != "greeting==1.0 letters==2.1" || list[0].Bytes == 0 {
		t.Errorf("got the list %+v, %v", list, err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, workDir)); err != nil || len(entries) > 0 {
		t.Errorf("left over from building: %v, %v", entries, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o077 != 0 && !strings.HasPrefix(dir, os.TempDir()) {
		t.Errorf("others may read the environments: %v, %v", info.Mode(), err)
	}
	for _, env := range envs {
		env.Release()
		env.Release() // does nothing
	}

	other := ensure(t, p, Spec{Requirements: []string{"letters"}})
	if other.Key == envs[0].Key {
		t.Error("other requirements have the same key")
	}
	again := pool(t, dir, Options{Wheels: wheels, UV: script(t, "uv", "exit 1")}) // what is there needs no uv
	if env := ensure(t, again, spec); env.Key != envs[0].Key {
		t.Errorf("another pool has the key %s, not %s", env.Key, envs[0].Key)
	}
}

func TestTheScriptsOfAnEnvironmentWorkInItsPlace(t *testing.T) {
	wheels := t.TempDir()
	wheel(t, wheels, "tool", "1.0", "")
	p := pool(t, t.TempDir(), Options{Wheels: wheels})
	env := ensure(t, p, Spec{Requirements: []string{"tool"}})
	if got := python(t, env, "import sys; print(sys.prefix)"); got != env.Dir {
		t.Errorf("sys.prefix is %s, want %s", got, env.Dir)
	}
	found, err := filepath.Glob(filepath.Join(env.Dir, "lib", "python3*", "site-packages", "__pycache__", "tool.*.pyc"))
	if err != nil || len(found) != 1 {
		t.Errorf("no bytecode was made ahead: %v, %v", found, err)
	}
}

// TestSeveralProcessesBuildOnce: the test binary runs itself as the other processes.
func TestSeveralProcessesBuildOnce(t *testing.T) {
	if dir := os.Getenv("PYENV_TEST_DIR"); dir != "" {
		p := pool(t, dir, Options{Wheels: os.Getenv("PYENV_TEST_WHEELS"), UV: os.Getenv("PYENV_TEST_UV")})
		ensure(t, p, Spec{Requirements: []string{"one"}})
		return
	}
	wheels, dir := t.TempDir(), t.TempDir()
	wheel(t, wheels, "one", "1.0", "")
	count := filepath.Join(t.TempDir(), "count")
	counting := script(t, "uv", `[ "$1" = venv ] && echo x >> "`+count+`"`+"\n"+`exec "`+uvAt(t)+`" "$@"`)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			cmd := exec.CommandContext(patient(t), os.Args[0], "-test.run=^TestSeveralProcessesBuildOnce$")
			cmd.Env = append(os.Environ(), "PYENV_TEST_DIR="+dir, "PYENV_TEST_WHEELS="+wheels, "PYENV_TEST_UV="+counting)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	if text, err := os.ReadFile(count); err != nil || string(text) != "x\n" {
		t.Errorf("built %q times, %v", text, err)
	}
}

func TestABuildThatFailsSaysWhyAndIsTriedAgain(t *testing.T) {
	wheels := t.TempDir()
	wheel(t, wheels, "present", "1.0", "")
	p := pool(t, t.TempDir(), Options{Wheels: wheels})
	spec := Spec{Requirements: []string{"present", "absent==3.1"}}
	_, err := p.Ensure(patient(t), spec, nil)
	if !errors.Is(err, ErrBuild) || !strings.Contains(err.Error(), "absent") {
		t.Fatalf("got %v, want the missing package's name", err)
	}
	key, err := p.Key(patient(t), spec)
	if err != nil {
		t.Fatal(err)
	}
	if log, ok := p.Log(key); !ok || !strings.Contains(log, "absent") {
		t.Errorf("the log says %q", log)
	}
	wheel(t, wheels, "absent", "3.1", "")
	ensure(t, p, spec)
}

func TestABuildThatNobodyWaitsForStops(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	p := pool(t, t.TempDir(), Options{UV: script(t, "uv", `echo $$ > "`+started+`"; sleep 1000 & wait`)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := p.Ensure(ctx, Spec{Requirements: []string{"x"}}, nil)
		failed <- err
	}()
	eventually(t, "uv runs", func() bool { text, err := os.ReadFile(started); return err == nil && len(text) > 1 })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "the build is gone", func() bool {
		entries, err := os.ReadDir(filepath.Join(p.dir, workDir))
		return err == nil && len(entries) == 0
	})
}

func TestABuildEndsAtItsTimeout(t *testing.T) {
	p := pool(t, t.TempDir(), Options{Timeout: 300 * time.Millisecond, UV: script(t, "uv", "sleep 1000 & wait")})
	_, err := p.Ensure(patient(t), Spec{}, nil)
	if !errors.Is(err, ErrBuild) || !strings.Contains(err.Error(), "longer than 300ms") {
		t.Errorf("got %v", err)
	}
}

func TestProgressIsTold(t *testing.T) {
	wheels := t.TempDir()
	wheel(t, wheels, "one", "1.0", "")
	p := pool(t, t.TempDir(), Options{Wheels: wheels})
	var mu sync.Mutex
	var told []string
	env, err := p.Ensure(patient(t), Spec{Requirements: []string{"one"}}, func(text string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer env.Release()
	mu.Lock()
	defer mu.Unlock()
	all := strings.Join(told, "\n")
	for _, want := range []string{"making a virtual environment", "resolving 1 requirements"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q was not told in %q", want, all)
		}
	}
}

func TestBuildsSeeNothingOfTheServersEnvironment(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	p := pool(t, t.TempDir(), Options{
		Environ: []string{
			"PATH=/usr/bin:/bin", "HOME=/root", "AWS_SECRET_ACCESS_KEY=s3cret", "MLFLOW_TRACKING_TOKEN=s3cret", "SLUICE_WEBHOOK_SECRET_KEY=s3cret",
			"PIP_INDEX_URL=https://user:pw@mirror.example/simple", "UV_INDEX_OWN_PASSWORD=pw",
		},
		UV: script(t, "uv", `env > "`+seen+`"; echo "Downloading https://user:pw@mirror.example/x"; exit 3`),
	})
	_, err := p.Ensure(patient(t), Spec{}, nil)
	if !errors.Is(err, ErrBuild) || strings.Contains(err.Error(), "pw@") || !strings.Contains(err.Error(), "https://mirror.example/x") {
		t.Errorf("got %v, want the URL without credentials", err)
	}
	text, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	environ := strings.Split(strings.TrimSpace(string(text)), "\n")
	if strings.Contains(string(text), "s3cret") {
		t.Errorf("a build sees %v", environ)
	}
	for name, want := range map[string]string{
		"UV_DEFAULT_INDEX": "https://user:pw@mirror.example/simple", "UV_INDEX_OWN_PASSWORD": "pw", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1",
	} {
		if got := variable(environ, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if home := variable(environ, "HOME"); !strings.HasPrefix(home, p.dir) {
		t.Errorf("HOME is %s", home)
	}
}

func TestWithoutUVTheErrorSaysHowToGetIt(t *testing.T) {
	p, err := New(t.TempDir(), &Options{Environ: []string{"PATH=/nowhere"}, Search: []string{"/usr/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = p.Ensure(patient(t), Spec{}, nil)
	if !errors.Is(err, ErrTool) || !strings.Contains(err.Error(), "pip install uv") {
		t.Errorf("got %v", err)
	}
}

func TestCloseEndsBuilds(t *testing.T) {
	p, err := New(t.TempDir(), &Options{UV: script(t, "uv", "sleep 1000 & wait"), Environ: []string{"PATH=" + os.Getenv("PATH")}})
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	var once sync.Once
	failed := make(chan error, 1)
	go func() {
		_, err := p.Ensure(t.Context(), Spec{}, func(text string) {
			if strings.HasPrefix(text, "making") {
				once.Do(func() { close(began) })
			}
		})
		failed <- err
	}()
	<-began
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("a build went on after Close")
	}
	if _, err := p.Ensure(t.Context(), Spec{}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
