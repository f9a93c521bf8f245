package registry_test

import (
	"strings"
	"testing"

	"sluice/registry"
	"sluice/tracking"
	"sluice/tracking/mlflow"
)

// TestUnsafeSources are the cases S02 to S08 and S15 of our list of security cases, as far as sources of versions go.
func TestUnsafeSources(t *testing.T) {
	t.Parallel()
	fake := &fakeTracking{tracking.LoggedModel{ID: "m-1", ArtifactLocation: "/srv/artifacts/models/m-1/artifacts"}}
	s := newService(t, &registry.Options{Sources: registry.FromTracking(fake)})
	wine(t, s, 0)
	run, model := new("r1"), new("m-1")
	for _, c := range []struct {
		name string
		spec registry.VersionSpec
	}{
		{"S02 a local folder", registry.VersionSpec{Source: "file:///etc/"}},
		{"S02 a local folder in a run that is elsewhere", registry.VersionSpec{Source: "/etc", RunID: run}},
		{"S02 a local folder with a prompt's tag", registry.VersionSpec{Source: "file:///etc/", Tags: []registry.Tag{{Key: registry.PromptTag, Value: "true"}}}},
		{"S02 a local folder beside the model's", registry.VersionSpec{Source: "/srv/artifacts/models/m-1/artifacts-not", ModelID: model}},
		{"S02 out of the model's folder", registry.VersionSpec{Source: "/srv/artifacts/models/m-1/artifacts/../../m-2", ModelID: model}},
		{"S02 out of the model's folder, encoded", registry.VersionSpec{Source: "file:///srv/artifacts/models/m-1/artifacts/%2e%2e/%2e%2e/m-2", ModelID: model}},
		{"S02 out of the model's folder, encoded twice", registry.VersionSpec{Source: "file:///srv/artifacts/models/m-1/artifacts/%252e%252e/x", ModelID: model}},
		{"S02 another run's files", registry.VersionSpec{Source: "mlflow-artifacts:/1/r2/artifacts/model", RunID: run}},
		{"S02 another run's files by URI", registry.VersionSpec{Source: "runs:/r2/model", RunID: run}},
		{"S02 another model's files by URI", registry.VersionSpec{Source: "models:/m-2", ModelID: model}},
		{"S02 out of the model's folder and encoded behind it", registry.VersionSpec{Source: "/srv/artifacts/models/m-1/artifacts/a/../%2e%2e/x", ModelID: model}},
		{"S03 relative in the proxy", registry.VersionSpec{Source: "mlflow-artifacts:/1/r1/artifacts/../../..", RunID: run}},
		{"S03 relative in a bucket", registry.VersionSpec{Source: "s3:/b/a/../../x"}},
		{"S03 relative in HTTP", registry.VersionSpec{Source: "http://h/api/2.0/mlflow-artifacts/artifacts/../.."}},
		{"S03 a single dot", registry.VersionSpec{Source: "s3://b/a/./x"}},
		{"S03 no path", registry.VersionSpec{Source: "s3://b"}},
		{"S04 backslashes", registry.VersionSpec{Source: `s3://b/..\..\x`}},
		{"S04 encoded backslashes", registry.VersionSpec{Source: `s3://b/a%5c..%5cx`}},
		{"S04 a drive", registry.VersionSpec{Source: `C:\windows`}},
		{"S04 UNC", registry.VersionSpec{Source: `\\host\share`}},
		{"S05 a fragment", registry.VersionSpec{Source: "s3://b/a#/../../etc"}},
		{"S05 parameters", registry.VersionSpec{Source: "s3://b/a;..%2F..%2Fetc"}},
		{"S05 user information", registry.VersionSpec{Source: "s3://user:password@b/a"}},
		{"S06 relative in the query", registry.VersionSpec{Source: "s3://b/p?/../../../../etc"}},
		{"S06 relative in a query's value", registry.VersionSpec{Source: "s3://b/p?x=../etc"}},
		{"S07 encoded twice", registry.VersionSpec{Source: "s3://b/a/%252e%252e%252fx"}},
		{"S07 encoded eleven times", registry.VersionSpec{Source: "s3://b/%" + strings.Repeat("25", 11) + "2e"}},
		{"S07 behind a broken escape", registry.VersionSpec{Source: "s3://b/%zz/%2e%2e/x"}},
		{"S08 NUL", registry.VersionSpec{Source: "s3://b/a%00"}},
		{"S08 line feed", registry.VersionSpec{Source: "s3://b/a\r\nX: y"}},
		{"S15 a host to connect to", registry.VersionSpec{Source: "http://collab.example/x"}},
		{"S15 a host to connect to by FTP", registry.VersionSpec{Source: "ftp:///x"}},
		{"S15 another proxy", registry.VersionSpec{Source: "mlflow-artifacts://evil:80/1/r1/artifacts", RunID: run}},
		{"nothing", registry.VersionSpec{}},
		{"a relative path", registry.VersionSpec{Source: "etc", RunID: run}},
		{"an opaque URI", registry.VersionSpec{Source: "s3:bucket"}},
		{"a run without a name", registry.VersionSpec{Source: "runs:/", RunID: new("")}},
	} {
		c.spec.Name = "wine"
		_, err := s.CreateVersion(t.Context(), c.spec)
		wantCode(t, c.name+" "+c.spec.Source, err, mlflow.InvalidParameterValue)
	}
	if page := must[registry.VersionPage](t)(s.SearchVersions(t.Context(), registry.SearchQuery{})); len(page.Versions) != 0 {
		t.Errorf("versions were made: %+v", page.Versions)
	}
}

func TestSafeSources(t *testing.T) {
	t.Parallel()
	fake := &fakeTracking{tracking.LoggedModel{ID: "m-1", SourceRunID: "r1", ArtifactLocation: "file:///srv/my%20artifacts/models/m-1/artifacts"}}
	s := newService(t, &registry.Options{
		Sources: registry.FromTracking(fake), TrustedLocations: []string{"sftp://me@files/root", "https://store.example"},
	})
	wine(t, s, 0)
	run, model := new("r1"), new("m-1")
	for _, c := range []struct {
		spec     registry.VersionSpec
		location string // "" means the source
		run      string
	}{
		{registry.VersionSpec{Source: "s3://bucket/a/b"}, "", ""},
		{registry.VersionSpec{Source: "s3://bucket//a/b/"}, "", ""},
		{registry.VersionSpec{Source: "gs://bucket/100%25 done+x"}, "", ""},
		{registry.VersionSpec{Source: "dbfs:/a/b"}, "", ""},
		{registry.VersionSpec{Source: "wasbs://container@account.blob.core.windows.net/a"}, "", ""},
		{registry.VersionSpec{Source: "sftp://other@FILES:22/root/x"}, "", ""},
		{registry.VersionSpec{Source: "https://store.example:443/x"}, "", ""},
		{registry.VersionSpec{Source: "mlflow-artifacts:/1/r1/artifacts/model", RunID: run}, "", "r1"},
		{registry.VersionSpec{Source: "runs:/r1/model", RunID: run}, "", "r1"},
		{registry.VersionSpec{Source: "/srv/my artifacts/models/m-1/artifacts", ModelID: model}, "", "r1"},
		{registry.VersionSpec{Source: "file:///srv/my%20artifacts/models/m-1/artifacts/sub", ModelID: model}, "", "r1"},
		{registry.VersionSpec{Source: "/srv/my artifacts/models/m-1/artifacts/sub/../.", ModelID: model}, "/srv/my artifacts/models/m-1/artifacts", "r1"},
		{registry.VersionSpec{Source: "file:///srv/my%20artifacts/models/x/../m-1/artifacts/sub/%2e%2e/", ModelID: model}, "file:///srv/my%20artifacts/models/m-1/artifacts", "r1"},
		{registry.VersionSpec{Source: "models:/m-1", ModelID: model}, fake.model.ArtifactLocation, "r1"},
		{registry.VersionSpec{Source: "models:/m-1", ModelID: model, RunID: new("r9")}, fake.model.ArtifactLocation, "r9"},
		{registry.VersionSpec{Source: "models:/wine/14"}, fake.model.ArtifactLocation, "r1"}, // the version before this one
	} {
		c.spec.Name = "wine"
		v, err := s.CreateVersion(t.Context(), c.spec)
		if err != nil {
			t.Errorf("%s: %v", c.spec.Source, err)
			continue
		}
		if c.location == "" {
			c.location = c.spec.Source
		}
		if v.DownloadURI() != c.location || *v.RunID != c.run {
			t.Errorf("%s: files at %s, run %q", c.spec.Source, v.DownloadURI(), *v.RunID)
		}
	}
}

// TestForeignFiles pins a sentence of MLflow's; there it is a failure rather than a refusal.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	s := newService(t, &registry.Options{Sources: registry.FromTracking(&fakeTracking{tracking.LoggedModel{ID: "m-1", ArtifactLocation: "/srv/m-1"}})})
	wine(t, s, 0)
	_, err := s.CreateVersion(t.Context(), registry.VersionSpec{Name: "wine", Source: "file://host/srv/m-1", ModelID: new("m-1")})
	wantCode(t, "a file of another machine", err, mlflow.InvalidParameterValue)
	if err == nil || !strings.Contains(err.Error(), "is not a valid remote uri") {
		t.Errorf("got %v", err)
	}
}

// TestWithoutRun: a logged model of no run gives its versions the run "", which is a value on the wire, as in MLflow.
func TestWithoutRun(t *testing.T) {
	t.Parallel()
	s := newService(t, &registry.Options{Sources: registry.FromTracking(&fakeTracking{tracking.LoggedModel{ID: "m-1", ArtifactLocation: "s3://b/m-1"}})})
	wine(t, s, 0)
	for _, source := range []string{"s3://b/m-1", "models:/m-1"} {
		v, err := s.CreateVersion(t.Context(), registry.VersionSpec{Name: "wine", Source: source, ModelID: new("m-1")})
		if err != nil || v.RunID == nil || *v.RunID != "" {
			t.Errorf("%s: %+v, %v", source, v, err)
		}
	}
	// The source is looked at before the name.
	_, err := s.CreateVersion(t.Context(), registry.VersionSpec{Name: "a/b", Source: "models:/none/1"})
	wantCode(t, "a source that is not there, for a name that can't be", err, mlflow.ResourceDoesNotExist)
}

// FuzzSource looks for a source that is accepted without a run although some reading of it leaves its place.
func FuzzSource(f *testing.F) {
	for _, s := range []string{"s3://b/a", "s3://b/../a", "file:///etc", "models:/a/1", "runs:/r/m", "s3://b/%2e%2e/", "a:/b;..", "s3://b/%%32e"} {
		f.Add(s)
	}
	service := registry.New(nil, nil)
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 4096 || registry.CheckSource(t.Context(), service, source) != nil {
			return
		}
		plain := strings.ToLower(source)
		for range 12 {
			plain = strings.NewReplacer("%2e", ".", "%2f", "/", "%25", "%", "%5c", `\`, "%00", "\x00").Replace(plain)
		}
		if strings.HasPrefix(plain, "/") || strings.HasPrefix(plain, "file:") || strings.ContainsAny(plain, "\\\x00") || strings.Contains(plain, "/../") || strings.HasSuffix(plain, "/..") {
			t.Errorf("accepted %q", source)
		}
	})
}
