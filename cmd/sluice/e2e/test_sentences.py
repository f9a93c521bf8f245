"""A real transformer with its tokenizer, as any user would log it: texts in, embeddings out."""

import sys

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import sentences
from conftest import Server, wait_until

TEXTS = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]


@pytest.fixture
def server(tmp_path):
    s = Server(tmp_path / "data", "--python", sys.executable, "--python-workers", "1").start()
    yield s
    s.stop()


def test_embeddings_of_sentences(server, mlflow_at, tmp_path):
    client = mlflow_at(server)
    sentences.log(tmp_path)
    client.transition_model_version_stage("sentences", "1", "Production")

    def ask(texts):
        return server.post("/endpoints/sentences/invocations", json={"dataframe_split": {"columns": ["text"], "data": [[t] for t in texts]}})

    wait_until(lambda: ask(TEXTS[:1]).ok, 240, "the model")
    answer = ask(TEXTS)
    assert answer.status_code == 200, answer.text
    served = np.array(answer.json()["predictions"], dtype=np.float32)
    # What the authors of the model give for these three (sbert.net, Quickstart).
    assert served @ served.T == pytest.approx(np.array([[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]]), abs=1e-4)
    loaded = mlflow.pyfunc.load_model("models:/sentences/Production")
    assert served == pytest.approx(loaded.predict(pd.DataFrame({"text": TEXTS})), abs=1e-6)
    alone = np.array([ask([t]).json()["predictions"][0] for t in TEXTS], dtype=np.float32)  # with less padding
    assert alone == pytest.approx(served, abs=1e-5)
