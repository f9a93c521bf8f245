package pyenv

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestChooseAnInterpreter(t *testing.T) {
	found := []Interpreter{{Path: "/a", Version: "3.12.1"}, {Path: "/b", Version: "3.10.13"}, {Path: "/c", Version: "3.10.4"}, {Path: "/d", Version: "3.9.0"}}
	for _, c := range []struct {
		wanted     string
		any        bool
		path, note string
	}{
		{"3.10.4", false, "/c", ""},
		{"3.10", false, "/b", ""},
		{"3.10.2", false, "/b", "Python 3.10.13 instead of 3.10.2"},
		{"", false, "/a", ""},
		{"3.11.2", true, "/a", "Python 3.12.1 instead of 3.11.2, which was allowed"},
		{"3.8.1", true, "/d", "Python 3.9.0 instead of 3.8.1, which was allowed"},
	} {
		got, note, err := choose(found, c.wanted, c.any)
		if err != nil || got.Path != c.path || note != c.note {
			t.Errorf("%q: got %s, %q, %v; want %s, %q", c.wanted, got.Path, note, err, c.path, c.note)
		}
	}
	_, _, err := choose(found, "3.11.2", false)
	if !errors.Is(err, ErrPython) || !strings.Contains(err.Error(), "3.11.2 is wanted") || !strings.Contains(err.Error(), "3.9.0 (/d)") {
		t.Errorf("got %v, want the interpreters found", err)
	}
	if _, _, err := choose(nil, "3.11", true); !errors.Is(err, ErrPython) || !strings.Contains(err.Error(), "found none") {
		t.Errorf("without any: %v", err)
	}
}

func TestFindInterpreters(t *testing.T) {
	here := findInterpreters(t.Context(), filepath.SplitList(os.Getenv("PATH")))
	if len(here) == 0 {
		t.Fatal("the tests need python3")
	}
	real := here[0].Path
	shims, links := filepath.Join(t.TempDir(), "shims"), t.TempDir()
	if err := os.Mkdir(shims, 0o700); err != nil {
		t.Fatal(err)
	}
	for at, target := range map[string]string{filepath.Join(shims, "python3"): real, filepath.Join(links, "python3"): real, filepath.Join(links, "python3.99"): real} {
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"python": "#!/bin/sh\nexit 1", "python3.98": "#!/bin/sh\necho what", "python3-config": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(links, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	found := findInterpreters(t.Context(), []string{"/nowhere", shims, links})
	if len(found) != 1 || minor(found[0].Version) == "" || found[0].Tag == "" {
		t.Errorf("found %+v, want the one real interpreter once", found)
	}
}

func TestNote(t *testing.T) {
	have := Interpreter{Path: "/usr/bin/python3", Version: "3.11.2"}
	for wanted, want := range map[string]string{"": "", "3": "", "3.11": "", "3.11.2": "", "3.11.7": "Python 3.11.2 instead of 3.11.7"} {
		if note, err := have.Note(wanted); err != nil || note != want {
			t.Errorf("%q: got %q, %v", wanted, note, err)
		}
	}
	for _, wanted := range []string{"3.1", "3.12.1", "2"} {
		if _, err := have.Note(wanted); !errors.Is(err, ErrPython) {
			t.Errorf("%q: got %v", wanted, err)
		}
	}
}
