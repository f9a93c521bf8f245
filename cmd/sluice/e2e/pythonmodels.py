"""The models that test_pyworker.py serves, each logged with the real client as its users would."""

import datetime
import pathlib
import sys

import cloudpickle
import mlflow
import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property


cloudpickle.register_pickle_by_value(sys.modules[__name__])  # as if a notebook had them: workers cannot import this file


class Answers(mlflow.pyfunc.PythonModel):
    """Answers with every kind of thing that pyfunc may answer; the first row says which."""

    def predict(self, context, model_input, params=None):
        n = len(model_input)
        when = pd.Timestamp("2024-02-29 12:30:00.25")
        kinds = {
            "ndarray": lambda: np.arange(n) / 3,
            "float32": lambda: np.full(n, 0.1, dtype=np.float32),
            "matrix": lambda: np.arange(2 * n).reshape(n, 2),
            "bools": lambda: np.array([True, False, True])[:n],
            "nan": lambda: np.array([np.nan, 1.0, np.inf])[:n],
            "times": lambda: np.array(["2024-01-01", "NaT", "2024-01-03"], dtype="M8[ns]")[:n],
            "days": lambda: np.array(["2024-01-01", "2024-01-02", "2024-01-03"], dtype="M8[D]")[:n],
            "objects": lambda: np.array(["a", None, 3][:n], dtype=object),
            "scalar array": lambda: np.array(7.5),
            "bytes": lambda: np.array([b"abc", b"\xff\x00", b"x" * 100][:n]),
            "frame": lambda: pd.DataFrame({"n": range(n), "t": ["ä", "b\n", '"c"'][:n], "x": [0.1, np.nan, -0.0][:n], "ok": [True, False, True][:n]}),
            "numbered frame": lambda: pd.DataFrame(np.eye(n)),
            "mixed frame": lambda: pd.DataFrame({"when": [when, pd.NaT, when][:n], "list": [[1, 2.5], [], None][:n], "map": [{"a": 1}, {}, {"b": [None]}][:n], 5: range(n)}),
            "zoned frame": lambda: pd.DataFrame({"when": pd.Series([when] * n).dt.tz_localize("Europe/Berlin"), "c": pd.Categorical(["u", "v", "u"][:n])}),
            "nullable frame": lambda: pd.DataFrame({"i": pd.array([1, None, 3][:n], dtype="Int64"), "s": pd.array(["a", None, "c"][:n], dtype="string")}),
            "frame without columns": lambda: pd.DataFrame(index=range(n)),
            "series": lambda: pd.Series(range(n), name="y"),
            "nameless series": lambda: pd.Series([0.5] * n),
            "list": lambda: [1.5, 2.0, 1e22][:n],
            "integers": lambda: [1, 2**40, -3][:n],
            "huge integers": lambda: [1, 2**80, 3][:n],
            "texts": lambda: ["a", "\u20ac", ""][:n],
            "mixed list": lambda: [1, "a", None][:n],
            "nested": lambda: [{"items": [{"id": "a", "score": np.float32(0.5)}], "at": when, "day": datetime.date(2024, 1, 2)}] * n,
            "dict": lambda: {"a": np.arange(n), "b": np.ones((n, 2))},
            "uneven dict": lambda: {"a": np.arange(n), "b": np.ones(5)},
            "dict of lists": lambda: {"a": [1, float("nan"), None], "raw": b"abc"},
            "text": lambda: "just a text",
            "number": lambda: 42,
            "none": lambda: None,
            "empty list": lambda: [],
            "empty dict": lambda: {},
        }
        return kinds[model_input["kind"].iloc[0]]()


ANSWERS = [
    "ndarray", "float32", "matrix", "bools", "nan", "times", "days", "objects", "scalar array", "bytes", "frame", "numbered frame", "mixed frame",
    "zoned frame", "nullable frame", "frame without columns", "series", "nameless series", "list", "integers", "huge integers", "texts",
    "mixed list", "nested", "dict", "uneven dict", "dict of lists", "text", "number", "none", "empty list", "empty dict",
]  # fmt: skip


class Mirror(mlflow.pyfunc.PythonModel):
    """Tells what it was given: types, names, index, values, params."""

    def predict(self, context, model_input, params=None):
        return [str(self._tell(model_input)), repr(params)]

    def _tell(self, x):
        if isinstance(x, pd.DataFrame):
            columns = [(repr(c), str(x.dtypes.iloc[i]), [self._cell(v) for v in x.iloc[:, i]]) for i, c in enumerate(x.columns)]
            return "frame", len(x), list(x.index), columns
        if isinstance(x, dict):
            return {k: self._tell(v) for k, v in x.items()}
        if isinstance(x, np.ndarray):
            return "array", x.dtype.str, x.shape, x.tolist()
        return type(x).__name__, x

    def _cell(self, v):
        return type(v).__name__, v.tolist() if isinstance(v, np.ndarray) else v


MIRRORS = {
    "numbers": ModelSignature(
        inputs=Schema([ColSpec(DataType.double, "d"), ColSpec(DataType.long, "l"), ColSpec(DataType.boolean, "b"), ColSpec(DataType.integer, "i")])
    ),
    "doubles": ModelSignature(inputs=Schema([ColSpec(DataType.double, "x"), ColSpec(DataType.double, "y", required=False)])),
    "words": ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "s"), ColSpec(DataType.datetime, "t"), ColSpec(DataType.binary, "raw"), ColSpec(DataType.float, "f")])
    ),
    "nested": ModelSignature(
        inputs=Schema([
            ColSpec(Array(DataType.double), "a"),
            ColSpec(Object([Property("p", DataType.string), Property("q", Array(DataType.long), required=False)]), "o"),
            ColSpec(Map(DataType.long), "m"),
            ColSpec(AnyType(), "any", required=False),
        ])
    ),
    "unnamed": ModelSignature(inputs=Schema([ColSpec(DataType.double), ColSpec(DataType.double)])),
    "tensor": ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 2))])),
    "tensors": ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("int64"), (-1,), "k"), TensorSpec(np.dtype("float64"), (-1, 2), "v"), TensorSpec(np.dtype("str"), (-1,), "s")])
    ),
    "params": ModelSignature(
        inputs=Schema([ColSpec(DataType.double, "x")]),
        params=ParamSchema([
            ParamSpec("k", DataType.long, 3), ParamSpec("f", DataType.double, 2.0), ParamSpec("s", DataType.string, "é"),
            ParamSpec("many", DataType.double, [1.0, 2.5], (-1,)), ParamSpec("on", DataType.boolean, False), ParamSpec("none", DataType.string, None),
        ]),
    ),
    "free": None,
}  # fmt: skip

# What each mirror is asked: bodies of /invocations.
QUESTIONS = {
    "numbers": [
        {"dataframe_split": {"columns": ["d", "l", "b", "i"], "data": [[1.5, 2, True, 3], [None, -4, False, 5]]}},
        {"dataframe_records": [{"i": 1, "b": False, "l": 2**40, "d": 0.1, "extra": "x"}]},
        {"inputs": {"d": [1.0, 2.0], "l": [1, 2], "b": [True, False], "i": [3, 4]}},
    ],
    "doubles": [
        {"dataframe_split": {"columns": ["x"], "data": [[1.5], [2.5]]}},
        {"dataframe_split": {"columns": ["y", "x"], "data": [[1.5, 1e300], [2.5, -0.0]]}},
        {"instances": [{"x": 1.0, "y": 2.0}, {"x": 3.0, "y": 4.0}]},
    ],
    "words": [
        {"dataframe_split": {"columns": ["s", "t", "raw", "f"], "data": [["ä\u2028", "2024-02-29T12:00:00", "YWJj", 0.1], ["", "1999-12-31T00:00:00", "", 2]]}},
    ],
    "nested": [
        {"dataframe_records": [
            {"a": [1.0, 2.5], "o": {"p": "x", "q": [1, 2]}, "m": {"u": 1}, "any": {"deep": [None, "z"]}},
            {"a": [], "o": {"p": "y"}, "m": {}, "any": 3},
        ]},
        {"dataframe_records": [{"a": [1.0], "o": {"p": "x"}, "m": {"u": 1, "v": 2}}]},
    ],
    "unnamed": [{"dataframe_split": {"data": [[1.0, 2.0], [3.0, 4.0]]}}, {"inputs": [[1.0, 2.0]]}],
    "tensor": [{"inputs": [[1.0, 2.0], [3.0, 4.0]]}, {"instances": [[0.1, 0.2]]}],
    "tensors": [{"inputs": {"k": [1, 2], "v": [[1.0, 2.0], [3.0, 4.0]], "s": ["a", "ßß"]}}],
    "params": [
        {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}},
        {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}, "params": {"k": 5, "f": 3, "s": "t", "many": [4.0, 1e-9], "on": True}},
    ],
    "free": [
        {"dataframe_split": {"columns": ["x", "s"], "data": [[1, "a"], [2, "b"]]}},
        {"inputs": [[1.5, 2.5], [3.5, 4.5]]},
        {"inputs": {"a": [1, 2], "b": [["x", "y"], ["z", "w"]]}},
    ],
}  # fmt: skip


class Doubler(mlflow.pyfunc.PythonModel):
    """A custom model whose arithmetic is in a package of its own and whose factor is an artifact."""

    def load_context(self, context):
        import doubling

        self.apply = doubling.apply
        self.factor = float(pathlib.Path(context.artifacts["factor"]).read_text())

    def predict(self, context, model_input, params=None):
        return self.apply(model_input["x"], self.factor)


class Factors(mlflow.pyfunc.PythonModel):
    """A factorization machine over (user, item) pairs: the best items for a user, null for a user that it has never met."""

    def fit(self, interactions, rank=4, epochs=60, rate=0.05, seed=0):
        random = np.random.default_rng(seed)
        self.users = {u: i for i, u in enumerate(sorted(interactions["user"].unique()))}
        self.items = sorted(interactions["item"].unique())
        at = {v: i for i, v in enumerate(self.items)}
        u, v = interactions["user"].map(self.users).to_numpy(), interactions["item"].map(at).to_numpy()
        y = interactions["rating"].to_numpy(dtype=float)
        self.mean, self.bu, self.bv = y.mean(), np.zeros(len(self.users)), np.zeros(len(self.items))
        self.p, self.q = random.normal(0, 0.1, (len(self.users), rank)), random.normal(0, 0.1, (len(self.items), rank))
        for _ in range(epochs):
            for k in random.permutation(len(y)):
                i, j = u[k], v[k]
                e = y[k] - (self.mean + self.bu[i] + self.bv[j] + self.p[i] @ self.q[j])
                self.bu[i] += rate * (e - 0.02 * self.bu[i])
                self.bv[j] += rate * (e - 0.02 * self.bv[j])
                self.p[i], self.q[j] = self.p[i] + rate * (e * self.q[j] - 0.02 * self.p[i]), self.q[j] + rate * (e * self.p[i] - 0.02 * self.q[j])
        return self

    def predict(self, context, model_input, params=None):
        k = (params or {}).get("k", 3)
        return pd.DataFrame([self.recommend(user, k) for user in model_input["user"]], columns=["items", "score"])

    def recommend(self, user, k):
        i = self.users.get(user)
        if i is None:
            return None, float("nan")
        scores = self.mean + self.bu[i] + self.bv + self.q @ self.p[i]
        best = np.argsort(-scores)[:k]
        return [self.items[j] for j in best], float(scores[best[0]])


def log(name, **how):
    """Logs a python_function model in a run of its own and registers it."""
    with mlflow.start_run(run_name=name):
        mlflow.pyfunc.log_model(name="model", registered_model_name=name, pip_requirements=["mlflow"], **how)


def log_doubler(folder):
    package = folder / "doubling"
    package.mkdir()
    (package / "__init__.py").write_text("def apply(x, factor):\n    return x * factor\n")
    (folder / "factor.txt").write_text("2.5")
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    log(
        "doubler", python_model=Doubler(), code_paths=[str(package)], artifacts={"factor": str(folder / "factor.txt")},
        signature=infer_signature(frame, frame["x"]), input_example=frame,
    )  # fmt: skip


def log_factors():
    random = np.random.default_rng(1)
    pairs = [(f"u{u}", f"i{i}", 5.0 if (u + i) % 3 == 0 else 1.0 + random.random()) for u in range(12) for i in range(9) if random.random() < 0.7]
    model = Factors().fit(pd.DataFrame(pairs, columns=["user", "item", "rating"]))
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "user")]), params=ParamSchema([ParamSpec("k", DataType.long, 3)])
    )
    log("factors", python_model=model, signature=signature, input_example=pd.DataFrame({"user": ["u1", "u2"]}))


def log_spam():
    """A text pipeline over the column `text`."""
    import mlflow.sklearn
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = ["win money now", "cheap money offer", "win a prize", "lunch tomorrow", "meeting notes attached", "see you at lunch"]
    frame = pd.DataFrame({"text": texts, "sender": list("aabbcc")})
    pipeline = make_pipeline(ColumnTransformer([("words", TfidfVectorizer(), "text")]), LogisticRegression())
    pipeline.fit(frame, ["spam"] * 3 + ["ham"] * 3)
    with mlflow.start_run(run_name="spam"):
        mlflow.sklearn.log_model(
            pipeline, name="model", registered_model_name="spam", signature=infer_signature(frame, pipeline.predict(frame)),
            input_example=frame, serialization_format="cloudpickle", pip_requirements=["mlflow", "scikit-learn"],
        )  # fmt: skip
    return frame


def log_boosted():
    """A CatBoost, an XGBoost and a LightGBM regressor over the same four columns, and a forest in skops' format."""
    import catboost
    import lightgbm
    import mlflow.catboost
    import mlflow.lightgbm
    import mlflow.sklearn
    import mlflow.xgboost
    import xgboost
    from sklearn.ensemble import RandomForestRegressor

    random = np.random.default_rng(2)
    x = pd.DataFrame(random.normal(size=(200, 4)), columns=list("abcd"))
    y = x["a"] * 2 - x["b"] + x["c"] * x["d"]
    models = {
        "xgboost": (mlflow.xgboost, xgboost.XGBRegressor(n_estimators=20, max_depth=3, n_jobs=1)),
        "lightgbm": (mlflow.lightgbm, lightgbm.LGBMRegressor(n_estimators=20, num_leaves=7, n_jobs=1, verbose=-1)),
        "catboost": (mlflow.catboost, catboost.CatBoostRegressor(n_estimators=20, depth=3, thread_count=1, verbose=0, allow_writing_files=False)),
        "forest": (mlflow.sklearn, RandomForestRegressor(n_estimators=20, random_state=0)),
    }
    for name, (flavor, model) in models.items():
        model.fit(x, y)
        with mlflow.start_run(run_name=name):
            flavor.log_model(
                model, name="model", registered_model_name=name, signature=infer_signature(x, model.predict(x)), input_example=x.head(3),
                pip_requirements=["mlflow"], **({"skops_trusted_types": ["sklearn.tree._tree.Tree"]} if name == "forest" else {}),
            )  # fmt: skip
    return x


def log_iris_onnx():
    """A logistic regression as ONNX, which needs no Python."""
    import mlflow.onnx
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True, as_frame=True)
    model = LogisticRegression(max_iter=500).fit(x, y)
    converted = to_onnx(model, initial_types=[("input", FloatTensorType([None, 4]))], options={"zipmap": False})
    with mlflow.start_run(run_name="iris"):
        mlflow.onnx.log_model(converted, name="model", registered_model_name="iris", signature=infer_signature(x), pip_requirements=["onnxruntime"])
    return x
