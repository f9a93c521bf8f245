"""Writes the model packages that the tests convert: python make_models.py FOLDER."""

import sys
import warnings

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

warnings.filterwarnings("ignore")
root = sys.argv[1]


class Doubling(BaseEstimator, TransformerMixin):
    """A transformer that no converter knows."""

    def fit(self, x, y=None):
        return self

    def transform(self, x):
        return x * 2


def save(name, model, example, **more):
    signature = infer_signature(example)
    mlflow.sklearn.save_model(
        model, f"{root}/{name}", pip_requirements=["scikit-learn"], serialization_format="cloudpickle", signature=signature, input_example=example, **more
    )


x, y = load_wine(return_X_y=True, as_frame=True)
forest = RandomForestClassifier(20, max_depth=6, random_state=0).fit(x, y)
save("forest", forest, x.head(3))
save("proba", forest, x.head(3), pyfunc_predict_fn="predict_proba")
save("matrix", RandomForestClassifier(10, random_state=0).fit(x.values, y), x.values[:3])
save("custom", make_pipeline(Doubling(), LogisticRegression(max_iter=10)).fit(x, y), x.head(3))

rng = np.random.default_rng(0)
people = pd.DataFrame(
    {
        "age": rng.integers(18, 90, 200),
        "income": rng.normal(40e3, 1e4, 200),
        "city": rng.choice(["Paris", "Berlin", "Rome"], 200),
        "note": rng.choice(["free money, click", "a meeting at noon", "it's a naïve plan", "cheap offer"], 200),
    }
)
people.loc[3, "income"] = np.nan
wanted = np.where((people.age > 40) & (people.city != "Rome"), "yes", "no")
columns = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
        ("city", OneHotEncoder(), ["city"]),  # refuses cities that it never saw
        ("note", TfidfVectorizer(), "note"),
    ]
)
save("people", make_pipeline(columns, LogisticRegression()).fit(people, wanted), people.head(6))


class Totals(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input.sum(axis=1)


mlflow.pyfunc.save_model(f"{root}/pyfunc", python_model=Totals(), input_example=x.head(3), pip_requirements=[])
mlflow.sklearn.save_model(forest, f"{root}/unsigned", pip_requirements=["scikit-learn"], serialization_format="cloudpickle")
