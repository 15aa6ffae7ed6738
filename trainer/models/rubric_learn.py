"""A rubric's own classifier: words and runs of characters of its examples and confirmed hits, logistic regression.

Counter-examples and rejected hits are its negatives, beside steps drawn from the traces that are taken as not it: that
is an assumption, so its probabilities are those among the examples, not shares of real traces. Figures come of parts
that a model had not seen, split by problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.contract.rubrics import RubricExample
from trainer.models.monitor_curves import fit_curve
from trainer.models.monitor_learn import LEAST
from trainer.reasoning.metrics import auc
from trainer.reasoning.word_scores import CHARACTER_SIZES, WORD_SIZES, Curve

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LEAST_POSITIVE, LEAST_NEGATIVE = 3, 3
FOLDS = 5


class TooFewError(ValueError):
    """Too few examples to learn from; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a training."""

    features: int = 60_000
    strength: float = 4.0
    seed: int = 0


class RubricClassifier:
    """Learned of examples; `auroc` is None where too few are known to measure it, `calibrated` whether scores are."""

    def __init__(self, examples: Sequence[RubricExample], background: Sequence[str], options: Options) -> None:
        """Learn. Raises TooFewError."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._options = options
        texts, truth, groups = _gathered(examples, background)
        self.positives, self.negatives = int(truth.sum()), int((1 - truth).sum())
        if self.positives < LEAST_POSITIVE or self.negatives < LEAST_NEGATIVE:
            raise TooFewError(
                f"{self.positives} examples and {self.negatives} counter-examples or drawn steps are too few to learn "
                f"from: write or confirm at least {LEAST_POSITIVE} of each"
            )
        common: dict[str, Any] = {
            "sublinear_tf": True,
            "max_features": options.features // 2,
            "dtype": np.float64,
            "min_df": 1,
        }
        self._words = TfidfVectorizer(ngram_range=WORD_SIZES, **common).fit(texts)
        self._characters = TfidfVectorizer(analyzer="char_wb", ngram_range=CHARACTER_SIZES, **common).fit(texts)
        matrix = self._matrix(texts)
        self._line = self._fit(matrix, truth)
        raw = self._held_out(matrix, truth, folds_of(truth, groups))
        known = ~np.isnan(raw)
        sides = np.bincount(truth[known], minlength=2)
        self.calibrated = bool(sides.min() >= LEAST)
        self.auroc = auc(raw[known], truth[known]) if self.calibrated else None
        self._curve = fit_curve(raw[known], truth[known]) if self.calibrated else Curve()

    def scores(self, texts: Sequence[str]) -> Floats:
        """Probabilities [texts]."""
        if not texts:
            return np.zeros(0)
        return self._curve(self._line.decision_function(self._matrix(texts)))

    def _matrix(self, texts: Sequence[str]) -> Any:  # noqa: ANN401 - scipy's matrices
        from scipy.sparse import hstack  # type: ignore[import-untyped]

        return hstack([self._words.transform(texts), self._characters.transform(texts)], format="csr")

    def _fit(self, matrix: Any, truth: Ints) -> Any:  # noqa: ANN401 - scipy and scikit-learn
        from sklearn.linear_model import LogisticRegression

        line = LogisticRegression(
            C=self._options.strength, class_weight="balanced", solver="liblinear", random_state=self._options.seed
        )
        return line.fit(matrix, truth)

    def _held_out(self, matrix: Any, truth: Ints, folds: Ints) -> Floats:  # noqa: ANN401
        """Log-odds [n] of models that had not seen the part; NaN where the others are all on one side."""
        raw = np.full(len(truth), np.nan)
        for fold in np.unique(folds):
            others = folds != fold
            if len(np.unique(truth[others])) == 2:
                raw[~others] = self._fit(matrix[others], truth[others]).decision_function(matrix[~others])
        return raw


def folds_of(truth: Ints, groups: Sequence[str]) -> Ints:
    """Parts [n] that keep a group together and have examples of both sides as evenly as groups allow."""
    out = np.zeros(len(truth), np.int64)
    part: dict[str, int] = {}
    for side in (1, 0):
        mine = sorted({group for group, said in zip(groups, truth, strict=True) if said == side} - part.keys())
        part |= {group: k % FOLDS for k, group in enumerate(mine)}
    for place, group in enumerate(groups):
        out[place] = part[group]
    return out


def _gathered(examples: Sequence[RubricExample], background: Sequence[str]) -> tuple[list[str], Ints, list[str]]:
    """Different texts with their side and group; what people said comes before what was drawn."""
    found: dict[str, tuple[int, str]] = {}
    for number, example in enumerate(examples):
        found.setdefault(example.text, (int(example.positive), example.group or f"example {number}"))
    for number, text in enumerate(background):
        found.setdefault(text, (0, f"drawn {number}"))
    sides = np.array([side for side, _ in found.values()], np.int64)
    return list(found), sides, [group for _, group in found.values()]
