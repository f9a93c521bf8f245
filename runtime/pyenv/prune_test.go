package pyenv

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestPruneRemovesWhatNobodyUses(t *testing.T) {
	wheels := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		wheel(t, wheels, name, "1.0", "")
	}
	now := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	p := pool(t, t.TempDir(), Options{Wheels: wheels, Now: func() time.Time { return now }})
	make_ := func(name string) *Env { return ensure(t, p, Spec{Requirements: []string{name}}) }
	a := make_("a")
	a.Release()
	now = now.Add(24 * time.Hour)
	b := make_("b")
	now = now.Add(24 * time.Hour)
	c := make_("c")
	c.Release()

	keys := func(list []Info, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, i := range list {
			out = append(out, i.Key)
		}
		return out
	}
	if got := keys(p.List()); !slices.Equal(got, []string{c.Key, b.Key, a.Key}) {
		t.Errorf("listed %v", got)
	}
	if got := keys(p.Prune(t.Context(), 1<<40, 36*time.Hour)); !slices.Equal(got, []string{a.Key}) {
		t.Errorf("by age: removed %v, want %s", got, a.Key)
	}
	if got := keys(p.Prune(t.Context(), 0, 1000*time.Hour)); !slices.Equal(got, []string{c.Key}) {
		t.Errorf("by bytes: removed %v, want %s alone: the other is in use", got, c.Key)
	}
	if _, err := os.Stat(filepath.Join(p.dir, cacheDir)); !os.IsNotExist(err) {
		t.Errorf("the cache is still there: %v", err)
	}
	if got := python(t, b, "import b; print('here')"); got != "here" {
		t.Errorf("the one in use says %q", got)
	}
	b.Release()
	if got := keys(p.Prune(t.Context(), 0, 0)); !slices.Equal(got, []string{b.Key}) {
		t.Errorf("removed %v, want %s", got, b.Key)
	}
	for _, sub := range []string{envsDir, locksDir, logsDir, workDir} {
		entries, err := os.ReadDir(filepath.Join(p.dir, sub))
		if err != nil || len(entries) > 0 && sub != locksDir {
			t.Errorf("%s still holds %v, %v", sub, entries, err)
		}
	}
	make_("a") // and can be built again
}

func TestUseByAnotherPoolKeepsAnEnvironment(t *testing.T) {
	wheels, dir := t.TempDir(), t.TempDir()
	wheel(t, wheels, "a", "1.0", "")
	one, two := pool(t, dir, Options{Wheels: wheels}), pool(t, dir, Options{Wheels: wheels})
	env := ensure(t, one, Spec{Requirements: []string{"a"}})
	if removed, err := two.Prune(t.Context(), 0, 0); err != nil || len(removed) > 0 {
		t.Errorf("removed %v, %v", removed, err)
	}
	env.Release()
	if removed, err := two.Prune(t.Context(), 0, 0); err != nil || len(removed) != 1 {
		t.Errorf("removed %v, %v", removed, err)
	}
}

func TestWhatDiesHalfDoneIsRemoved(t *testing.T) {
	dir := t.TempDir()
	for _, half := range []string{filepath.Join(workDir, "dead", "env"), filepath.Join(envsDir, "half", "lib")} {
		if err := os.MkdirAll(filepath.Join(dir, half), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	pool(t, dir, Options{})
	for _, half := range []string{filepath.Join(workDir, "dead"), filepath.Join(envsDir, "half")} {
		if _, err := os.Stat(filepath.Join(dir, half)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", half, err)
		}
	}
}

func TestAnEnvironmentWhoseInterpreterIsGoneIsBuiltAgain(t *testing.T) {
	p := pool(t, t.TempDir(), Options{})
	env := ensure(t, p, Spec{})
	env.Release()
	link := filepath.Join(env.Dir, "bin", "python")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere/python3", link); err != nil {
		t.Fatal(err)
	}
	if got := python(t, ensure(t, p, Spec{}), "print('back')"); got != "back" {
		t.Errorf("got %q", got)
	}
}
