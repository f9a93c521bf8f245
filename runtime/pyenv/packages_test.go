package pyenv

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPackagesOwnWheelIsInstalled(t *testing.T) {
	dir := pack(t, map[string]string{"requirements.txt": "code/own-1.0-py3-none-any.whl\n"})
	wheel(t, filepath.Join(dir, "code"), "own", "1.0", "WORD = 'mine'\n")
	p := pool(t, t.TempDir(), Options{Wheels: t.TempDir()})
	spec, err := Read(dir, Sources{})
	if err != nil {
		t.Fatal(err)
	}
	env := ensure(t, p, spec)
	if got := python(t, env, "import own; print(own.WORD)"); got != "mine" {
		t.Errorf("got %q", got)
	}
	wheel(t, filepath.Join(dir, "code"), "own", "1.0", "WORD = 'changed'\n")
	if changed := ensure(t, p, spec); changed.Key == env.Key {
		t.Error("another wheel of the same name has the same key")
	}
}

func TestConstraintsHold(t *testing.T) {
	wheels := t.TempDir()
	wheel(t, wheels, "a", "1.0", "V = 1\n")
	wheel(t, wheels, "a", "2.0", "V = 2\n")
	p := pool(t, t.TempDir(), Options{Wheels: wheels})
	if got := python(t, ensure(t, p, Spec{Requirements: []string{"a"}, Constraints: []string{"a<2"}}), "import a; print(a.V)"); got != "1" {
		t.Errorf("got a %s", got)
	}
	if got := python(t, ensure(t, p, Spec{Requirements: []string{"a"}}), "import a; print(a.V)"); got != "2" {
		t.Errorf("got a %s", got)
	}
}

func TestWithWheelsNoIndexIsAsked(t *testing.T) {
	wheels := t.TempDir()
	wheel(t, wheels, "a", "1.0", "")
	p := pool(t, t.TempDir(), Options{Wheels: wheels, Environ: []string{"PATH=" + os.Getenv("PATH"), "UV_INDEX_URL=http://127.0.0.1:1/simple"}})
	ensure(t, p, Spec{Setuptools: "setuptools==65.5.0", Requirements: []string{"--extra-index-url http://127.0.0.1:1/simple", "a"}})
}

// TestFromPyPI is the one test here that needs an index.
func TestFromPyPI(t *testing.T) {
	p := pool(t, t.TempDir(), Options{Environ: os.Environ()})
	if got := python(t, ensure(t, p, Spec{Requirements: []string{"six==1.17.0"}}), "import six; print(six.__version__)"); got != "1.17.0" {
		t.Errorf("got six %s", got)
	}
}

// conda is a stand-in: `create -y -p PLACE … packages` makes a virtual environment in the place and notes its arguments.
func conda(t *testing.T) (tool, arguments string) {
	t.Helper()
	arguments = filepath.Join(t.TempDir(), "arguments")
	return script(t, "micromamba", `echo "$@" > "`+arguments+`"; exec "`+uvAt(t)+`" venv --python python3 "$4"`), arguments
}

func TestPackagesThatCondaAloneHas(t *testing.T) {
	wheels := t.TempDir()
	wheel(t, wheels, "a", "1.0", "V = 1\n")
	dir := pack(t, map[string]string{"conda.yaml": "channels: [conda-forge]\ndependencies:\n- openjdk=17\n- r-base>=4\n- pip:\n  - a\n"})
	spec, err := Read(dir, Sources{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("without conda", func(t *testing.T) {
		p := pool(t, t.TempDir(), Options{Wheels: wheels, Environ: []string{"PATH=/nowhere"}})
		_, err := p.Ensure(patient(t), spec, nil)
		if !errors.Is(err, ErrTool) || !strings.Contains(err.Error(), "openjdk=17, r-base>=4") {
			t.Errorf("got %v, want the packages' names", err)
		}
	})
	t.Run("with conda", func(t *testing.T) {
		tool, arguments := conda(t)
		p := pool(t, t.TempDir(), Options{Wheels: wheels, Conda: tool})
		env := ensure(t, p, spec)
		if got := python(t, env, "import a, sys; print(a.V, sys.prefix)"); got != "1 "+env.Dir {
			t.Errorf("the environment says %q", got)
		}
		text, err := os.ReadFile(arguments)
		if want := "create -y -p " + env.Dir + " --override-channels -c conda-forge --offline openjdk=17 r-base>=4\n"; err != nil || string(text) != want {
			t.Errorf("conda was called with %q, %v; want %q", text, err, want)
		}
	})
	t.Run("conda fails", func(t *testing.T) {
		p := pool(t, t.TempDir(), Options{Conda: script(t, "conda", "echo nothing provides openjdk; exit 1")})
		_, err := p.Ensure(patient(t), spec, nil)
		if !errors.Is(err, ErrBuild) || !strings.Contains(err.Error(), "nothing provides openjdk") {
			t.Errorf("got %v", err)
		}
		if left, err := os.ReadDir(filepath.Join(p.dir, envsDir)); err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
}
