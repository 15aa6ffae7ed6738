"""Calibration on held-out rows: a temperature for the logits, a tuned threshold, figures before and after. numpy only.

Temperature scaling (Guo 2017): probabilities become softmax(log p / T). T minimises the cross-entropy, which is convex
in 1/T, so that its derivative has one zero; it is found by bisection. The order of scores does not change (2 classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.reasoning.metrics import (
    NO_ERROR,
    FirstErrorFigures,
    ReliabilityBin,
    brier,
    ece,
    first_error_figures,
    reliability,
)

Floats = NDArray[np.float64]
COLDEST, HOTTEST = 0.05, 20.0  # temperatures beyond say that the rows are too few or all on one side
LEAST_LABELS = 30  # fewer say nothing of a temperature, and would only be learned by heart
TINIEST = 1e-30  # stands for a probability of 0, whose logarithm is none


@dataclass(frozen=True, slots=True)
class Threshold:
    """The threshold with the best F1 of first errors (ProcessBench's), and the figures it gives."""

    value: float
    figures: FirstErrorFigures


@dataclass(frozen=True, slots=True)
class Quality:
    """How well P(correct) fits what happened."""

    ece: float
    brier: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found on `labels` steps of held-out problems."""

    temperature: float
    threshold: float
    labels: int
    before: Quality
    after: Quality

    def as_dict(self) -> dict[str, object]:
        """Plain values for a model's config."""
        return {
            "labels": self.labels,
            **{f"ece_{when}": quality.ece for when, quality in self._both()},
            **{f"brier_{when}": quality.brier for when, quality in self._both()},
            **{
                f"reliability_{when}": [[b.low, b.high, b.weight, b.mean_score, b.mean_target] for b in quality.bins]
                for when, quality in self._both()
            },
        }

    def _both(self) -> tuple[tuple[str, Quality], ...]:
        return ("before", self.before), ("after", self.after)


def temper(probabilities: ArrayLike, temperature: float) -> Floats:
    """Class probabilities [n, classes] at another temperature: softmax(log p / T)."""
    given = np.asarray(probabilities, dtype=np.float64)
    if temperature == 1.0 or not given.size:
        return given
    logs = np.log(np.clip(given, TINIEST, None)) / temperature
    grown = np.exp(logs - logs.max(-1, keepdims=True))
    scaled: Floats = grown / grown.sum(-1, keepdims=True)
    return scaled


def fit_temperature(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """The temperature of least cross-entropy of probabilities [n, classes] against targets [n, classes].

    1.0 where nothing can be learned: no rows, or every target on one side, which any sharpening would please.
    """
    p, t = np.asarray(probabilities, np.float64), np.asarray(targets, np.float64)
    if p.shape != t.shape:
        raise ValueError(f"probabilities {p.shape} for targets {t.shape}")
    if not p.size or np.count_nonzero(t.sum(0) > 0) < 2:
        return 1.0
    logs = np.log(np.clip(p, TINIEST, None))

    def slope(sharpness: float) -> float:
        """Derivative of the summed cross-entropy of softmax(sharpness * logs); rises with sharpness."""
        return float(((temper(p, 1 / sharpness) - t) * logs).sum())

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(1 / (low * high) ** 0.5)


def tune_threshold(
    scores: Sequence[Sequence[float | None]], targets: Sequence[Sequence[float | None]]
) -> Threshold | None:
    """The threshold under which a step is called wrong, by F1 of first errors; the one nearest 0.5 of equals.

    Steps without score or target are passed over. None when right rows or wrong rows are missing. Exact: a row is hit
    where the threshold lies in one interval (above its first error's score, at most the least score before it), so
    all thresholds between two neighbouring scores are alike, and every such gap is tried.
    """
    lows, highs, wrong = [], [], []
    for row_scores, row_targets in zip(scores, targets, strict=True):
        pairs = [(s, t) for s, t in zip(row_scores, row_targets, strict=True) if s is not None and t is not None]
        if not pairs:
            continue
        at = next((i for i, (_, t) in enumerate(pairs) if t < 0.5), NO_ERROR)
        before = [s for s, _ in (pairs if at == NO_ERROR else pairs[:at])]
        lows.append(pairs[at][0] if at != NO_ERROR else -1.0)
        highs.append(min(before, default=2.0))
        wrong.append(at != NO_ERROR)
    is_wrong = np.asarray(wrong, np.bool_)
    if not is_wrong.any() or is_wrong.all():
        return None
    return _best_gap(np.asarray(lows), np.asarray(highs), is_wrong)


def calibrate(
    probabilities: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
) -> Calibration:
    """Temperature and threshold of rows: class probabilities and targets [steps, classes] each, NaN = no label.

    With fewer than LEAST_LABELS they stay 1 and 0.5.
    """
    known = [~np.isnan(np.asarray(t, np.float64)[:, 0]) for t in targets]
    p = _stacked([np.asarray(x, np.float64)[k] for x, k in zip(probabilities, known, strict=True)])
    t = _stacked([np.asarray(x, np.float64)[k] for x, k in zip(targets, known, strict=True)])
    enough = len(t) >= LEAST_LABELS
    temperature = fit_temperature(p, t) if enough else 1.0
    scores = [_listed(1.0 - temper(x, temperature)[:, 0]) for x in probabilities]
    wanted = [_listed(1.0 - np.asarray(x, np.float64)[:, 0]) for x in targets]
    tuned = tune_threshold(scores, wanted) if enough else None
    return Calibration(
        temperature=temperature,
        threshold=tuned.value if tuned else 0.5,
        labels=len(t),
        before=quality(1.0 - p[:, 0], 1.0 - t[:, 0]),
        after=quality(1.0 - temper(p, temperature)[:, 0], 1.0 - t[:, 0]),
    )


def quality(scores: ArrayLike, targets: ArrayLike) -> Quality:
    """ECE, Brier and reliability of P(correct) [n] against targets [n]."""
    return Quality(ece(scores, targets), brier(scores, targets), reliability(scores, targets))


def _best_gap(lows: Floats, highs: Floats, wrong: NDArray[np.bool_]) -> Threshold:
    """Try the middle of every gap between neighbouring ends of the rows' intervals (low, high]."""
    edges = np.unique(np.clip(np.concatenate([lows, highs, [0.0, 1.0]]), 0.0, 1.0))
    tried = np.unique(np.append((edges[1:] + edges[:-1]) / 2, 0.5))

    def hits(of: NDArray[np.bool_]) -> Floats:
        """Rows hit at each threshold: the intervals that have begun, less those that have ended."""
        real = of & (lows < highs)
        begun = np.searchsorted(np.sort(lows[real]), tried, side="left")  # low < threshold
        ended = np.searchsorted(np.sort(highs[real]), tried, side="left")  # high < threshold
        share: Floats = (begun - ended) / np.count_nonzero(of)
        return share

    on_wrong, on_right = hits(wrong), hits(~wrong)
    f1 = 2 * on_wrong * on_right / np.maximum(on_wrong + on_right, TINIEST)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    value = float(tried[best[np.argmin(np.abs(tried[best] - 0.5))]])
    hit = (lows < value) & (value <= highs)
    predicted = np.where(hit, np.where(wrong, 0, NO_ERROR), np.where(wrong, NO_ERROR, 0))
    return Threshold(value, first_error_figures(predicted, np.where(wrong, 0, NO_ERROR)))


def _stacked(parts: Sequence[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.empty((0, 2))


def _listed(values: Floats) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)
