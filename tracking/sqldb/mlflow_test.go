package sqldb_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"sluice/tracking/sqldb/sqldbtest"
)

// describe is Python that reads every fact about a database's schema but the order in which constraints were declared, which
// differs between two runs of MLflow's migrations. Our own tables are left out.
const describe = `
import re, sqlite3
def facts(path):
    db = sqlite3.connect(path)
    out = {}
    for kind, name, table, ddl in db.execute("select type, name, tbl_name, sql from sqlite_master where tbl_name not like 'sluice%'"):
        f = {"table": table}
        if kind == "table":
            f["columns"] = [list(c) for c in db.execute(f"pragma table_xinfo('{name}')")]
            f["keys"] = sorted([list(k)[2:] for k in db.execute(f"pragma foreign_key_list('{name}')")], key=str)
            body = ddl[ddl.index("(") + 1:]
            f["constraints"] = sorted(l.strip().rstrip(",") for l in body.splitlines() if re.match(r"\s*(CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN)", l))
        elif kind == "index":
            f["columns"] = [list(c) for c in db.execute(f"pragma index_xinfo('{name}')")]
            f["unique"] = [list(c)[2:] for c in db.execute(f"pragma index_list('{table}')") if c[1] == name]
            f["sql"] = ddl
        else:
            f["sql"] = " ".join(ddl.split())
        out[kind + " " + name] = f
    out["rows"] = {t: [list(r) for r in db.execute("select * from " + t)] for t in ("alembic_version", "workspaces")}
    return out
`

// TestSchemaEqualsMLflows compares a fresh database with one that MLflow's own migrations made, and lets MLflow work on ours.
func TestSchemaEqualsMLflows(t *testing.T) {
	t.Parallel()
	ours := filepath.Join(t.TempDir(), "ours.db")
	sqldbtest.OpenFile(t, ours, nil).Close()
	out := sqldbtest.Python(t, describe+`
import json, os, sys
from mlflow.store.db import utils
ours = sys.argv[1]
real = os.path.join(os.getcwd(), "real.db")
engine = utils.create_sqlalchemy_engine("sqlite:///" + real)
utils._initialize_tables(engine)
engine.dispose()
answer = {"ours": facts(ours), "real": facts(real)}

engine = utils.create_sqlalchemy_engine("sqlite:///" + ours)
utils._verify_schema(engine)
assert utils._all_tables_exist(engine)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
store = SqlAlchemyStore("sqlite:///" + ours, os.getcwd() + "/artifacts")
registry = Registry("sqlite:///" + ours)
run = store.create_run("0", "me", 1, [], "first")
registry.create_registered_model("wine")
version = registry.create_model_version("wine", "s3://bucket/wine", run.info.run_id)
registry.transition_model_version_stage("wine", version.version, "Production", False)
answer["after"] = facts(ours)
print(json.dumps(answer))
`, ours)
	var got struct{ Ours, Real, After map[string]any }
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	sameFacts(t, "ours and MLflow's", got.Ours, got.Real)
	sameFacts(t, "ours after MLflow worked on it", got.After, got.Real)
	db := sqldbtest.OpenFile(t, ours, nil)
	if got := count(t, db.Read(), "SELECT COUNT(*) FROM model_versions WHERE current_stage = 'Production'"); got != 1 {
		t.Errorf("MLflow's model version is not there: %d", got)
	}
}

func sameFacts(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	var names []string
	for name := range want {
		names = append(names, name)
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is too many", what, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Errorf("%s: %s\ngot  %v\nwant %v", what, name, got[name], want[name])
		}
	}
}
