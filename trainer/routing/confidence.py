"""How sure an answer is: log-probs of its span, agreement of samples, the PRM's score, made into one P(right).

A logistic regression on what is known of an answer, fitted by Newton's method, and calibrated by problems that it had
not seen. Without one, `plain` is a mean of what there is, and is not calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from trainer.models.monitor_curves import fit_curve
from trainer.models.monitor_learn import fold_of
from trainer.reasoning.metrics import auc, ece
from trainer.reasoning.segment import Span
from trainer.reasoning.thinking import split_thinking
from trainer.reasoning.word_scores import Curve
from trainer.routing.difficulty import FOLDS, LEAST, TooFewError, crossed

Floats = NDArray[np.float64]
LOWEST = -20.0  # nats; a token less probable than this says no more
PENALTY = 1e-2  # of squared weights, a problem; keeps signals that say the same from fighting
EDGE = 1e-4
NAMES = ("mean log-prob", "least log-prob", "agreement", "PRM", "before")


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of an answer; None = unknown. `mean` and `least` are log-probs of its tokens in nats, `agreement`
    the share of samples that gave it, `prm` the PRM's least step score, `before` P(fast is right) before asking."""

    mean: float | None = None
    least: float | None = None
    agreement: float | None = None
    prm: float | None = None
    before: float | None = None

    @property
    def values(self) -> tuple[float | None, ...]:
        """In the order of NAMES."""
        return self.mean, self.least, self.agreement, self.prm, self.before

    @classmethod
    def named(cls, values: Mapping[str, float]) -> Signals:
        """From values by their NAMES."""
        return cls(*(values.get(name) for name in NAMES))

    def row(self) -> Floats:
        """As numbers [5] that a line can weigh; NaN = unknown."""
        logs = (_floored(self.mean), _floored(self.least))
        return np.array([*logs, *(_log_odds(p) for p in (self.agreement, self.prm, self.before))])


class ConfidenceModel(msgspec.Struct, frozen=True, kw_only=True):
    """Weights of the standardised signals, of their absence, and the curve to P(right)."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    absent: tuple[float, ...]
    bias: float
    curve: Curve
    answers: int
    figures: dict[str, float]

    def __call__(self, signals: Signals) -> float:
        """P(right) of an answer."""
        row = signals.row()[None]
        design = _design(row, np.array(self.means), np.array(self.scales))
        raw = design @ np.array([*self.weights, *self.absent, self.bias])
        return float(self.curve(raw)[0])


@dataclass(frozen=True, slots=True)
class Learned:
    """A model, and what models that had not seen an answer's problem gave it [n]."""

    model: ConfidenceModel
    held_out: Floats


def learn(signals: Sequence[Signals], right: Sequence[bool], groups: Sequence[str]) -> Learned:
    """Learn from graded answers; `groups[i]` is the problem of the i-th. Raises TooFewError."""
    truth = np.array(right, np.int64)
    if min(int(truth.sum()), int((1 - truth).sum())) < LEAST:
        raise TooFewError(
            f"confidence is learned from at least {LEAST} right and {LEAST} wrong answers of the fast model; there are "
            f"{int(truth.sum())} and {int((1 - truth).sum())}"
        )
    rows, folds = np.stack([each.row() for each in signals]), fold_of(groups, FOLDS)
    raw = np.full(len(truth), np.nan)
    for fold in np.unique(folds):
        others, mine = folds != fold, folds == fold
        if len(np.unique(truth[others])) == 2:
            means, scales, line = _fit(rows[others], truth[others])
            raw[mine] = _design(rows[mine], means, scales) @ line
    known = ~np.isnan(raw)
    if not known.any() or len(np.unique(truth[known])) < 2:
        raise TooFewError("the problems of the answers are too few; learn from more of them")
    means, scales, line = _fit(rows, truth)
    held_out = crossed(raw, truth, folds)
    size = len(NAMES)
    model = ConfidenceModel(
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        weights=tuple(line[:size].tolist()),
        absent=tuple(line[size : 2 * size].tolist()),
        bias=float(line[-1]),
        curve=fit_curve(raw[known], truth[known]),
        answers=len(truth),
        figures={"auroc": auc(held_out, truth), "ece": ece(held_out, truth)},
    )
    return Learned(model, held_out)


def plain(signals: Signals) -> float | None:
    """The mean of agreement (of more than one sample), PRM score and probability of a token; None without any."""
    mean = None if signals.mean is None else math.exp(signals.mean)
    found = [value for value in (signals.agreement, signals.prm, mean) if value is not None]
    return sum(found) / len(found) if found else None


def answer_span(text: str, answer: str | None) -> Span:
    """Where an answer stands: its last verbatim occurrence, else all that follows the thinking."""
    place = text.rfind(answer) if answer else -1
    return Span(place, place + len(answer)) if answer and place >= 0 else split_thinking(text).answer


def span_logprobs(span: Span, starts: NDArray[np.uint32], logprobs: NDArray[np.float32]) -> tuple[float, float] | None:
    """Mean and least log-prob of the tokens that a span touches; `starts` [n] are code points. None for no token.

    A token that writes nothing, such as the end of the text, begins where the text ends and belongs to no span.
    """
    if not len(starts):
        return None
    ends = np.append(starts[1:], np.iinfo(np.uint32).max).astype(np.int64)
    touched = (starts.astype(np.int64) < span.end) & (ends > span.start)
    values = logprobs[touched].astype(np.float64)
    values = values[~np.isnan(values)]
    return (float(values.mean()), float(values.min())) if len(values) else None


def _fit(rows: Floats, truth: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Means, scales and the line [2 k + 1] of least penalised cross-entropy; the bias is not penalised."""
    known = ~np.isnan(rows)
    counted = np.maximum(known.sum(0), 1)
    means = np.where(known, rows, 0.0).sum(0) / counted
    spread = np.sqrt((np.where(known, rows - means, 0.0) ** 2).sum(0) / counted)
    scales = np.where(spread > 1e-9, spread, 1.0)
    design = _design(rows, means, scales)
    penalty = np.full(design.shape[1], PENALTY * len(truth))
    penalty[-1] = 1e-9
    line = np.zeros(design.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ line, -500, 500)))
        gradient = design.T @ (p - truth) + penalty * line
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        line = line - step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < 1e-9:
            break
    return means, scales, line


def _design(rows: Floats, means: Floats, scales: Floats) -> Floats:
    """Standardised signals, 0 where unknown; what is unknown; and a one [n, 2 k + 1]."""
    unknown = np.isnan(rows)
    standard = np.where(unknown, 0.0, (rows - means) / scales)
    return np.concatenate([standard, unknown.astype(np.float64), np.ones((len(rows), 1))], axis=1)


def _floored(logprob: float | None) -> float:
    return math.nan if logprob is None else max(logprob, LOWEST)


def _log_odds(p: float | None) -> float:
    if p is None:
        return math.nan
    kept = min(1 - EDGE, max(EDGE, p))
    return math.log(kept / (1 - kept))
