"""What needs no language model: the scorers every PRM must beat, and the hint that no causal scorer can have."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelledSteps:
    """A row's step texts with their targets in [0, 1]; None = not supervised."""

    steps: tuple[str, ...]
    targets: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class BaselineScores:
    """P(correct) for every step of the held-out rows. `causal`: a step's score never looks at what follows it.

    `name` is the stem of the metrics' names, such as "baseline_tfidf" for "baseline_tfidf_auc".
    """

    name: str
    causal: bool
    scores: tuple[tuple[float, ...], ...]


def baseline_scores(train: Sequence[LabelledSteps], held_out: Sequence[LabelledSteps]) -> tuple[BaselineScores, ...]:
    """Step index and TF-IDF, fitted on `train` alone, and the hint; all without randomness."""
    return (
        BaselineScores("baseline_step_index", True, step_index(train, held_out)),
        BaselineScores("baseline_tfidf", True, tfidf(train, held_out)),
        BaselineScores("hint_last_rated", False, last_rated(held_out)),
    )


def step_index(train: Sequence[LabelledSteps], held_out: Sequence[LabelledSteps]) -> tuple[tuple[float, ...], ...]:
    """Logistic regression on the step's place: its index and the logarithm of it."""

    def features(rows: Sequence[LabelledSteps]) -> Floats:
        places = np.array([place for row in rows for place in range(len(row.steps))], dtype=np.float64)
        return np.stack([places, np.log1p(places)], axis=1)

    return _regression(train, held_out, features)


def tfidf(train: Sequence[LabelledSteps], held_out: Sequence[LabelledSteps]) -> tuple[tuple[float, ...], ...]:
    """Logistic regression on TF-IDF of the step's text: its words and numbers, alone and in pairs."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\b\w+\b")
    supervised = [step for row in train for step, t in zip(row.steps, row.targets, strict=True) if t is not None]
    has_words = any(re.search(r"\w", step) for step in supervised)
    if has_words:
        vectorizer.fit(supervised)

    def features(rows: Sequence[LabelledSteps]) -> Any:  # noqa: ANN401 - a scipy sparse matrix
        steps = [step for row in rows for step in row.steps]
        return vectorizer.transform(steps) if has_words else np.zeros((len(steps), 1))

    return _regression(train, held_out, features)


def last_rated(held_out: Sequence[LabelledSteps]) -> tuple[tuple[float, ...], ...]:
    """0 for the last rated step of a row, else 1. Not causal: where labelling stopped is known only afterwards."""
    scores = []
    for row in held_out:
        last = max((place for place, target in enumerate(row.targets) if target is not None), default=-1)
        scores.append(tuple(float(place != last) for place in range(len(row.steps))))
    return tuple(scores)


def _regression(
    train: Sequence[LabelledSteps],
    held_out: Sequence[LabelledSteps],
    features: Callable[[Sequence[LabelledSteps]], Any],
) -> tuple[tuple[float, ...], ...]:
    """Fit on the supervised steps of `train`, score every step of `held_out`; one class only gives its share.

    A soft target t enters twice: as a correct step of weight t and as a wrong one of weight 1 - t.
    """
    from sklearn.linear_model import LogisticRegression

    targets = np.array([np.nan if t is None else t for row in train for t in row.targets], dtype=np.float64)
    rated = np.flatnonzero(~np.isnan(targets))
    steps = sum(len(row.steps) for row in held_out)
    weights = np.concatenate([targets[rated], 1 - targets[rated]])
    used = weights > 0
    classes = np.repeat([1, 0], rated.size)[used]
    if np.unique(classes).size < 2:
        flat = np.full(steps, classes[0] if classes.size else 0.5, dtype=np.float64)
    elif steps == 0:
        flat = np.empty(0)
    else:
        known = features(train)[np.tile(rated, 2)[used]]
        regression = LogisticRegression(max_iter=2000).fit(known, classes, sample_weight=weights[used])
        flat = regression.predict_proba(features(held_out))[:, 1]
    return _by_row(flat, held_out)


def _by_row(flat: Floats, rows: Sequence[LabelledSteps]) -> tuple[tuple[float, ...], ...]:
    ends = np.cumsum([len(row.steps) for row in rows])
    return tuple(tuple(part.tolist()) for part in np.split(flat, ends[:-1])) if len(rows) else ()
