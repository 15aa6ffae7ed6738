"""How hard a problem is before anybody has tried it: TF-IDF and three counts, logistic regression, calibrated.

Two heads in the manner of Frank & Hall 2001: P(at least medium) and P(hard), each fitted on its own and calibrated by
problems that its model had not seen (isotonic, or Platt's sigmoid for few). Difficulty is their mean, in [0, 1].
Learning needs scikit-learn; judging needs numpy alone, and a model is one JSON document.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.models.monitor_curves import fit_curve
from trainer.models.monitor_learn import fold_of
from trainer.reasoning.metrics import auc, ece
from trainer.reasoning.word_scores import Curve, character_features, tf_idf, word_features

Floats = NDArray[np.float64]
LEAST = 5  # problems on each side without which a head is not learned
FOLDS = 5
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_COMMAND = re.compile(r"\\[A-Za-z]+")


class TooFewError(ValueError):
    """Too few problems to learn from; the message says what is missing."""


class Level(StrEnum):
    """How hard a problem is: the fast model has it right; only the reasoning model has; neither has."""

    SIMPLE = "simple"
    MEDIUM = "medium"
    HARD = "hard"

    @property
    def place(self) -> int:
        """0, 1 or 2."""
        return list(Level).index(self)


def level_of(difficulty: float) -> Level:
    """The level by thirds of a difficulty in [0, 1]."""
    return list(Level)[min(2, int(3 * difficulty))]


@dataclass(frozen=True, slots=True)
class Example:
    """A problem with its level. `group` keeps what is alike (the same problem asked twice) on one side of a fold."""

    problem: str
    level: Level
    group: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is thought of a problem: difficulty in [0, 1], P(simple), P(hard)."""

    difficulty: float
    simple: float
    hard: float

    @property
    def level(self) -> Level:
        """The level by thirds of the difficulty."""
        return level_of(self.difficulty)


class Head(msgspec.Struct, frozen=True):
    """Weights of the features and then of the three counts, and the curve from log-odds to a probability."""

    weights: tuple[float, ...]
    bias: float
    curve: Curve


class DifficultyModel(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned. `beyond` is the share of hard ones among those at least medium, for a missing second head."""

    words: tuple[str, ...]
    characters: tuple[str, ...]
    rarity: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    medium: Head
    hard: Head | None
    beyond: float
    problems: int
    figures: dict[str, float]


class Difficulty:
    """Judges problems by a learned model; to be called with a problem for its difficulty alone."""

    def __init__(self, model: DifficultyModel) -> None:
        """Raises ValueError where the sizes disagree."""
        self.model = model
        size = len(model.words) + len(model.characters)
        heads = [head for head in (model.medium, model.hard) if head is not None]
        if len(model.rarity) != size or any(len(head.weights) != size + 3 for head in heads):
            raise ValueError(f"{size} features, but weights or rarity of another number; learn it again")
        self._words = {feature: place for place, feature in enumerate(model.words)}
        self._characters = {feature: len(model.words) + place for place, feature in enumerate(model.characters)}
        self._rarity, self._size = np.array(model.rarity), size
        self._means, self._scales = np.array(model.means), np.array(model.scales)
        self._weights = [np.array(head.weights) for head in heads]

    def judge(self, problem: str) -> Judged:
        """P(simple), P(hard) and the difficulty of a problem."""
        places, values = tf_idf(problem, self._words, self._characters, self._rarity)
        counts = (counts_of(problem) - self._means) / self._scales
        raw = [w[places] @ values + w[self._size :] @ counts for w in self._weights]
        medium = float(self.model.medium.curve(raw[0] + self.model.medium.bias))
        if self.model.hard is None:
            hard = self.model.beyond * medium
        else:
            hard = min(medium, float(self.model.hard.curve(raw[1] + self.model.hard.bias)))
        return Judged((medium + hard) / 2, 1 - medium, hard)

    def __call__(self, problem: str) -> float:
        """The difficulty alone."""
        return self.judge(problem).difficulty


@dataclass(frozen=True, slots=True)
class Learned:
    """A model, and what models that had not seen a problem gave it [n, 2]: P(at least medium), P(hard)."""

    model: DifficultyModel
    held_out: Floats


def counts_of(problem: str) -> Floats:
    """ln(1 + n) of words, numbers and LaTeX commands [3]: what TF-IDF, scaled to length 1, forgets."""
    found = (len(problem.split()), len(_NUMBER.findall(problem)), len(_COMMAND.findall(problem)))
    return np.log1p(np.array(found, np.float64))


def learn(examples: Sequence[Example], *, features: int = 8000, strength: float = 4.0, seed: int = 0) -> Learned:
    """Learn both heads. `strength` is C of logistic regression. Raises TooFewError."""
    levels = np.array([example.level.place for example in examples], np.int64)
    if min(int((levels >= 1).sum()), int((levels < 1).sum())) < LEAST:
        raise TooFewError(
            f"the difficulty of problems is learned from at least {LEAST} that the fast model has right and {LEAST} "
            f"that it has wrong; there are {int((levels < 1).sum())} and {int((levels >= 1).sum())}"
        )
    fitted = _Fitted([example.problem for example in examples], features, strength, seed)
    folds = fold_of([example.group or example.problem for example in examples], FOLDS)
    medium, first = _head(fitted, (levels >= 1).astype(np.int64), folds)
    hard, second = None, first * (beyond := float((levels == 2).sum() / (levels >= 1).sum()))
    if min(int((levels == 2).sum()), int((levels == 1).sum())) >= LEAST:
        hard, second = _head(fitted, (levels == 2).astype(np.int64), folds)
    held_out = np.stack([first, np.minimum(first, second)], 1)
    model = DifficultyModel(
        words=fitted.words,
        characters=fitted.characters,
        rarity=_short(fitted.rarity),
        means=_short(fitted.means),
        scales=_short(fitted.scales),
        medium=medium,
        hard=hard,
        beyond=beyond,
        problems=len(examples),
        figures=_figures(held_out, levels),
    )
    return Learned(model, held_out)


class _Fitted:
    """The features of all problems, and fits of logistic regression on some of them."""

    def __init__(self, problems: Sequence[str], features: int, strength: float, seed: int) -> None:
        from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

        words = _commonest([word_features(problem) for problem in problems], features // 2)
        characters = _commonest([character_features(problem) for problem in problems], features // 2)
        self.words, self.characters = tuple(words), tuple(characters)
        documents = np.array([*words.values(), *characters.values()], np.float64)
        self.rarity = np.log((1 + len(problems)) / (1 + documents)) + 1
        counts = np.stack([counts_of(problem) for problem in problems])
        self.means, self.scales = counts.mean(0), np.maximum(counts.std(0), 1e-3)
        places_of = {feature: place for place, feature in enumerate(words)}
        others = {feature: len(words) + place for place, feature in enumerate(characters)}
        columns, values, ends, size = [], [], [0], len(self.rarity)
        for problem, row in zip(problems, (counts - self.means) / self.scales, strict=True):
            places, weighed = tf_idf(problem, places_of, others, self.rarity)
            columns += [places, size + np.arange(len(row))]
            values += [weighed, row]
            ends.append(ends[-1] + len(places) + len(row))
        shape = (len(problems), size + counts.shape[1])
        self._matrix = csr_matrix((np.concatenate(values), np.concatenate(columns), ends), shape=shape)
        self._strength, self._seed = strength, seed

    def fit(self, rows: NDArray[np.int64], truth: NDArray[np.int64]) -> tuple[Floats, float]:
        """Weights and bias that part the rows."""
        from sklearn.linear_model import LogisticRegression

        line = LogisticRegression(C=self._strength, solver="liblinear", random_state=self._seed)
        line.fit(self._matrix[rows], truth[rows])
        return np.asarray(line.coef_[0], np.float64), float(line.intercept_[0])

    def raw(self, weights: Floats, bias: float, rows: NDArray[np.int64]) -> Floats:
        """Log-odds [rows]."""
        return np.asarray(self._matrix[rows] @ weights, np.float64) + bias


def _head(fitted: _Fitted, truth: NDArray[np.int64], folds: NDArray[np.int64]) -> tuple[Head, Floats]:
    """A head on all problems, its curve from log-odds of models that had not seen them; and those, calibrated [n]."""
    raw = np.full(len(truth), np.nan)
    for fold in np.unique(folds):
        others, mine = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(np.unique(truth[others])) == 2:
            raw[mine] = fitted.raw(*fitted.fit(others, truth), mine)
    known = ~np.isnan(raw)
    if not known.any() or len(np.unique(truth[known])) < 2:
        raise TooFewError("the problems are too alike to be parted; learn from more of them")
    weights, bias = fitted.fit(np.arange(len(truth)), truth)
    curve = fit_curve(raw[known], truth[known])
    return Head(_short(weights), bias, curve), crossed(raw, truth, folds)


def _commonest(of: Sequence[Iterator[str]], most: int) -> dict[str, int]:
    """The features of most documents, in alphabetical order, and of how many."""
    documents = Counter(feature for found in of for feature in set(found))
    kept = sorted(documents.items(), key=lambda item: (-item[1], item[0]))[:most]
    return dict(sorted(kept))


def crossed(raw: Floats, truth: NDArray[np.int64], folds: NDArray[np.int64]) -> Floats:
    """Probabilities of raw scores by curves that came of the other folds; the base rate where they have one side."""
    out = np.full(len(raw), float(truth.mean()))
    for fold in np.unique(folds):
        others, mine = (folds != fold) & ~np.isnan(raw), (folds == fold) & ~np.isnan(raw)
        if len(np.unique(truth[others])) == 2:
            out[mine] = fit_curve(raw[others], truth[others])(raw[mine])
    return out


def _figures(held_out: Floats, levels: NDArray[np.int64]) -> dict[str, float]:
    """AUROC and ECE of both heads on problems that their models had not seen."""
    out: dict[str, float] = {}
    for name, column, truth in (("medium", 0, levels >= 1), ("hard", 1, levels == 2)):
        if 0 < truth.sum() < len(truth):
            out[f"{name}_auroc"] = auc(held_out[:, column], truth)
        out[f"{name}_ece"] = ece(held_out[:, column], truth)
    return out


def _short(values: Floats) -> tuple[float, ...]:
    """Six digits are more than the weights are worth, and make a small file."""
    return tuple(float(f"{value:.6g}") for value in values)
