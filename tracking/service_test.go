package tracking_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/tracking"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/sqlstore"
)

func newService(t testing.TB, opts *tracking.Options) *tracking.Service {
	t.Helper()
	svc, err := tracking.New(sqlstore.New(sqldbtest.Open(t, &sqldb.Options{RelaxedSync: true}), nil), opts)
	if err == nil {
		err = svc.EnsureDefaultExperiment(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

// wantError checks code and sentence of a refusal.
func wantError(t *testing.T, err error, code mlflow.Code, sentence string) {
	t.Helper()
	var e *mlflow.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, sentence) {
		t.Errorf("error = %v\nwant %s with %q", err, code, sentence)
	}
}

// The cases S03, S04, S05, S06 and S08 of the security cases, and what must go on working.
func TestArtifactLocations(t *testing.T) {
	t.Parallel()
	svc := newService(t, &tracking.Options{WorkDir: "/srv/work", ArtifactRoot: "sftp://user@store:22/root", HostSchemes: []string{"hdfs"}})
	for _, c := range []struct{ location, want string }{
		{"", "sftp://user@store:22/root/"},
		{"s3://bucket/a b/c", "s3://bucket/a b/c"},
		{"s3://bucket?x=y", "s3://bucket?x=y"},
		{"gs://b", "gs://b"},
		{"wasbs://container@account.blob.core.windows.net/x", "wasbs://container@account.blob.core.windows.net/x"},
		{"/data/exp.1/..x", "/data/exp.1/..x"},
		{"relative/dir", "/srv/work/relative/dir"},
		{"file:relative", "file:///srv/work/relative"},
		{"file:///data/x", "file:///data/x"},
		{"mlflow-artifacts:/x", "mlflow-artifacts:/x"},
		{"sftp://other@STORE:22/elsewhere", "sftp://other@STORE:22/elsewhere"},
		{"hdfs://anywhere/x", "hdfs://anywhere/x"},
		{"dbfs:/x", "dbfs:/x"},
	} {
		id, err := svc.CreateExperiment(t.Context(), tracking.ExperimentSpec{Name: "ok " + c.location, ArtifactLocation: c.location})
		if err != nil {
			t.Errorf("%q: %v", c.location, err)
			continue
		}
		e, err := svc.Experiment(t.Context(), id)
		if want := c.want; err != nil || e.ArtifactLocation != want && !(c.location == "" && e.ArtifactLocation == want+id) {
			t.Errorf("%q became %q, %v; want %q", c.location, e.ArtifactLocation, err, want)
		}
	}
	for location, sentence := range map[string]string{
		"runs:/1/x":                              "cannot be a runs:/ URI",
		"http:///#/../../../etc/":                "can't include fragments or params",
		"s3://b/x;..%2F..%2Fetc":                 "can't include fragments or params",
		"s3://b/x%23y":                           "can't include fragments or params",
		"s3://b/p?/../../../../etc":              "Invalid query string",
		"s3://b/p?x=%2e%2e/y":                    "Invalid query string",
		"s3://b/p?x=%252e%252e/y":                "Invalid query string",
		"s3://b/a/../../x":                       "relative segments",
		"s3:/b/a/..":                             "relative segments",
		"file:../x":                              "relative segments",
		"mlflow-artifacts:../x":                  "relative segments",
		"mlflow-artifacts:/%c0%ae%c0%ae/x":       "no UTF-8",
		"../up":                                  "relative segments",
		"file:///a/%2e%2e/b":                     "relative segments",
		"/a/%252e%252e%252fetc":                  "relative segments",
		`\..\..\file`:                            "backslashes",
		`/a/%5c..%5cb`:                           "backslashes",
		`C:\x`:                                   "backslashes",
		"s3://b/%00":                             "control characters",
		"s3://b/a\r\nb":                          "control characters",
		"s3://user:secret@b/x":                   "user information",
		"file://host/x":                          "another host",
		"http://169.254.169.254/latest":          "cannot use the 'http' scheme",
		"https://h/x":                            "cannot use the 'https' scheme",
		"ftp://h/x":                              "cannot use the 'ftp' scheme",
		"sftp://elsewhere/x":                     "cannot use the 'sftp' scheme",
		"mlflow-artifacts://evil:80/x":           "cannot use the 'mlflow-artifacts' scheme",
		"HTTP://h/x":                             "cannot use the 'http' scheme",
		"s3://b/" + strings.Repeat("%25", 12):    "",
		"s3://b/" + strings.Repeat("x", 2048):    "Invalid artifact path length",
		"s3://b/%" + strings.Repeat("25", 20):    "control characters",
		"mlflow-artifacts://h/../..":             "",
		"http://h/api/2.0/mlflow-artifacts/x/..": "",
	} {
		_, err := svc.CreateExperiment(t.Context(), tracking.ExperimentSpec{Name: "bad", ArtifactLocation: location})
		if sentence == "" && err == nil && strings.Contains(location, "%25%25") {
			continue // percent signs alone are harmless
		}
		wantError(t, err, mlflow.InvalidParameterValue, sentence)
	}
}

func TestArtifactRoot(t *testing.T) {
	t.Parallel()
	for root, want := range map[string]string{
		"": "mlflow-artifacts:/0", "s3://b": "s3://b/0", "s3://b/x/?q=1": "s3://b/x/0?q=1", "file:///": "file:///0", "mlruns": "/w/mlruns/0",
		"mlflow-artifacts://host:1/": "mlflow-artifacts://host:1/0",
	} {
		e, err := newService(t, &tracking.Options{ArtifactRoot: root, WorkDir: "/w"}).Experiment(t.Context(), "0")
		if err != nil || e.ArtifactLocation != want {
			t.Errorf("root %q: %q, %v; want %q", root, e.ArtifactLocation, err, want)
		}
	}
	_, err := tracking.New(nil, &tracking.Options{ArtifactRoot: "s3://b/../x"})
	wantError(t, err, mlflow.InvalidParameterValue, "Invalid default artifact root")
}

func TestRunArtifactURI(t *testing.T) {
	t.Parallel()
	svc := newService(t, nil)
	id, err := svc.CreateExperiment(t.Context(), tracking.ExperimentSpec{Name: "q", ArtifactLocation: "s3://b/x?versioned=1"})
	if err != nil {
		t.Fatal(err)
	}
	run, err := svc.CreateRun(t.Context(), tracking.RunSpec{ExperimentID: id})
	if err != nil {
		t.Fatal(err)
	}
	if want := "s3://b/x/" + run.Info.ID + "/artifacts?versioned=1"; run.Info.ArtifactURI != want {
		t.Errorf("artifact uri %q, want %q", run.Info.ArtifactURI, want)
	}
}

func TestNamesAreRefusedInMLflowsWords(t *testing.T) {
	t.Parallel()
	svc := newService(t, nil)
	run, err := svc.CreateRun(t.Context(), tracking.RunSpec{ExperimentID: "0"})
	if err != nil {
		t.Fatal(err)
	}
	id, ctx := run.Info.ID, t.Context()
	for _, c := range []struct {
		err      error
		sentence string
	}{
		{svc.LogMetric(ctx, id, tracking.Metric{Key: "a&b"}), `Invalid value "a&b" for parameter 'name' supplied: Names may only contain alphanumerics`},
		{svc.LogMetric(ctx, id, tracking.Metric{Key: "../x"}), `This name would resolve to '../x'`},
		{svc.LogMetric(ctx, id, tracking.Metric{Key: ""}), `This name would resolve to '.'`},
		{svc.LogMetric(ctx, id, tracking.Metric{Key: "a//b"}), `would resolve to 'a/b'`},
		{svc.LogMetric(ctx, id, tracking.Metric{Key: "a", TimestampMS: -1}), `Invalid value -1 for parameter 'timestamp' supplied: metric 'a' (value=0.0). Timestamp must be a nonnegative long`},
		{svc.LogMetric(ctx, id, tracking.Metric{Key: strings.Repeat("k", 251)}), `'Metric name' exceeds the maximum length of 250 characters`},
		{svc.LogBatch(ctx, id, tracking.Batch{Metrics: []tracking.Metric{{Key: "ok"}, {Key: "é*"}}}), `Invalid value "\u00e9*" for parameter 'metrics[1].name'`},
		{svc.LogBatch(ctx, id, tracking.Batch{Params: []tracking.Param{{Key: "/abs"}}}), `parameter 'params[0].key' supplied`},
		{svc.LogBatch(ctx, id, tracking.Batch{Tags: []tracking.Tag{{Key: "a\nb"}}}), `Invalid value "a\nb" for parameter 'tags[0].key'`},
		{svc.LogBatch(ctx, "../etc", tracking.Batch{}), `Invalid value "../etc" for parameter 'run_id' supplied.`},
		{svc.LogParam(ctx, id, tracking.Param{Key: strings.Repeat("é", 251)}), `'Param key' exceeds the maximum length of 250 characters`},
		{svc.SetTag(ctx, id, tracking.Tag{Key: "t/"}), `would resolve to 't'`},
		{svc.RenameExperiment(ctx, "0", ""), `Invalid experiment name: ''`},
		{svc.RenameExperiment(ctx, "0", strings.Repeat("n", 501)), `'name' exceeds the maximum length of 500 characters`},
		{svc.SetExperimentTag(ctx, "0", tracking.Tag{Key: "k", Value: strings.Repeat("v", 20_001)}), `'value' exceeds the maximum length of 20000 characters`},
	} {
		wantError(t, c.err, mlflow.InvalidParameterValue, c.sentence)
	}
	if err := svc.LogMetric(ctx, id, tracking.Metric{Key: "val/acc @"}); err == nil {
		t.Error("a key with @ was accepted")
	}
}

func TestLongValuesCanBeRefused(t *testing.T) {
	t.Parallel()
	svc := newService(t, &tracking.Options{RefuseLongValues: true})
	run, err := svc.CreateRun(t.Context(), tracking.RunSpec{ExperimentID: "0"})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, svc.LogParam(t.Context(), run.Info.ID, tracking.Param{Key: "p", Value: strings.Repeat("v", 6001)}), mlflow.InvalidParameterValue,
		"'Param value' exceeds the maximum length of 6000 characters")
	wantError(t, svc.SetTag(t.Context(), run.Info.ID, tracking.Tag{Key: "t", Value: strings.Repeat("v", 8001)}), mlflow.InvalidParameterValue,
		"'value' exceeds the maximum length of 8000 characters")
}

func TestCustomViewsAreCapped(t *testing.T) {
	t.Parallel()
	svc, ctx := newService(t, nil), t.Context()
	set := func(n int) error {
		return svc.SetExperimentTag(ctx, "0", tracking.Tag{Key: "mlflow.customView.view" + strings.Repeat("x", n), Value: "{}"})
	}
	for n := range 50 {
		if err := set(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := set(7); err != nil {
		t.Errorf("overwriting: %v", err)
	}
	wantError(t, set(50), mlflow.InvalidParameterValue, "Unable to create another custom view for experiment 0")
}

func TestClockAndNamesAreInjected(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 2, 3, 4, 5, 6e6, time.UTC)
	svc := newService(t, &tracking.Options{
		Now: func() time.Time { return at }, NewID: func() string { return strings.Repeat("a", 32) }, NewName: func() string { return "the-name-1" },
	})
	m, err := svc.CreateLoggedModel(t.Context(), tracking.LoggedModelSpec{ExperimentID: "0"})
	if err != nil || m.CreatedMS != at.UnixMilli() || m.Name != "the-name-1" || m.ID != "m-"+strings.Repeat("a", 32) {
		t.Errorf("made %+v, %v", m, err)
	}
}

func TestRandomNamesStayShort(t *testing.T) {
	t.Parallel()
	svc := newService(t, nil)
	for range 50 {
		r, err := svc.CreateRun(t.Context(), tracking.RunSpec{ExperimentID: "0"})
		if err != nil || len(r.Info.Name) > 20 {
			t.Fatalf("name %q, %v", r.Info.Name, err)
		}
	}
}

// A broken database is never "does not exist".
func TestBrokenStoreIsNotMissing(t *testing.T) {
	t.Parallel()
	db, err := sqldb.Open(t.Context(), "sqlite:///"+filepath.Join(t.TempDir(), "x.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	svc, err := tracking.New(sqlstore.New(db, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = svc.Experiment(t.Context(), "0")
	if code := mlflow.CodeOf(err); code == mlflow.ResourceDoesNotExist || code.HTTPStatus() < 500 {
		t.Errorf("error = %v (%s)", err, code)
	}
	_, err = svc.Run(t.Context(), "x")
	if code := mlflow.CodeOf(err); code.HTTPStatus() < 500 {
		t.Errorf("error = %v (%s)", err, code)
	}
	_, err = svc.MetricHistory(t.Context(), tracking.HistoryQuery{RunID: "x", Key: "m"})
	if code := mlflow.CodeOf(err); code.HTTPStatus() < 500 {
		t.Errorf("error = %v (%s)", err, code)
	}
}
