"""The one source of every figure: AUC, calibration, first-error figures, intervals. numpy only.

Scores are P(step is correct). Targets lie in [0, 1]: 1 = correct, 0 = wrong; a soft target t counts as t of a correct
step and 1 - t of a wrong one. Weights default to 1. A figure that does not exist (one class only, no rows) is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Figure = Callable[[Floats, Floats, Floats], float]
"""A figure of (scores, targets, weights), each [n]."""

NO_ERROR = -1


class Binning(StrEnum):
    """How reliability bins are cut."""

    EQUAL_WIDTH = "equal width"
    EQUAL_MASS = "equal mass"


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bar of a reliability diagram; `weight` is the sum of weights in it."""

    low: float
    high: float
    weight: float
    mean_score: float
    mean_target: float


@dataclass(frozen=True, slots=True)
class FirstErrorFigures:
    """ProcessBench's figures: exact first-error index on wrong rows, none on right rows, their harmonic mean."""

    accuracy: float
    on_wrong: float
    on_right: float
    f1: float
    n_wrong: int
    n_right: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its bootstrap percentile interval; `rounds` are those in which the figure existed."""

    value: float
    low: float
    high: float
    rounds: int
    groups: int

    @property
    def holds_zero(self) -> bool:
        """Whether 0 lies in the interval (or no interval exists)."""
        return not (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class StepFigures:
    """Every figure of one scorer on one set of rows."""

    auc: float
    accuracy: float
    first_error_accuracy: float
    first_error_f1: float
    ece: float
    brier: float
    n_steps: int
    n_rows: int


def auc(scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve: P(a correct step scores over a wrong one), ties count half."""
    s, t, w = _arrays(scores, targets, weights)
    _, place = np.unique(s, return_inverse=True)
    size = int(place.max()) + 1 if place.size else 0
    right = np.bincount(place, w * t, size)
    wrong = np.bincount(place, w * (1 - t), size)
    pairs = right.sum() * wrong.sum()
    if pairs <= 0:
        return math.nan
    below = np.concatenate(([0.0], np.cumsum(wrong)[:-1]))
    return float(np.sum(right * (below + 0.5 * wrong)) / pairs)


def average_precision(scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Sum over thresholds of (recall gained) x precision, equal scores taken together; no interpolation."""
    s, t, w = _arrays(scores, targets, weights)
    _, place = np.unique(-s, return_inverse=True)
    size = int(place.max()) + 1 if place.size else 0
    right = np.bincount(place, w * t, size)
    taken = np.cumsum(np.bincount(place, w, size))
    if right.sum() <= 0:
        return math.nan
    precision = np.divide(np.cumsum(right), taken, out=np.zeros_like(taken), where=taken > 0)
    return float(np.sum(right * precision) / right.sum())


def accuracy(
    scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None, *, threshold: float = 0.5
) -> float:
    """Share of weight on the right side of the threshold; a score at the threshold says correct."""
    s, t, w = _arrays(scores, targets, weights)
    return _mean(np.where(s >= threshold, t, 1 - t), w)


def brier(scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean squared distance of score and outcome (a soft target is a mixture of two outcomes)."""
    s, t, w = _arrays(scores, targets, weights)
    return _mean(t * (1 - s) ** 2 + (1 - t) * s**2, w)


def reliability(
    scores: ArrayLike,
    targets: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: int = 10,
    binning: Binning = Binning.EQUAL_WIDTH,
) -> tuple[ReliabilityBin, ...]:
    """The filled bins of a reliability diagram, in order; equal scores always share a bin."""
    s, t, w = _arrays(scores, targets, weights)
    if not s.size or w.sum() <= 0:
        return ()
    place = _width_bins(s, bins) if binning is Binning.EQUAL_WIDTH else _mass_bins(s, w, bins)
    result = []
    for index in np.unique(place[w > 0]):
        inside = place == index
        if binning is Binning.EQUAL_WIDTH:
            low, high = index / bins, (index + 1) / bins
        else:
            low, high = s[inside].min(), s[inside].max()
        mass = w[inside].sum()
        bar = ReliabilityBin(
            low=float(low),
            high=float(high),
            weight=float(mass),
            mean_score=float((w[inside] * s[inside]).sum() / mass),
            mean_target=float((w[inside] * t[inside]).sum() / mass),
        )
        result.append(bar)
    return tuple(result)


def ece(
    scores: ArrayLike,
    targets: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: int = 10,
    binning: Binning = Binning.EQUAL_WIDTH,
) -> float:
    """Expected calibration error: mean over bins, by weight, of |mean score - share correct| (Naeini 2015)."""
    bars = reliability(scores, targets, weights, bins=bins, binning=binning)
    total = sum(bar.weight for bar in bars)
    if total <= 0:
        return math.nan
    return sum(bar.weight * abs(bar.mean_score - bar.mean_target) for bar in bars) / total


def first_error(values: Sequence[float | None], *, threshold: float = 0.5) -> int:
    """Index of the first value under the threshold, NO_ERROR (-1) when there is none; None is passed over."""
    for index, value in enumerate(values):
        if value is not None and value < threshold:
            return index
    return NO_ERROR


def first_error_figures(predicted: ArrayLike, actual: ArrayLike) -> FirstErrorFigures:
    """Figures of predicted first-error indices against the actual ones, each [rows], NO_ERROR = none.

    F1 is the harmonic mean of the accuracies on wrong and on right rows (ProcessBench, Zheng 2024); it is NaN when one
    of the two kinds is missing.
    """
    p, a = np.asarray(predicted, dtype=np.int64), np.asarray(actual, dtype=np.int64)
    if p.shape != a.shape:
        raise ValueError(f"{p.shape} predictions for {a.shape} rows")
    hit, wrong = p == a, a != NO_ERROR
    on_wrong = float(hit[wrong].mean()) if wrong.any() else math.nan
    on_right = float(hit[~wrong].mean()) if (~wrong).any() else math.nan
    both = on_wrong + on_right
    return FirstErrorFigures(
        accuracy=float(hit.mean()) if hit.size else math.nan,
        on_wrong=on_wrong,
        on_right=on_right,
        f1=2 * on_wrong * on_right / both if both != 0 else 0.0,
        n_wrong=int(wrong.sum()),
        n_right=int((~wrong).sum()),
    )


def step_figures(
    scores: Sequence[Sequence[float | None]],
    targets: Sequence[Sequence[float | None]],
    *,
    threshold: float = 0.5,
) -> StepFigures:
    """All figures of one scorer over rows of steps; a step counts where it has both a score and a target.

    A row's first error is its first such step with a target under 0.5; a row without such a step counts nowhere.
    """
    flat_scores: list[float] = []
    flat_targets: list[float] = []
    predicted: list[int] = []
    actual: list[int] = []
    for row, (s, t) in enumerate(zip(scores, targets, strict=True)):
        if len(s) != len(t):
            raise ValueError(f"row {row}: {len(s)} scores for {len(t)} steps")
        pairs = [(x, y) for x, y in zip(s, t, strict=True) if x is not None and y is not None]
        if not pairs:
            continue
        flat_scores += [x for x, _ in pairs]
        flat_targets += [y for _, y in pairs]
        predicted.append(first_error([x for x, _ in pairs], threshold=threshold))
        actual.append(first_error([y for _, y in pairs]))
    errors = first_error_figures(predicted, actual)
    return StepFigures(
        auc=auc(flat_scores, flat_targets),
        accuracy=accuracy(flat_scores, flat_targets, threshold=threshold),
        first_error_accuracy=errors.accuracy,
        first_error_f1=errors.f1,
        ece=ece(flat_scores, flat_targets),
        brier=brier(flat_scores, flat_targets),
        n_steps=len(flat_scores),
        n_rows=len(predicted),
    )


def bootstrap(
    groups: ArrayLike,
    figure: Callable[[Floats], float],
    *,
    rounds: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of figure(weights [n]) when whole groups (problems) are drawn with replacement.

    A row's weight in a round is how often its group was drawn. Rounds without a figure (NaN) are left out and show as
    fewer `rounds` in the result.
    """
    _, place = np.unique(np.asarray(groups), return_inverse=True)
    count = int(place.max()) + 1 if place.size else 0
    value = figure(np.ones(place.shape, dtype=np.float64))
    if count == 0:
        return Interval(value, math.nan, math.nan, 0, 0)
    generator = np.random.default_rng(seed)
    drawn = np.array(
        [figure(_drawn_weights(generator, place, count)) for _ in range(rounds)],
        dtype=np.float64,
    )
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return Interval(value, math.nan, math.nan, 0, count)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(value), float(low), float(high), int(drawn.size), count)


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    targets: ArrayLike,
    groups: ArrayLike,
    *,
    figure: Figure = auc,
    rounds: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of figure(first) - figure(second): both scorers see the same drawn groups in every round."""
    a, t, _ = _arrays(first, targets, None)
    b, _, _ = _arrays(second, targets, None)

    def difference(weights: Floats) -> float:
        return figure(a, t, weights) - figure(b, t, weights)

    return bootstrap(groups, difference, rounds=rounds, level=level, seed=seed)


def _arrays(scores: ArrayLike, targets: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    s, t = np.asarray(scores, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    w = np.ones_like(s) if weights is None else np.asarray(weights, dtype=np.float64)
    if not (s.ndim == 1 and s.shape == t.shape == w.shape):
        raise ValueError(f"scores {s.shape}, targets {t.shape} and weights {w.shape} must be equally long lists")
    if not np.isfinite(s).all():
        raise ValueError(f"{int((~np.isfinite(s)).sum())} of {s.size} scores are not finite numbers")
    if ((t < 0) | (t > 1) | np.isnan(t)).any() or (w < 0).any() or not np.isfinite(w).all():
        raise ValueError("targets must lie in [0, 1] and weights must be finite and not negative")
    return s, t, w


def _drawn_weights(generator: np.random.Generator, place: Integers, count: int) -> Floats:
    """Weights [n]: how often each row's group comes up in `count` draws."""
    times = np.bincount(generator.integers(0, count, count), minlength=count)
    return times[place].astype(np.float64)


def _mean(values: Floats, weights: Floats) -> float:
    total = weights.sum()
    return float((values * weights).sum() / total) if total > 0 else math.nan


def _width_bins(scores: Floats, bins: int) -> Integers:
    """Bin [n] of each score: [0, 1/bins), ... and 1 in the last."""
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(f"scores from {scores.min():g} to {scores.max():g} are no probabilities")
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges, scores, side="right").astype(np.int64)


def _mass_bins(scores: Floats, weights: Floats, bins: int) -> Integers:
    """Bin [n] of each score by the share of weight under it; equal scores share a bin."""
    _, place = np.unique(scores, return_inverse=True)
    mass = np.bincount(place, weights)
    below = np.cumsum(mass) - mass
    centre = (below + mass / 2) / mass.sum()
    bin_of: Integers = np.minimum((centre * bins).astype(np.int64), bins - 1)
    return bin_of[place].astype(np.int64)
