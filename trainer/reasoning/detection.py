"""Figures of a monitor: AUROC, average precision, TPR at a false-positive rate, g-mean2, with intervals. numpy only.

Truth is 1 for what is there, 0 for benign. Scores that are NaN are left out and counted. A figure at 1 % false
positives is refused below 300 benign traces: so few cannot tell 1 % from 3 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.reasoning.metrics import Interval, ReliabilityBin, auc, average_precision, bootstrap, ece, reliability
from trainer.reasoning.safety import LEAST_BENIGN

Floats = NDArray[np.float64]
Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """A share of n with its 95 % Wilson interval (Wilson 1927); NaN of nothing."""

    hits: int
    number: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.number if self.number else math.nan


@dataclass(frozen=True, slots=True)
class AtRate:
    """The true-positive rate at the lowest threshold that at most `rate` of the benign reach; or why there is none."""

    rate: float
    threshold: float
    tpr: Share | None
    fpr: Share | None
    refused: str = ""

    def describe(self) -> str:
        """The figure with its interval, or why there is none."""
        if self.tpr is None:
            return self.refused
        return f"{self.tpr.value:.3f} ({self.tpr.low:.3f}-{self.tpr.high:.3f})"


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts at one threshold."""

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int

    @property
    def precision(self) -> float:
        """Of what was flagged, how much is there."""
        flagged = self.true_positive + self.false_positive
        return self.true_positive / flagged if flagged else math.nan

    @property
    def recall(self) -> float:
        """Of what is there, how much was flagged."""
        there = self.true_positive + self.false_negative
        return self.true_positive / there if there else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / both if both else math.nan

    @property
    def g_mean2(self) -> float:
        """TPR x TNR: does not move with the share of positives."""
        benign = self.true_negative + self.false_positive
        return self.recall * self.true_negative / benign if benign else math.nan


@dataclass(frozen=True, slots=True)
class DetectionFigures:
    """All figures of one monitor and category on one set of traces; `left_out` had no score."""

    auroc: Interval
    average_precision: float
    at_1: AtRate
    at_5: AtRate
    ece: float
    bins: tuple[ReliabilityBin, ...]
    positives: int
    negatives: int
    left_out: int


def figures_of(
    scores: ArrayLike,
    truth: ArrayLike,
    groups: Sequence[str] | None = None,
    *,
    calibrated: bool = True,
    rounds: int = 1000,
    seed: int = 0,
) -> DetectionFigures:
    """Every figure of scores [n] against truth [n]; the interval of AUROC draws whole groups (problems).

    `calibrated`: scores lie in [0, 1] and are meant as probabilities; else they have no ECE and no reliability.
    """
    s, t = np.asarray(scores, np.float64), np.asarray(truth, np.float64)
    known = ~np.isnan(s)
    names = np.arange(len(s)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    s, t, names = s[known], t[known], names[known]
    return DetectionFigures(
        auroc=bootstrap(names, lambda weights: auc(s, t, weights), rounds=rounds, seed=seed),
        average_precision=average_precision(s, t),
        at_1=at_rate(s, t, 0.01),
        at_5=at_rate(s, t, 0.05),
        ece=ece(s, t) if len(s) and calibrated else math.nan,
        bins=reliability(s, t) if len(s) and calibrated else (),
        positives=int(t.sum()),
        negatives=int((1 - t).sum()),
        left_out=int((~known).sum()),
    )


def at_rate(scores: ArrayLike, truth: ArrayLike, rate: float) -> AtRate:
    """TPR where at most `rate` of the benign score as high; refused where the benign are too few to tell.

    The threshold is the lowest score for which that holds: the point of scikit-learn's ROC curve with the highest TPR
    among those with FPR <= rate.
    """
    s, t = np.asarray(scores, np.float64), np.asarray(truth, np.float64)
    positive, benign = s[t == 1], s[t == 0]
    if not len(positive) or not len(benign):
        return AtRate(rate, math.nan, None, None, "no positives" if not len(positive) else "no negatives")
    least = LEAST_BENIGN if rate < 0.05 else math.ceil(1 / rate)
    if len(benign) < least:
        return AtRate(rate, math.nan, None, None, f"{len(benign)} negatives; {rate:.0%} needs {least}")
    threshold = _threshold(s, benign, rate)
    hits, false = int((positive >= threshold).sum()), int((benign >= threshold).sum())
    return AtRate(rate, threshold, wilson(hits, len(positive)), wilson(false, len(benign)))


def _threshold(scores: Floats, benign: Floats, rate: float) -> float:
    candidates = np.unique(scores)
    false = len(benign) - np.searchsorted(np.sort(benign), candidates, side="left")
    fine = np.flatnonzero(false <= rate * len(benign))
    return float(candidates[fine[0]]) if len(fine) else math.inf


def confusion(scores: ArrayLike, truth: ArrayLike, threshold: float) -> Confusion:
    """Counts where a score at the threshold is flagged."""
    s, t = np.asarray(scores, np.float64), np.asarray(truth, np.float64) == 1
    flagged = s >= threshold
    pairs = (flagged & t, flagged & ~t, ~flagged & ~t, ~flagged & t)
    return Confusion(*(int(pair.sum()) for pair in pairs))


def wilson(hits: int, number: int) -> Share:
    """A share with its 95 % score interval."""
    if not number:
        return Share(hits, number, math.nan, math.nan)
    p, z2 = hits / number, Z_95**2
    centre = (p + z2 / (2 * number)) / (1 + z2 / number)
    half = Z_95 / (1 + z2 / number) * math.sqrt(p * (1 - p) / number + z2 / (4 * number**2))
    return Share(hits, number, max(0.0, centre - half), min(1.0, centre + half))
