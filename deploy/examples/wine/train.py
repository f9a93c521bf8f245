"""Trains the two example versions of the wine classifier and writes them as MLflow model packages.

The data set is Wine (178 rows, 13 features, 3 cultivars), which scikit-learn carries. Version 1 is a decision stump of depth one and can tell only
two of the three cultivars; version 2 is a scaled logistic regression. Both take the same 13 columns, so one can follow the other
under an endpoint. Run it with the project's Python environment: `.venv/bin/python deploy/examples/wine/train.py`.
"""

import json
import pathlib
import shutil

import mlflow.onnx
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

HERE = pathlib.Path(__file__).parent

CANDIDATES = {
    "v1": DecisionTreeClassifier(max_depth=1, random_state=7),
    "v2": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
}


def convert(model, n_features):
    """Returns the ONNX form: one float input [n, features]; outputs label int64 [n] and probabilities float32 [n, 3]."""
    final = model.steps[-1][1] if hasattr(model, "steps") else model
    return to_onnx(
        model,
        initial_types=[("input", FloatTensorType([None, n_features]))],
        options={id(final): {"zipmap": False}},
        target_opset=17,
    )


def main():
    frame, labels = load_wine(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(frame, labels, test_size=0.3, random_state=7, stratify=labels)
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.double, name) for name in frame.columns]),
        outputs=Schema([ColSpec(DataType.long, "label"), ColSpec(Array(DataType.float), "probabilities")]),
    )
    report = {}
    for version, model in CANDIDATES.items():
        model.fit(x_train, y_train)
        target = HERE / version
        shutil.rmtree(target, ignore_errors=True)
        mlflow.onnx.save_model(
            convert(model, frame.shape[1]),
            target,
            signature=signature,
            input_example=x_test.head(2).reset_index(drop=True),
            pip_requirements=["mlflow", "onnx", "onnxruntime"],
            save_as_external_data=False,
        )
        report[version] = {"accuracy": round(float(model.score(x_test, y_test)), 4), "rows_train": len(x_train), "rows_test": len(x_test)}
    (HERE / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
