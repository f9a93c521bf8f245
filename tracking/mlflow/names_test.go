package mlflow_test

import (
	"strings"
	"testing"

	"sluice/tracking/mlflow"
)

func TestCheckName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"a": true, "val/loss": true, "a b.c-d_e:f": true, "日本": true, "é": true, "a/b/..c": true, "9": true, "²": true,
		"": false, ".": false, "..": false, "../a": false, "/a": false, "a/": false, "a//b": false, "a/./b": false, "a/../b": false, "./a": false,
		"a*b": false, "a\n": false, "a\x00": false, "a\\b": false, "{a}": false, "a%2e": false, "a@b": false, "..a": false,
	} {
		if err := mlflow.CheckName("key", name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v, want ok %v", name, err, ok)
		}
	}
}

func TestLengthsAreInCharacters(t *testing.T) {
	t.Parallel()
	if err := mlflow.CheckLength("x", strings.Repeat("日", 10), 10); err != nil {
		t.Error(err)
	}
	if err := mlflow.CheckLength("x", strings.Repeat("日", 11), 10); err == nil {
		t.Error("11 characters passed a limit of 10")
	}
	if got := mlflow.Truncate("日本語", 2); got != "日本" {
		t.Errorf("Truncate = %q", got)
	}
	if got := mlflow.Truncate("abc", 3); got != "abc" {
		t.Errorf("Truncate = %q", got)
	}
}

func TestReprIsPythons(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a": "'a'", "it's": `"it's"`, `it's "x"`: `'it\'s "x"'`, "a\nb\x00": `'a\nb\x00'`, `\`: `'\\'`, "é": "'é'",
	} {
		if got := mlflow.Repr(in); got != want {
			t.Errorf("Repr(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestInvalidValue(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		`Invalid value "\u00e9\ud83e\udda6<" for parameter 'k' supplied: hint`: mlflow.InvalidValue("k", "é🦦<", "hint"),
		`Invalid value -1 for parameter 'n' supplied.`:                         mlflow.InvalidValue("n", -1, ""),
	} {
		if got := err.(*mlflow.Error).Message; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

// FuzzCheckName: an accepted name is a relative path that means itself.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"a", "a/b", "../a", "a\x00", "a//b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if mlflow.CheckName("key", name) != nil {
			return
		}
		if name == "" || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\x00\\\n") {
			t.Fatalf("%q was accepted", name)
		}
		for part := range strings.SplitSeq(name, "/") {
			if part == ".." || part == "." || part == "" {
				t.Fatalf("%q was accepted", name)
			}
		}
	})
}
