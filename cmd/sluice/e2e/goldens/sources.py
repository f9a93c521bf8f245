"""Where a model version may be made from."""

from goldens import each, post


def version(source, **more):
    return post("model-versions/create", {"name": "sources", "source": source} | more)


SOURCES = [
    "s3://b/x", "s3://b/y/../z", "s3://b/%2e%2e/x", "s3://b/%252e%252e/x", "s3://b/x#y", "s3://b/x?y=../z", "s3:/b/a/../../x", "gs://b/x", "wasbs://c@h/x", "dbfs:/a/b", "dbfs:/a/../b", "hdfs://h/x", "http://h/x", "https://h/api/2.0/mlflow-artifacts/artifacts/../..", "ftp://u:p@h/x",
    "/etc/passwd", "file:///etc", "file:/etc", "FILE:///etc", "file://localhost/etc", "file:///proc/self", "etc/passwd", "./x", "../x", "~/x", "C:\\x", "\\\\h\\s", "..\\x", "mlflow-artifacts:/1/x/artifacts", "mlflow-artifacts:/../x", "mlflow-artifacts:/%2e%2e/x", "mlflow-artifacts://h/../../..",
    "runs:/{sr}/model", "runs:/none/model", "runs:/{sr}", "models:/sources/1", "models:/sources@none", "models:/none/1", "models:/sources/Production", "models:/sources/99", "models:/", "models:/{sm}", "models:/m-none", "dummy-source", "x", " ", "s3://", "s3:", "://x", "a" * 500, "s3://b/\u0000", "s3://b/x y", "prompt-template:x", "mlflow-artifacts:",
]

ODD = ["s3://b/x#y", "s3://b/x?y=../z"]  # MLflow takes them

CASES = [
    post("runs/create", {"experiment_id": "0", "run_name": "sources", "start_time": 1}, keep={"sr": "run.info.run_id", "sa": "run.info.artifact_uri"}),
    post("logged-models", {"experiment_id": "0", "name": "sources", "source_run_id": "{sr}"}, keep={"sm": "model.info.model_id", "sma": "model.info.artifact_uri"}),
    post("registered-models/create", {"name": "sources"}),
    post("registered-models/create", {"name": "odd sources"}),
    version("s3://b/first"), *each(version, [s for s in SOURCES if s not in ODD]), *each(lambda s: version(s, name="odd sources"), ODD),
    version("{sa}/model"), version("{sa}/model", run_id="{sr}"), version("{sa}/../x", run_id="{sr}"), version("{sa}/model", run_id="f" * 32), version("{sma}", model_id="{sm}"), version("models:/{sm}", model_id="{sm}"), version("models:/{sm}", model_id="m-none"), version("file:///etc", run_id="{sr}"),
    version("file:///etc", model_id="{sm}"), version("/etc", run_id="{sr}"), version("s3://b/x", run_id="{sr}"), version("s3://b/x", model_id="{sm}"), version("runs:/{sr}/model", run_id="{sr}"), version("../x", run_id="{sr}"), version("runs:/{sr}/../x", run_id="{sr}"),
]
