"""Endpoint `grape` for the clients of the Open Inference Protocol: version 2 of the example in Production, version 1 in Staging without weight."""

import numpy as np
import requests
from conftest import register_wine, wait_until, wine_rows


def serve(server, experiment):
    """Makes the endpoint and waits until both versions answer."""
    import mlflow

    mlflow.set_tracking_uri(server.url)
    mlflow.set_registry_uri(server.url)
    client = mlflow.MlflowClient()
    mlflow.set_experiment(experiment)
    for version, stage in (("1", "Staging"), ("2", "Production")):
        register_wine(mlflow, "grape", f"v{version}")
        client.transition_model_version_stage("grape", version, stage)
    body = {
        "served_entities": [
            {"name": "main", "entity_name": "grape", "entity_stage": "Production"},
            {"name": "next", "entity_name": "grape", "entity_stage": "Staging"},
        ],
        "traffic_config": {"routes": [{"served_entity_name": "main", "traffic_percentage": 100}, {"served_entity_name": "next", "traffic_percentage": 0}]},
    }
    answer = requests.put(server.url + "/api/2.0/serving-endpoints/grape/config", json=body, timeout=30)
    assert answer.ok, answer.text
    wait_until(lambda: all(server.get(f"/v2/models/grape/versions/{v}/ready").ok for v in (1, 2)), what="both versions")


def frame(n):
    """n rows of the example's input, by column."""
    rows = wine_rows(n)
    return {name: np.array([r[i] for r in rows["data"]], dtype=np.float64) for i, name in enumerate(rows["columns"])}


def tensors(triton, n, wide=True, **how):
    """The same as inputs for the given client of Triton, HTTP's or gRPC's; how goes to set_data_from_numpy."""
    inputs = []
    for name, column in frame(n).items():
        column = column.reshape(n, 1) if wide else column
        tensor = triton.InferInput(name, list(column.shape), "FP64")
        tensor.set_data_from_numpy(column, **how)
        inputs.append(tensor)
    return inputs


def expected(server, n, version=None):
    """Labels and probabilities of the same rows as MLflow's scoring protocol answers them."""
    path = f"/models/grape/versions/{version}/invocations" if version else "/endpoints/grape/invocations"
    rows = server.post(path, json={"dataframe_split": wine_rows(n)}).json()["predictions"]
    return np.array([r["label"] for r in rows]), np.array([r["probabilities"] for r in rows], dtype=np.float32)
