"""Best-of-n on a small model against one pass of a larger one: cost against accuracy, on the same problems. numpy only.

Cost is tokens times parameters: those a policy drew and read times its own, those the PRM read times the PRM's. Twice
that is about the number of operations (Kaplan et al. 2020). One search of N whole traces gives best-of-n for every n up
to N: their traces are drawn independently of each other, so the first n of them are a search of n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.contract.generated import SearchNode, Settings, Spent
from trainer.contract.records import SearchRecord
from trainer.contract.specs.search import Strategy
from trainer.reasoning.metrics import Interval, bootstrap

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sampled:
    """One trace: whether it is right (None: not known), its score (None: no answer, or none given), its tokens."""

    right: bool | None
    score: float | None
    answered: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class Attempted:
    """One problem: its traces in the order they were drawn, and what all of them cost together."""

    row: str
    samples: tuple[Sampled, ...]
    spent: Spent


@dataclass(frozen=True, slots=True)
class Models:
    """Who tried: name of the policy, its parameters, and those of the PRM (0 for none)."""

    name: str
    parameters: int
    prm_parameters: int = 0


@dataclass(frozen=True, slots=True)
class CostPoint:
    """Best-of-n of one pair of models: accuracy with its interval over problems; tokens and cost are means a problem.

    `cost` is in tokens times parameters; `seconds` as measured for all N traces, shared out by tokens.
    """

    name: str
    n: int
    accuracy: Interval
    tokens: float
    tokens_read: float
    prm_tokens: float
    cost: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Contest:
    """Best-of-n of the small model for each n beside one pass of the larger.

    `leads[i]` is accuracy of `small[i]` less the larger's on the same problems, drawn together. `reaches` is the place
    of the first n whose accuracy is at least the larger's, None where none is.
    """

    small: tuple[CostPoint, ...]
    large: CostPoint
    leads: tuple[Interval, ...]
    reaches: int | None

    @property
    def sentence(self) -> str:
        """What came of it, for a person."""
        large = self.large
        if self.reaches is None:
            best = max(self.small, key=lambda point: point.accuracy.value)
            return (
                f"{best.name} at its best (n = {best.n}) is right for {best.accuracy.value:.1%}, one pass of "
                f"{large.name} for {large.accuracy.value:.1%}, at {best.cost / large.cost:.2f} times its cost"
            )
        point = self.small[self.reaches]
        return (
            f"best of {point.n} of {point.name} reaches one pass of {large.name} ({point.accuracy.value:.1%} against "
            f"{large.accuracy.value:.1%}) at {point.cost / large.cost:.2f} times its cost"
        )


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run of the recipe search that the comparison needs; `models` by role."""

    models: dict[str, str]
    settings: Settings


def plan(small: str, prm: str, large: str, n: int, **shared: str | int | float | bool) -> tuple[PlannedRun, PlannedRun]:
    """The two runs to make over the same rows: n scored traces of the small model, one trace of the larger.

    `shared` are settings of both (budgets, temperature, seed).
    """
    if n < 1:
        raise ValueError(f"best of {n}: at least one trace is needed")
    ours: Settings = {**shared, "strategy": Strategy.BEST_OF_N.value, "compute": "by hand", "n": n}
    theirs: Settings = {**shared, "strategy": Strategy.SELF_CONSISTENCY.value, "compute": "by hand", "n": 1}
    return PlannedRun({"model": small, "prm": prm}, ours), PlannedRun({"model": large}, theirs)


def attempted(record: SearchRecord, outcomes: Sequence[int | None], answered: Sequence[bool]) -> Attempted:
    """A search of whole traces as the comparison reads it; `outcomes` and `answered` of its traces, by place.

    Raises ValueError for a search that did not write whole traces: its traces are not independent draws.
    """
    if not Strategy(record.strategy).writes_whole:
        raise ValueError(f"a search by {record.strategy} has no independent traces; compare searches of whole traces")
    ends = {node.trace: number for number, node in enumerate(record.nodes) if node.trace >= 0}
    samples = tuple(
        Sampled(
            None if outcomes[place] is None else bool(outcomes[place]),
            record.nodes[ends[place]].value,
            answered[place],
            _tokens(record.nodes, ends[place]),
        )
        for place in range(len(record.traces))
    )
    return Attempted(record.row, samples, record.spent)


def best_of(attempts: Sequence[Attempted], models: Models, n: int, *, rounds: int = 2000) -> CostPoint:
    """Best-of-n over the problems whose outcomes are known; n is at most the traces of each. Raises ValueError."""
    short = next((one for one in attempts if len(one.samples) < n), None)
    if short is not None:
        raise ValueError(f"row {short.row} has {len(short.samples)} traces, best of {n} needs {n}; draw more")
    right = _right(attempts, n)
    shares = [_share(one, n) for one in attempts]
    drawn = float(np.mean([sum(sample.tokens for sample in one.samples[:n]) for one in attempts]))
    read = float(np.mean([one.spent.tokens_read for one in attempts]))  # the prompt, once for all
    prm = float(np.mean([one.spent.prm_tokens * share for one, share in zip(attempts, shares, strict=True)]))
    seconds = float(np.mean([one.spent.seconds * share for one, share in zip(attempts, shares, strict=True)]))
    cost = (drawn + read) * models.parameters + prm * models.prm_parameters
    accuracy = _interval(right, [one.row for one in attempts], rounds)
    return CostPoint(models.name, n, accuracy, drawn, read, prm, cost, seconds)


def contest(
    small: Sequence[Attempted], of_small: Models, large: Sequence[Attempted], of_large: Models, *, rounds: int = 2000
) -> Contest:
    """Both on the problems that both have tried: n = 1, 2, 4, ... up to all traces. Raises ValueError for none."""
    both = {one.row for one in small} & {one.row for one in large}
    ours = sorted((one for one in small if one.row in both), key=lambda one: one.row)
    theirs = sorted((one for one in large if one.row in both), key=lambda one: one.row)
    if not ours:
        raise ValueError("the two runs have no problem in common; let both search the same rows")
    most = min(len(one.samples) for one in ours)
    counts = [*(2**k for k in range(most.bit_length()) if 2**k < most), most]
    points = tuple(best_of(ours, of_small, n, rounds=rounds) for n in counts)
    single = best_of(theirs, of_large, 1, rounds=rounds)
    base, rows = _right(theirs, 1), [one.row for one in ours]
    leads = [_interval(_right(ours, n) - base, rows, rounds) for n in counts]
    reached = (at for at, point in enumerate(points) if point.accuracy.value >= single.accuracy.value)
    return Contest(points, single, tuple(leads), next(reached, None))


def _right(attempts: Sequence[Attempted], n: int) -> Floats:
    """1 where the best of the first n traces is right [problems]; an answer that nobody gave is wrong, NaN unknown."""
    return np.array([_outcome(one.samples[:n]) for one in attempts], np.float64)


def _outcome(samples: Sequence[Sampled]) -> float:
    answered = [sample for sample in samples if sample.answered]
    if not answered:
        return 0.0
    best = max(answered, key=lambda sample: -math.inf if sample.score is None else sample.score)  # ties: the first
    return math.nan if best.right is None else float(best.right)


def _interval(values: Floats, rows: Sequence[str], rounds: int) -> Interval:
    return bootstrap(rows, lambda weights: _mean(values, weights), rounds=rounds)


def _mean(values: Floats, weights: Floats) -> float:
    known = ~np.isnan(values)
    total = float(weights[known].sum())
    return float((values[known] * weights[known]).sum() / total) if total else math.nan


def _share(one: Attempted, n: int) -> float:
    """The part of a problem's tokens that its first n traces took."""
    tokens = [sample.tokens for sample in one.samples]
    return sum(tokens[:n]) / sum(tokens) if sum(tokens) else 1.0


def _tokens(nodes: Sequence[SearchNode], end: int) -> int:
    """Tokens drawn on the way to a node."""
    total, at = 0, end
    while at > 0:
        total += nodes[at].tokens
        at = nodes[at].parent
    return total
