"""Rows to compare on: those of the input example, and others made from the signature and from what the model has learned.

Thresholds of trees are hit exactly and missed by the smallest step, since it is there that a conversion to another precision shows.
"""

import numpy as np

UNKNOWN = "\u2021 not seen before"
MAX_EXAMPLE = 64
MAX_KNOWN = 4000  # thresholds kept a feature, texts kept a model
MAX_PROBED = 256  # texts that a column is asked about
WORDS = 12


def parts(model, seen=None):
    """An estimator and everything inside it, in no particular order."""
    seen = set() if seen is None else seen
    if id(model) in seen or isinstance(model, (str, bytes, int, float, type(None), type)):
        return
    seen.add(id(model))
    if isinstance(model, (list, tuple)):
        for value in model:
            yield from parts(value, seen)
    elif isinstance(model, dict):
        yield from parts(list(model.values()), seen)
    elif isinstance(model, np.ndarray):
        if model.dtype == object and model.size <= 100_000:
            yield from parts(list(model.ravel()), seen)
    elif hasattr(model, "get_params") or type(model).__module__.startswith("sklearn"):
        yield model
        if hasattr(model, "__dict__"):
            yield from parts([v for k, v in vars(model).items() if k != "tree_"], seen)


class Pool:
    """What rows are made of."""

    def __init__(self, original):
        self.original, self.random = original, original.random
        self.types = original.column_types()
        self.example = original.example()
        self.with_missing = [False] * len(self.types)
        self.only = {}  # by column of texts that takes no others: those that it takes
        found = list(parts(original.raw))
        self.thresholds = learned_thresholds(original.raw, found)
        self.texts = learned_texts(found)

    def base(self):
        """A few rows that the original should answer."""
        if self.example:
            return [c[:MAX_EXAMPLE] for c in self.example]
        return [self._plain(i, 4) for i in range(len(self.types))]

    def candidates(self, i):
        """Texts that column i may know: those of the example first."""
        return list(dict.fromkeys((self.example[i] if self.example else []) + self.texts))[:MAX_PROBED]

    def rows(self, count):
        columns = []
        for i, kind in enumerate(self.types):
            made = self._column(i, kind, count)
            if self.with_missing[i]:
                made = [float("nan") if self.random.random() < 0.06 else v for v in made]
            columns.append((self.example[i][:MAX_EXAMPLE] if self.example else []) + made)
        return columns

    def _column(self, i, kind, count):
        known = self.example[i] if self.example else []
        if i in self.only:
            return [self.only[i][j] for j in self.random.integers(0, len(self.only[i]), count)]
        if kind == "string":
            return self._texts(known, count)
        values = self._plain(i, count)
        edges = self.thresholds.get(i, [])
        for row in range(count):
            if known and row % 4 == 1:
                values[row] = known[self.random.integers(len(known))]
            elif len(edges) and row % 4 in (2, 3):
                values[row] = self._edge(float(edges[self.random.integers(len(edges))]), kind)
        return [cast(v, kind) for v in values]

    def _edge(self, at, kind):
        step = self.random.integers(5)
        near32 = np.float32(at)
        return [at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf), float(near32), float(np.nextafter(near32, np.float32(np.inf)))][step]

    def _plain(self, i, count):
        """Values as far apart as those that are known, now and then farther."""
        kind = self.types[i]
        if kind == "string":
            return self._texts(self.example[i] if self.example else [], count)
        known = np.array([v for v in (self.example[i] if self.example else self.thresholds.get(i, [])) if v is not None and v == v], dtype=float)
        middle, spread = (float(known.mean()), float(known.std()) or abs(float(known.mean())) or 1.0) if known.size else (0.0, 1.0)
        if kind == "boolean":
            return [bool(v) for v in self.random.integers(0, 2, count)]
        wide = np.where(self.random.random(count) < 0.15, 4.0, 1.0)
        values = middle + spread * wide * self.random.standard_normal(count)
        values[self.random.random(count) < 0.05] = 0.0
        return [cast(v, kind) for v in values]

    def _texts(self, known, count):
        known = [t for t in known if isinstance(t, str)]
        pool = known + self.texts or ["a", "b"]
        words = sorted({w for t in pool for w in t.split()})
        made = []
        for row in range(count):
            if row % 3 == 0 and words:
                made.append(" ".join(words[j] for j in self.random.integers(0, len(words), self.random.integers(1, WORDS))))
            elif row % 3 == 1 and known:
                made.append(known[self.random.integers(len(known))])
            else:
                made.append(pool[self.random.integers(len(pool))])
        for row, odd in zip(range(0, count, max(1, count // 8)), ("", "Großé ÉCOLE naïve", "it's 5-fold, isn't_it?  x", "\u6a21\u578b ok", "A", UNKNOWN), strict=False):
            made[row] = odd
        return made


def cast(value, kind):
    bits = {"integer": 31, "int32": 31, "long": 53, "int64": 53}.get(kind)
    if bits:
        return int(np.clip(np.rint(value), -(2**bits), 2**bits - 1))
    if kind in ("boolean", "bool"):
        return bool(value)
    if kind in ("float", "float32"):
        return float(np.float32(value))
    return float(value)


def learned_thresholds(raw, found):
    """Split points by feature: of the trees of scikit-learn, LightGBM and XGBoost that are fed the raw columns."""
    out = {}

    def add(feature, value):
        have = out.setdefault(int(feature), [])
        if len(have) < MAX_KNOWN:
            have.append(float(value))

    for part in found:
        tree = getattr(part, "tree_", None)
        if tree is not None and hasattr(tree, "threshold"):
            for feature, value in zip(tree.feature, tree.threshold, strict=True):
                if feature >= 0:
                    add(feature, value)
        for predictor in np.ravel(getattr(part, "_predictors", [])):  # of histogram gradient boosting
            nodes = predictor.nodes[~predictor.nodes["is_leaf"].astype(bool)]
            for feature, value in zip(nodes["feature_idx"], nodes["num_threshold"], strict=True):
                add(feature, value)
    for part in [*found, raw]:
        booster = getattr(part, "booster_", None) or (part if hasattr(part, "dump_model") and hasattr(part, "trees_to_dataframe") and hasattr(part, "feature_name") else None)
        if booster is not None and hasattr(booster, "dump_model") and hasattr(booster, "feature_name"):
            for tree in booster.dump_model()["tree_info"]:
                _walk_lightgbm(tree["tree_structure"], add)
        elif hasattr(part, "get_booster") or (hasattr(part, "get_dump") and hasattr(part, "feature_names")):
            _xgboost(part.get_booster() if hasattr(part, "get_booster") else part, add)
    return out


def _walk_lightgbm(node, add):
    stack = [node]
    while stack:
        node = stack.pop()
        if "split_feature" in node:
            if node["decision_type"] == "<=":
                add(node["split_feature"], node["threshold"])
            stack += [node["left_child"], node["right_child"]]


def _xgboost(booster, add):
    names = {n: i for i, n in enumerate(booster.feature_names or [])}
    frame = booster.trees_to_dataframe()
    for feature, value in zip(frame["Feature"], frame["Split"], strict=True):
        if feature != "Leaf" and value == value:
            at = names.get(feature, int(feature[1:]) if feature[1:].isdigit() else None)
            if at is not None:
                add(at, value)


def learned_texts(found):
    """Categories and words that the model's parts know."""
    texts = []
    for part in found:
        for values in getattr(part, "categories_", None) or []:
            texts += [v for v in values if isinstance(v, str)]
        vocabulary = getattr(part, "vocabulary_", None)
        if isinstance(vocabulary, dict):
            texts += [k for k in vocabulary if isinstance(k, str)]
    return sorted(set(texts))[:MAX_KNOWN]
