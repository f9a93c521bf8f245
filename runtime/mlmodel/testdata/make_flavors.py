"""Writes flavors/*.MLmodel: what the real client writes for the flavors whose libraries the tests' environment has.

Run it with the Python environment that `make setup` builds: python make_flavors.py
"""

import pathlib
import re
import tempfile
import warnings

import mlflow.lightgbm
import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import lightgbm
import pandas as pd
import xgboost
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent / "flavors"
HERE.mkdir(exist_ok=True)
x = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0] * 10, "b": [1.0, 0.0, 1.0, 0.0] * 10})
y = [0, 0, 1, 1] * 10
work = pathlib.Path(tempfile.mkdtemp())


def keep(name, save, **kwargs):
    save(path=str(work / name), pip_requirements=[], input_example=x.head(2), **kwargs)
    text = (work / name / "MLmodel").read_text().replace(str(work), "/work")
    (HERE / f"{name}.MLmodel").write_text(re.sub(r"(model_uuid|model_id): .*", r"\1: " + "0" * 32, text))


class Ranker(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["a"]


code = work / "ranking.py"
code.write_text("TOP = 3\n")
weights = work / "weights.txt"
weights.write_text("1 2 3\n")
logit = LogisticRegression().fit(x, y)
keep("sklearn_skops", mlflow.sklearn.save_model, sk_model=logit)
keep("sklearn_proba", mlflow.sklearn.save_model, sk_model=logit, serialization_format="cloudpickle", pyfunc_predict_fn="predict_proba")
keep("lightgbm", mlflow.lightgbm.save_model, lgb_model=lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, y), 2))
keep("lightgbm_sklearn", mlflow.lightgbm.save_model, lgb_model=lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(x, y))
keep("xgboost", mlflow.xgboost.save_model, xgb_model=xgboost.train({}, xgboost.DMatrix(x, label=y), 2))
keep("onnx", mlflow.onnx.save_model, onnx_model=to_onnx(logit, x.head(1).to_numpy("float32")), onnx_session_options={"execution_mode": "sequential"})
keep("pyfunc_class", mlflow.pyfunc.save_model, python_model=Ranker(), code_paths=[str(code)], artifacts={"weights": str(weights)}, model_config={"top": 3})
from_code = work / "model.py"
from_code.write_text(
    "import mlflow\n\n\nclass M(mlflow.pyfunc.PythonModel):\n    def predict(self, context, model_input, params=None):\n        return model_input\n\n\nmlflow.models.set_model(M())\n"
)
keep("pyfunc_from_code", mlflow.pyfunc.save_model, python_model=str(from_code))
