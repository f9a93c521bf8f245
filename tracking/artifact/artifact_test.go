package artifact_test

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"sluice/tracking/artifact"
	"sluice/tracking/artifact/fileartifact"
	"sluice/tracking/mlflow"
)

func TestCleanPath(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]string{
		"": "", ".": "", "./": "", "a": "a", "a/b": "a/b", "a//b": "a/b", "a/./b/": "a/b", "..a/b..": "..a/b..", "a b": "a b",
		"é/日本": "é/日本", "50%": "50%", "a%20b": "a%20b", "a+b": "a+b", "a;b": "a;b", "ab:c": "ab:c", "a:b.txt": "a:b.txt", "~/x": "~/x", "...": "...",
	} {
		if got, err := artifact.CleanPath(p); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", p, got, err, want)
		}
	}
}

// S01, S03, S04, S07, S08: what leads, or might once more decoded lead, out of the root.
func TestCleanPathRefuses(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		"..", "../x", "a/..", "a/../b", "a/../../b", "../../../../etc/passwd", "/etc/passwd", "//etc", "/", // plain
		`..\x`, `a\b`, `\..\..\file`, `a/..\b`, `\\host\share`, `C:\x`, "C:/x", "z:", "./C:/x", ".//file:x", // Windows
		"%2e%2e/x", "%2E%2E%2Fx", "%252e%252e%252fx", "%25252e%25252e/x", "..%2fx", "%2fetc", "a%5cb", "a%00b", // encoded again
		"a\x00b", "\x00", "a\tb", "a\r\nb", "\x7f", "a\u0085b", "\xff", "\xc0\xae\xc0\xae/x", // control characters, not UTF-8
		"file:///etc/passwd", "FILE:/etc", "a#b", "a%23b", // URIs
		strings.Repeat("a", 256), strings.Repeat("a/", 3000), "%" + strings.Repeat("25", 20) + "2e/x", // bounds
	} {
		if got, err := artifact.CleanPath(p); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
			t.Errorf("%q: got %q, %v, want INVALID_PARAMETER_VALUE", p, got, err)
		}
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, s := range []string{"a/b", "../x", "%2e%2e/x", `a\b`, "a//./b/", "C:x", "file:x", "%25252e", "./C:/x", "./file:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		clean, err := artifact.CleanPath(p)
		if err != nil {
			return
		}
		if joined := path.Join("/root", clean); joined != "/root" && !strings.HasPrefix(joined, "/root/") {
			t.Fatalf("%q leads to %q", p, joined)
		}
		if strings.HasPrefix(clean, "/") || strings.ContainsAny(clean, "\\\x00#") {
			t.Fatalf("%q became %q", p, clean)
		}
		if again, err := artifact.CleanPath(clean); err != nil || again != clean {
			t.Fatalf("%q: cleaning %q again gave %q, %v", p, clean, again, err)
		}
	})
}

func repo(t *testing.T) *artifact.Repo {
	t.Helper()
	d, err := fileartifact.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return artifact.NewRepo(d)
}

// S03, S05, S06: artifact URIs as clients may record them.
func TestResolve(t *testing.T) {
	t.Parallel()
	root := repo(t)
	if _, err := root.Write(t.Context(), "1/r/artifacts/f", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	resolver := artifact.NewResolver(root, nil)
	for _, uri := range []string{
		"mlflow-artifacts:/1/r/artifacts", "mlflow-artifacts:1/r/artifacts", "MLFLOW-ARTIFACTS:/1/r/artifacts/", "mlflow-artifacts://host:5000/1/r/artifacts",
		"mlflow-artifacts:///1/r/artifacts", "http://h:5000/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts", "https://h/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts",
	} {
		at, err := resolver.Resolve(uri)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if info, err := at.Stat(t.Context(), "f"); err != nil || info.Path != "f" || info.Size != 1 {
			t.Errorf("%s: got %+v, %v", uri, info, err)
		}
	}
	for _, uri := range []string{
		"", "mlflow-artifacts://h/../../..", "mlflow-artifacts:/../x", "mlflow-artifacts:/%2e%2e/x", "mlflow-artifacts:/%252e%252e/x",
		"mlflow-artifacts:/a?/../../etc", "mlflow-artifacts:/a?x=1", "mlflow-artifacts:/a#/../../etc", "mlflow-artifacts:/a;..%2F..%2Fetc",
		"mlflow-artifacts://user:pw@h/a", "mlflow-artifacts:/a\\..\\b", "mlflow-artifacts:/a\x00b", "mlflow-artifacts:/a\nb",
		"http://h/api/2.0/mlflow-artifacts/artifacts/../..", "http://h/p?/../../../../etc", "http:///#/../../../etc/", "http://h/other/1",
		"s3:/b/a/../../x", "s3://b/a", "file:///etc", "/etc", "../x", "C:\\x", "gopher://h/x", strings.Repeat("a", 5000),
	} {
		if _, err := resolver.Resolve(uri); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
			t.Errorf("%q: got %v, want INVALID_PARAMETER_VALUE", uri, err)
		}
	}
	if _, err := artifact.NewResolver(nil, nil).Resolve("mlflow-artifacts:/1"); mlflow.CodeOf(err) != mlflow.TemporarilyUnavailable {
		t.Errorf("without a proxy: got %v", err)
	}
}

func TestRepo(t *testing.T) {
	t.Parallel()
	root := repo(t)
	run, err := root.Sub("1/run")
	if err != nil {
		t.Fatal(err)
	}
	if written, err := run.Write(t.Context(), "model/MLmodel", strings.NewReader("flavors")); err != nil || written != 7 {
		t.Errorf("got %d, %v", written, err)
	}
	for _, p := range []string{"b", "a", "model/data/deep"} {
		if _, err := run.Write(t.Context(), p, strings.NewReader(p)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := run.List(t.Context(), "")
	if got := fmt.Sprint(names(list), err); got != "[a b model] <nil>" {
		t.Errorf("list: %s", got)
	}
	if list, err = run.List(t.Context(), "model"); fmt.Sprint(names(list), err) != "[model/MLmodel model/data] <nil>" {
		t.Errorf("list below: %v, %v", names(list), err)
	}
	var walked []string
	err = run.Walk(t.Context(), "", func(i artifact.Info) error { walked = append(walked, i.Path); return nil })
	if got := fmt.Sprint(walked, err); got != "[a b model/MLmodel model/data/deep] <nil>" {
		t.Errorf("walk: %s", got)
	}
	stop := errors.New("stop")
	if err := run.Walk(t.Context(), "", func(artifact.Info) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("walk: got %v, want the visitor's error", err)
	}
	for name, op := range map[string]func() error{
		"delete the root": func() error { return run.Delete(t.Context(), "") },
		"write the root":  func() error { _, err := run.Write(t.Context(), ".", strings.NewReader("x")); return err },
		"climb":           func() error { _, _, err := run.Open(t.Context(), "../run/a"); return err },
		"open a folder":   func() error { _, _, err := run.Open(t.Context(), "model"); return err },
		"below a file":    func() error { _, err := run.Write(t.Context(), "a/b", strings.NewReader("x")); return err },
	} {
		if err := op(); mlflow.CodeOf(err) != mlflow.InvalidParameterValue {
			t.Errorf("%s: got %v, want INVALID_PARAMETER_VALUE", name, err)
		}
	}
	if _, _, err := run.Open(t.Context(), "zz"); mlflow.CodeOf(err) != mlflow.ResourceDoesNotExist {
		t.Errorf("got %v, want RESOURCE_DOES_NOT_EXIST", err)
	}
	if err := run.Delete(t.Context(), "model"); err != nil {
		t.Error(err)
	}
}

func names(list []artifact.Info) []string {
	var out []string
	for _, i := range list {
		out = append(out, i.Path)
	}
	return out
}
