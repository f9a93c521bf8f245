"""What was deleted is ended for good, with a preview, while the server runs."""

import sqlite3
import subprocess

from conftest import BINARY, Server, register_wine


def command(server, *args):
    done = subprocess.run([str(BINARY), *args, "--data-dir", str(server.data_dir)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_gc_removes_the_deleted_and_keeps_the_registered(shared_server, mlflow_at, tmp_path):
    import mlflow

    client = mlflow_at(shared_server)
    (tmp_path / "note.txt").write_text("x" * 1000)
    with mlflow.start_run() as gone:
        mlflow.log_metric("m", 1)
        mlflow.log_artifact(str(tmp_path / "note.txt"))
    with mlflow.start_run() as alive:
        mlflow.log_artifact(str(tmp_path / "note.txt"))
    wine = register_wine(mlflow, "kept")
    client.delete_run(gone.info.run_id)
    client.delete_logged_model(wine.model_id)

    code, text = command(shared_server, "gc")
    assert code == 0 and "1000 bytes in 1 files would be removed" in text and "version 1 of kept was made from it" in text, text
    assert client.get_run(gone.info.run_id).info.lifecycle_stage == "deleted"
    preview = shared_server.post("/api/2.0/sluice/gc/preview", json={"ids": [gone.info.run_id]}).json()
    assert (preview["bytes"], [i["id"] for i in preview["items"]]) == (1000, [gone.info.run_id])
    assert shared_server.post("/api/2.0/sluice/gc/preview", json={"ids": [alive.info.run_id]}).status_code == 400  # INVALID_STATE
    assert "0 bytes" in command(shared_server, "gc", "--yes", "--older-than", "30d")[1]

    code, text = command(shared_server, "gc", "--yes")
    assert code == 0 and "1000 bytes in 1 files were removed" in text, text
    assert not list(shared_server.data_dir.glob(f"artifacts/0/{gone.info.run_id}/artifacts/*"))
    assert shared_server.get("/api/2.0/mlflow/runs/get", params={"run_id": gone.info.run_id}).status_code == 404
    assert [f.path for f in client.list_artifacts(alive.info.run_id)] == ["note.txt"]
    assert client.get_model_version("kept", "1").status == "READY"
    assert mlflow.onnx.load_model("models:/kept/1")
    assert command(shared_server, "gc", "--older-than", "soon")[0] == 1


def test_database_is_checked_copied_and_upgraded_beside_the_server(shared_server, mlflow_at, tmp_path):
    import mlflow

    client = mlflow_at(shared_server)
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1)
    code, text = command(shared_server, "db", "check")
    assert code == 0 and text.endswith("whole\n") and "the newest" in text and "own tables of registry: step 2" in text, text
    copy = tmp_path / "copy" / "sluice.db"
    copy.parent.mkdir()
    code, text = command(shared_server, "db", "backup", str(copy))
    assert code == 0 and str(copy.stat().st_size) in text, text
    assert command(shared_server, "db", "backup", str(copy))[0] == 1  # never over a file
    assert client.get_run(run.info.run_id).data.metrics == {"m": 1}
    code, text = command(shared_server, "db", "upgrade", "--mlflow")
    assert code == 0 and "newest schema" in text, text
    assert command(shared_server, "db", "check", "--backend-store-uri", f"sqlite:///{tmp_path}/none.db")[0] == 1

    restored = Server(copy.parent).start()  # the copy is a database like any other
    assert mlflow_at(restored).get_run(run.info.run_id).data.metrics == {"m": 1}
    restored.stop()
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE alembic_version SET version_num = 'aaaaaaaaaaaa'")
    code, text = command(shared_server, "db", "check", "--backend-store-uri", f"sqlite:///{copy}")
    assert code == 1 and "mlflow db upgrade sqlite:///" in text, text
