package rest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"sluice/registry"
	"sluice/registry/rest"
	"sluice/registry/sqlstore"
	"sluice/tracking/mlflow"
	"sluice/tracking/sqldb"
	"sluice/tracking/sqldb/sqldbtest"
	"sluice/tracking/wire"
)

func TestRoutes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range rest.Routes(registry.New(nil, nil)) {
		if r.Permission != wire.Read && r.Permission != wire.Write || !strings.HasPrefix(r.Audit, "registry.") || r.Handler == nil {
			t.Errorf("incomplete route %+v", r)
		}
		if (r.Permission == wire.Read) != (r.Method == "GET" || strings.HasSuffix(r.Path, "/get-latest-versions")) {
			t.Errorf("%s %s needs %s", r.Method, r.Path, r.Permission)
		}
		if key := r.Method + " " + r.Path; seen[key] {
			t.Errorf("%s stands twice", key)
		} else {
			seen[key] = true
		}
	}
	if len(seen) != 44 {
		t.Errorf("%d routes, want 22 and their twins", len(seen))
	}
}

func TestDeleteOfRoutedVersions(t *testing.T) {
	t.Parallel()
	guard := func(_ context.Context, name string, version int) error {
		return mlflow.Errorf(mlflow.ResourceConflict, "version %d of %s is routed to", version, name)
	}
	app, _ := newApp(t, &registry.Options{GuardDelete: guard})
	create := func() {
		t.Helper()
		for _, step := range [][2]string{
			{"/registered-models/create", `{"name": "wine"}`},
			{"/model-versions/create", `{"name": "wine", "source": "s3://b/x"}`},
			{"/model-versions/create", `{"name": "wine", "source": "s3://b/x"}`},
		} {
			if status, answer := call(t, app, "POST", step[0], step[1]); status != 200 {
				t.Fatalf("%s: %d %v", step[0], status, answer)
			}
		}
	}
	create()
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"/model-versions/delete", `{"name": "wine", "version": "1"}`, 409},
		{"/model-versions/delete", `{"name": "wine", "version": "1", "force": false}`, 409},
		{"/model-versions/delete?force=no", `{"name": "wine", "version": "1"}`, 400},
		{"/model-versions/delete", `{"name": "wine", "version": "1", "force": "yes"}`, 400},
		{"/model-versions/delete", `{"name": "wine", "version": "1", "force": true}`, 200},
		{"/model-versions/delete?force=true", `{"name": "wine", "version": "2"}`, 200},
		{"/registered-models/delete", `{"name": "wine"}`, 409},
		{"/registered-models/delete?force=TRUE", `{"name": "wine"}`, 200},
	} {
		if status, answer := call(t, app, "DELETE", c.path, c.body); status != c.status {
			t.Errorf("%s %s: %d %v, want %d", c.path, c.body, status, answer, c.status)
		}
	}
}

// TestMLflowsClientAndStore drives our server with MLflow's own client, and then reads the same SQLite file with MLflow's store.
func TestMLflowsClientAndStore(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "mlflow.db")
	db := sqldbtest.OpenFile(t, file, nil)
	store, err := sqlstore.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	service := registry.New(store, nil)
	out := sqldbtest.Python(t, `
import json, sys
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
url, file = sys.argv[1:]
client = MlflowClient(url, url)
client.create_registered_model("wine", tags={"team": "red"}, description="reds")
for n in range(3):
    client.create_model_version("wine", f"s3://bucket/{n}", tags={"n": str(n)}, await_creation_for=0)
client.transition_model_version_stage("wine", "1", "Production")
client.transition_model_version_stage("wine", "2", "Production", archive_existing_versions=True)
client.set_registered_model_alias("wine", "champ", "2")
client.set_model_version_tag("wine", "2", "k", "v")
client.update_model_version("wine", "2", "second")
client.delete_model_version("wine", "3")
client.rename_registered_model("wine", "vino")
try:
    client.get_model_version("vino", "3")
    raise SystemExit("version 3 is still there")
except MlflowException as e:
    assert e.error_code == "RESOURCE_DOES_NOT_EXIST", e
by_alias = client.get_model_version_by_alias("vino", "champ")
def picture(c):
    model = c.get_registered_model("vino")
    found = c.search_model_versions("name='vino'")
    return {
        "model": [model.name, model.description, model.tags, model.aliases, sorted([v.version, v.current_stage] for v in model.latest_versions)],
        "versions": sorted([int(v.version), v.current_stage, v.source, v.status, v.description or "", v.tags] for v in found),
        "alias": c.get_model_version_by_alias("vino", "champ").version,
        "uri": c.get_model_version_download_uri("vino", "2"),
        "models": [m.name for m in c.search_registered_models("tags.team = 'red'")],
    }
print(json.dumps({"ours": picture(client), "theirs": picture(MlflowClient("sqlite:///" + file, "sqlite:///" + file))}, sort_keys=True))
`, serve(t, service), file)
	var got struct{ Ours, Theirs json.RawMessage }
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ours := strings.NewReplacer(`"1"`, `1`, `"2"`, `2`).Replace(string(got.Ours))
	theirs := strings.NewReplacer(`"1"`, `1`, `"2"`, `2`).Replace(string(got.Theirs)) // MLflow's store gives numbers, its client text
	if ours != theirs {
		t.Errorf("through our server %s\nfrom the file        %s", ours, theirs)
	}
	if want := `"alias": 2`; !strings.Contains(ours, want) || !strings.Contains(ours, `[1, "Archived", "s3://bucket/0"`) {
		t.Errorf("the picture lacks what was done: %s", ours)
	}
	if n, err := service.Revision(t.Context()); err != nil || n != 12 {
		t.Errorf("revision %d, %v", n, err)
	}
}

// serve listens on a loopback port until the test ends and returns the URL.
func serve(t *testing.T, service *registry.Service) string {
	t.Helper()
	app := fiber.New(fiber.Config{ErrorHandler: wire.ErrorHandler(slog.New(slog.DiscardHandler)), DisableStartupMessage: true})
	for _, r := range rest.Routes(service) {
		app.Add(r.Method, r.Path, r.Handler)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- app.Listener(listener) }()
	t.Cleanup(func() {
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return "http://" + listener.Addr().String()
}

// TestOldRevisions works on a database as MLflow 3.12 left it: the registry's tables are the same, so everything does.
func TestOldRevisions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "old.db")
	sqldbtest.Python(t, `
import sys
from alembic import command
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base
engine = utils.create_sqlalchemy_engine("sqlite:///" + sys.argv[1])
Base.metadata.create_all(engine)
config = utils._get_alembic_config(str(engine.url))
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, "7d34483879f0")
`, file)
	db := sqldbtest.OpenFile(t, file, &sqldb.Options{RelaxedSync: true})
	store, err := sqlstore.New(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	service := registry.New(store, nil)
	if _, err := service.CreateModel(t.Context(), registry.ModelSpec{Name: "wine", Tags: []registry.Tag{{Key: "a", Value: "b"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := service.CreateVersion(t.Context(), registry.VersionSpec{Name: "wine", Source: "s3://b/x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := service.SetStage(t.Context(), "wine", 1, "Production", true); err != nil {
		t.Fatal(err)
	}
	m, err := service.Model(t.Context(), "wine")
	if err != nil || len(m.Latest) != 1 || db.Revision() != "7d34483879f0" {
		t.Errorf("%+v, %v", m, err)
	}
	if db.HasTable("scheduler_leases") {
		t.Error("a table of a later revision is there")
	}
}
