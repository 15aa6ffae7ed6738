"""Best-of-n on a small model against one pass of a larger one: cost against accuracy, on the same problems. numpy only.

Cost is tokens times parameters: those a policy drew and read times its own, those the PRM read times the PRM's. Twice
that is about the number of operations (Kaplan et al. 2020). One search of N whole traces gives best-of-n for every n up
to N: their traces are drawn independently of each other, so the first n of them are a search of n. The majority of the
same traces costs no PRM; answers are grouped by mathematical equality.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trainer.contract.generated import SearchNode, Settings, Spent
from trainer.contract.records import SearchRecord
from trainer.contract.specs.search import Strategy
from trainer.reasoning.metrics import Interval, bootstrap
from trainer.reasoning.votes import Candidate, Equal, grouped

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sampled:
    """One trace: whether it is right (None: not known), its score (None: nothing scored it), its tokens.

    `group` is the number of its group of equal answers, None without an answer; `fresh` are the tokens of its steps
    that no earlier trace of the problem begins with: a PRM reads what it has read once.
    """

    right: bool | None
    score: float | None
    group: int | None
    tokens: int
    fresh: int


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


class Choosing(StrEnum):
    """Which of n traces answers: the one with the best score, or the first of the largest group of equal answers."""

    BEST = "best"
    MAJORITY = "majority"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What answered one problem: the place among its traces (None: none has an answer), and whether it is right."""

    row: str
    place: int | None
    right: bool | None


@dataclass(frozen=True, slots=True)
class CostPoint:
    """One of n traces of a pair of models: accuracy with its interval over problems; the rest are means a problem.

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
    chosen: tuple[Chosen, ...]
    how: Choosing = Choosing.BEST

    @property
    def title(self) -> str:
        """Such as "best of 8"."""
        return f"{self.how.value} of {self.n}"


@dataclass(frozen=True, slots=True)
class Contest:
    """Best-of-n and majority-of-n of the small model for each n beside one pass of the larger.

    `leads[i]` is accuracy of `small[i]` less the larger's on the same problems, drawn together; `majority_leads` alike.
    """

    small: tuple[CostPoint, ...]
    large: CostPoint
    leads: tuple[Interval, ...]
    majority: tuple[CostPoint, ...]
    majority_leads: tuple[Interval, ...]

    @property
    def reaches(self) -> int | None:
        """The place of the first n that is not behind the larger beyond chance; None where all are."""
        return next((at for at, lead in enumerate(self.leads) if lead.high >= 0), None)

    @property
    def overtakes(self) -> int | None:
        """The place of the first n that is ahead of the larger beyond chance (the interval is above 0)."""
        return next((at for at, lead in enumerate(self.leads) if lead.low > 0), None)

    @property
    def affordable(self) -> int | None:
        """The place of the largest n that costs no more than one pass of the larger; None where even one trace does."""
        cheap = [at for at, point in enumerate(self.small) if point.cost <= self.large.cost]
        return cheap[-1] if cheap else None

    @property
    def sentence(self) -> str:
        """What came of it, for a person: where the small model passes the larger, and what the same cost buys."""
        return f"{self._passing}. {self._same_cost}"

    @property
    def _passing(self) -> str:
        small, large = self.small[0].name, self.large
        one = f"one pass of {large.name} ({large.accuracy.value:.1%})"
        if (at := self.overtakes) is not None:
            return f"{self._best(at)} of {small} is ahead of {one}: {self._numbers(at)}"
        if (at := self.reaches) is not None:
            return f"{self._best(at)} of {small} does as well as {one}, within chance: {self._numbers(at)}"
        at = max(range(len(self.small)), key=lambda place: self.small[place].accuracy.value)
        return f"{small} stays behind {one}; {self._best(at).lower()} comes nearest: {self._numbers(at)}"

    @property
    def _same_cost(self) -> str:
        if self.affordable is None:
            return "Even one trace with its scores costs more than one pass of the larger"
        point, lead = self.small[self.affordable], self.leads[self.affordable]
        return f"At no more than its cost there is {point.title}: {_points(lead)}"

    def _best(self, at: int) -> str:
        return f"Best of {self.small[at].n}"

    def _numbers(self, at: int) -> str:
        point = self.small[at]
        times = point.cost / self.large.cost
        return f"{point.accuracy.value:.1%}, {_points(self.leads[at])}, at {times:.2f} times its cost"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run of the recipe search that the comparison needs; `models` by role."""

    models: dict[str, str]
    settings: Settings


def plan(
    small: str,
    prm: str,
    large: str,
    n: int,
    *,
    greedy: bool = True,
    **shared: str | int | float | bool,
) -> tuple[PlannedRun, PlannedRun]:
    """The two runs to make over the same rows: n scored traces of the small model, one trace of the larger.

    `shared` are settings of both (budgets, temperature, seed). `greedy`: the larger writes its most probable trace, as
    one who asks once would have it; else it draws at the temperature of the others.
    """
    if n < 1:
        raise ValueError(f"best of {n}: at least one trace is needed")
    ours: Settings = {**shared, "strategy": Strategy.BEST_OF_N.value, "compute": "by hand", "n": n}
    theirs: Settings = {**shared, "strategy": Strategy.SELF_CONSISTENCY.value, "compute": "by hand", "n": 1}
    if greedy:
        theirs["temperature"] = 0.0
    return PlannedRun({"model": small, "prm": prm}, ours), PlannedRun({"model": large}, theirs)


def attempted(
    record: SearchRecord, outcomes: Sequence[int | None], answers: Sequence[str | None], equal: Equal
) -> Attempted:
    """A search of whole traces as the comparison reads it; `outcomes` and `answers` of its traces, by place.

    Raises ValueError for a search that did not write whole traces: its traces are not independent draws.
    """
    if not Strategy(record.strategy).writes_whole:
        raise ValueError(f"a search by {record.strategy} has no independent traces; compare searches of whole traces")
    ends = {node.trace: number for number, node in enumerate(record.nodes) if node.trace >= 0}
    groups = grouped([Candidate(answer) for answer in answers], equal)
    group_of = {place: number for number, group in enumerate(groups) for place in group.members}
    samples, known = [], set[tuple[str, ...]]()
    for place in range(len(record.traces)):
        steps = _steps(record.nodes, ends[place])
        begun = {tuple(step.text for step in steps[: k + 1]): step.tokens for k, step in enumerate(steps)}
        fresh = sum(tokens for texts, tokens in begun.items() if texts not in known)
        known |= begun.keys()
        right = None if outcomes[place] is None else bool(outcomes[place])
        score, tokens = record.nodes[ends[place]].value, sum(step.tokens for step in steps)
        samples.append(Sampled(right, score, group_of.get(place), tokens, fresh))
    return Attempted(record.row, tuple(samples), record.spent)


def point(
    attempts: Sequence[Attempted], models: Models, n: int, how: Choosing = Choosing.BEST, *, rounds: int = 2000
) -> CostPoint:
    """One of the first n traces of each problem, n at most the traces of each. Raises ValueError.

    A problem tried several times (seeds) is one problem of the interval. The majority pays for no PRM.
    """
    short = next((one for one in attempts if len(one.samples) < n), None)
    if short is not None:
        raise ValueError(f"row {short.row} has {len(short.samples)} traces, {how.value} of {n} needs {n}; draw more")
    chosen = tuple(_chosen(one, n, how) for one in attempts)
    shares = [_share(one, n) for one in attempts]
    drawn = float(np.mean([sum(sample.tokens for sample in one.samples[:n]) for one in attempts]))
    read = float(np.mean([one.spent.tokens_read for one in attempts]))  # the prompt, once for all
    prm = float(np.mean([_scored(one, n) for one in attempts])) if how is Choosing.BEST else 0.0
    seconds = float(np.mean([one.spent.seconds * share for one, share in zip(attempts, shares, strict=True)]))
    cost = (drawn + read) * models.parameters + prm * models.prm_parameters
    accuracy = _interval(_right(chosen), [one.row for one in attempts], rounds)
    return CostPoint(models.name, n, accuracy, drawn, read, prm, cost, seconds, chosen, how)


def contest(
    small: Sequence[Attempted], of_small: Models, large: Sequence[Attempted], of_large: Models, *, rounds: int = 2000
) -> Contest:
    """Both on the problems that both have tried: n = 1, 2, 4, ... up to all traces.

    Several tries of a problem (seeds) stand in the same order on both sides. Raises ValueError where they do not pair.
    """
    both = {one.row for one in small} & {one.row for one in large}
    ours = sorted((one for one in small if one.row in both), key=lambda one: one.row)
    theirs = sorted((one for one in large if one.row in both), key=lambda one: one.row)
    if not ours:
        raise ValueError("the two runs have no problem in common; let both search the same rows")
    if [one.row for one in ours] != [one.row for one in theirs]:
        raise ValueError("a problem was tried more often by one model; let both search with the same seeds")
    most = min(len(one.samples) for one in ours)
    counts = [*(2**k for k in range(most.bit_length()) if 2**k < most), most]
    single = point(theirs, of_large, 1, rounds=rounds)
    base, rows = _right(single.chosen), [one.row for one in ours]

    def compared(how: Choosing) -> tuple[tuple[CostPoint, ...], tuple[Interval, ...]]:
        points = tuple(point(ours, of_small, n, how, rounds=rounds) for n in counts)
        return points, tuple(_interval(_right(each.chosen) - base, rows, rounds) for each in points)

    best, leads = compared(Choosing.BEST)
    majority, majority_leads = compared(Choosing.MAJORITY)
    return Contest(best, single, leads, majority, majority_leads)


def _right(chosen: Sequence[Chosen]) -> Floats:
    """1 where the answer is right, 0 where it is wrong or nobody gave one, NaN where that is not known."""
    return np.array([math.nan if one.right is None else float(one.right) for one in chosen], np.float64)


def _chosen(one: Attempted, n: int, how: Choosing) -> Chosen:
    """Ties go to the first."""
    samples = one.samples[:n]
    answered = [place for place, sample in enumerate(samples) if sample.group is not None]
    if not answered:
        return Chosen(one.row, None, right=False)
    votes = Counter(samples[place].group for place in answered)

    def worth(place: int) -> float:
        score = samples[place].score
        return (-math.inf if score is None else score) if how is Choosing.BEST else votes[samples[place].group]

    best = max(answered, key=worth)  # the first of the greatest
    return Chosen(one.row, best, samples[best].right)


def _points(lead: Interval) -> str:
    value, low, high = (100 * each for each in (lead.value, lead.low, lead.high))
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"


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


def _scored(one: Attempted, n: int) -> float:
    """Tokens that the PRM reads for the first n traces: the problem, and what no earlier trace began with.

    In proportion to what it has read for all of them, so that all cost what was measured.
    """
    every, part = (one.spent.tokens_read + sum(each.fresh for each in one.samples[:k]) for k in (None, n))
    return one.spent.prm_tokens * part / every if every else 0.0


def _steps(nodes: Sequence[SearchNode], end: int) -> list[SearchNode]:
    """The nodes on the way to one, without the problem, the first step first."""
    out, at = [], end
    while at > 0:
        out.append(nodes[at])
        at = nodes[at].parent
    return out[::-1]
