"""From raw scores of a monitor to probabilities: what longer traces are held to, the thinking's share, the curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.reasoning.metrics import auc
from trainer.reasoning.word_scores import Curve, Norm

Floats = NDArray[np.float64]
ISOTONIC_FROM = 500  # labels; fewer are too few for a curve of steps
NORM_FROM = 30  # benign traces, below which longer traces are not held to more
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def crossed(raw: Floats, truth: NDArray[np.int64], part_of: NDArray[np.int64]) -> Floats:
    """Probabilities by curves that came of the other parts: what a curve learned does not judge itself."""
    out = np.full(len(raw), np.nan)
    for part in np.unique(part_of):
        others = part_of != part
        if len(np.unique(truth[others])) == 2:
            out[~others] = fit_curve(raw[others], truth[others])(raw[~others])
    return out


def fit_norm(tops: Floats, numbers: Floats) -> Norm:
    """Least squares of benign tops [n, 2] on the logarithm of the number of steps; none from too few."""
    known = ~np.isnan(tops)
    y, x = tops[known], np.log(np.maximum(numbers[known], 1.0))
    if len(y) < NORM_FROM:
        return Norm()
    design = np.stack([np.ones_like(x), x], 1)
    (base, growth), *_ = np.linalg.lstsq(design, y, rcond=None)
    growth = max(float(growth), 0.0)  # no trace is the more suspect for being short
    base = float(np.mean(y - growth * x))
    spread = float(np.std(y - base - growth * x))
    return Norm(base, growth, max(spread, 1e-3))


def best_share(above: Floats, truth: NDArray[np.int64]) -> float:
    """The thinking's share with the best AUROC; one half where few have both parts."""
    both = ~np.isnan(above).any(1)
    if both.sum() < NORM_FROM or len(np.unique(truth[both])) < 2:
        return 0.5
    found = [auc(share * above[both, 0] + (1 - share) * above[both, 1], truth[both]) for share in SHARES]
    return SHARES[int(np.argmax(found))]


def fit_curve(raw: Floats, truth: NDArray[np.int64]) -> Curve:
    """Isotonic from ISOTONIC_FROM labels on, else Platt's sigmoid with his smoothed targets (Platt 1999)."""
    if len(raw) >= ISOTONIC_FROM:
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=1e-4, y_max=1 - 1e-4, out_of_bounds="clip").fit(raw, truth)
        return Curve(x=tuple(map(float, steps.X_thresholds_)), y=tuple(map(float, steps.y_thresholds_)))
    positive, negative = int(truth.sum()), int((1 - truth).sum())
    target = np.where(truth == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    slope, offset = 1.0, 0.0
    design = np.stack([raw, np.ones_like(raw)], 1)
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(slope * raw + offset, -500, 500)))
        gradient = design.T @ (p - target)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        largest = float(np.abs(step).max())
        step *= min(1.0, 2.0 / max(largest, 1e-12))
        slope, offset = slope - float(step[0]), offset - float(step[1])
        if largest < 1e-10:
            break
    return Curve(slope=max(slope, 1e-6), offset=offset)
