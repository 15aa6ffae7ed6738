"""Figures of an evaluation: pass@k, avg@k, maj@k, best-of-n, accuracy against thinking tokens, intervals. numpy only.

A sample whose grade could not be decided (None) is neither right nor wrong: it leaves the figure and is counted. Values
by problem are float64 [problems], NaN where a problem has none; a figure is their mean, its interval that of problems
drawn with replacement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.contract.forms import Pick
from trainer.reasoning.metrics import NO_ERROR, Interval
from trainer.reasoning.paired import Paired, paired
from trainer.reasoning.votes import Candidate, pick

Floats = NDArray[np.float64]

NO_GROUP = -1
ROUNDS = 2_000
_LEVELS = 256  # distinct values up to which drawing how often each comes up is cheaper than drawing problems
_DRAWN = 1 << 20  # problems drawn at once


@dataclass(frozen=True, slots=True)
class Tried:
    """One sample of a problem: its grade, which group of equal answers it is in (-1: no answer), its PRM score."""

    correct: bool | None
    group: int = NO_GROUP
    score: float | None = None


Samples = Sequence[Tried]
"""The samples of one problem, in the order in which they were drawn."""


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k), the unbiased chance that one of k is right (Chen et al. 2021); NaN where n < k."""
    if samples < k or k < 1:
        return math.nan
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def passes(problems: Sequence[Samples], k: int) -> Floats:
    """pass@k of each problem, from all its decided samples."""

    def one(samples: Samples) -> float:
        decided = [tried.correct for tried in samples if tried.correct is not None]
        return pass_at_k(len(decided), sum(decided), k)

    return _each(problems, one)


def averages(problems: Sequence[Samples], k: int) -> Floats:
    """avg@k of each problem: the share of right ones among the decided of its first k samples."""

    def one(samples: Samples) -> float:
        decided = [tried.correct for tried in samples[:k] if tried.correct is not None]
        return sum(decided) / len(decided) if decided and len(samples) >= k else math.nan

    return _each(problems, one)


def majorities(problems: Sequence[Samples], k: int) -> Floats:
    """maj@k: whether the group that most of the first k samples are in is right; first come where groups are equal."""
    return _each(problems, lambda samples: _picked(samples, k, Pick.MAJORITY))


def weighted(problems: Sequence[Samples], k: int) -> Floats:
    """Weighted best-of-k: as `majorities`, each sample with its PRM score for a weight; NaN where one has none."""
    return _each(problems, lambda samples: _picked(samples, k, Pick.WEIGHTED) if _scored(samples, k) else math.nan)


def bests(problems: Sequence[Samples], k: int) -> Floats:
    """best-of-k: whether the sample with an answer and the highest PRM score is right; the first of equals."""
    return _each(problems, lambda samples: _picked(samples, k, Pick.BEST) if _scored(samples, k) else math.nan)


def _each(problems: Sequence[Samples], value: Callable[[Samples], float]) -> Floats:
    return np.array([value(samples) for samples in problems], dtype=np.float64)


def _scored(samples: Samples, k: int) -> bool:
    """Whether every sample with an answer has a score."""
    return all(tried.score is not None or tried.group == NO_GROUP for tried in samples[:k])


def _picked(samples: Samples, k: int, how: Pick) -> float:
    """1 where the chosen answer is right, 0 where it is wrong, NaN where that is not known.

    Where nobody answered, the grade of the first sample: what is asked for need not be an answer.
    """
    if len(samples) < k:
        return math.nan
    first = samples[:k]
    named = [Candidate(None if tried.group == NO_GROUP else str(tried.group), tried.score) for tried in first]
    chosen = pick(named, how, lambda pairs: [one == other for one, other in pairs]).chosen
    if chosen < 0:
        return math.nan if first[0].correct is None else float(first[0].correct)
    grades = [tried.correct for tried in first if tried.group == first[chosen].group and tried.correct is not None]
    own = first[chosen].correct
    return float(own) if own is not None else float(grades[0]) if grades else math.nan


def all_figures(problems: Sequence[Samples]) -> dict[str, Floats]:
    """Every figure that these samples have, by its name, each [problems]; k is the least number of samples."""
    k = min((len(samples) for samples in problems), default=0)
    if k == 0:
        return {}
    found = {"pass@1": passes(problems, 1)}
    if k > 1:
        found |= {
            f"pass@{k}": passes(problems, k),
            f"avg@{k}": averages(problems, k),
            f"maj@{k}": majorities(problems, k),
            f"best-of-{k}": bests(problems, k),
            f"weighted@{k}": weighted(problems, k),
        }
    return {name: values for name, values in found.items() if not np.isnan(values).all()}


@dataclass(frozen=True, slots=True)
class ByTask:
    """Values by task [tasks] of problems that belong together, NaN where one of them has none or is not there.

    `solved`: all of a task are right; a chance of that where values are chances. `share` of a task's that are right.
    """

    solved: Floats
    share: Floats


def by_task(values: ArrayLike, tasks: Sequence[str], sizes: Sequence[int]) -> ByTask:
    """Of values by problem [problems], each with its task and how many problems that has."""
    of: dict[str, list[float]] = {}
    whole = dict(zip(tasks, sizes, strict=True))
    for task, value in zip(tasks, np.asarray(values, dtype=np.float64).tolist(), strict=True):
        of.setdefault(task, []).append(value)
    rows = [some if len(some) == whole[task] else [math.nan] for task, some in of.items()]
    return ByTask(np.array([math.prod(row) for row in rows]), np.array([sum(row) / len(row) for row in rows]))


def mean_interval(values: ArrayLike, *, rounds: int = ROUNDS, level: float = 0.95, seed: int = 0) -> Interval:
    """The mean over problems and its percentile interval when problems are drawn with replacement; NaN is left out.

    Equal values are drawn together: how often each comes up is multinomial, the same distribution at less cost.
    """
    given = np.asarray(values, dtype=np.float64)
    given = given[~np.isnan(given)]
    count = given.size
    if not count:
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    generator = np.random.default_rng(seed)
    levels, times = np.unique(given, return_counts=True)
    if levels.size <= _LEVELS:
        means = generator.multinomial(count, times / count, size=rounds) @ levels / count
    else:
        means = _drawn_means(generator, given, rounds)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(given.mean()), float(low), float(high), rounds, count)


def _drawn_means(generator: np.random.Generator, values: Floats, rounds: int) -> Floats:
    """Means [rounds] of as many problems, drawn with replacement."""
    at_once = max(1, _DRAWN // values.size)
    parts = []
    for first in range(0, rounds, at_once):
        drawn = generator.integers(0, values.size, (min(at_once, rounds - first), values.size))
        parts.append(values[drawn].mean(axis=1))
    return np.concatenate(parts)


@dataclass(frozen=True, slots=True)
class BudgetPoint:
    """One point of accuracy against thinking: the cap (None = none), tokens really thought, accuracy, forced share."""

    budget: int | None
    thinking_tokens: float
    accuracy: Interval
    truncated: float
    problems: int


def budget_point(
    budget: int | None, correct: ArrayLike, thinking_tokens: ArrayLike, truncated: ArrayLike
) -> BudgetPoint:
    """From values by problem, each [problems]: share right, mean tokens of thinking, share cut short."""
    accuracy = mean_interval(correct)
    tokens, cut = (np.asarray(column, dtype=np.float64) for column in (thinking_tokens, truncated))
    mean = float(tokens.mean()) if tokens.size else math.nan
    return BudgetPoint(budget, mean, accuracy, float(cut.mean()) if cut.size else math.nan, accuracy.groups)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the problems that both tried. `difference` is right minus left; `table` where all are 0 or 1."""

    problems: int
    left: Interval
    right: Interval
    difference: Interval
    table: Paired | None


def compare(left: Mapping[str, float], right: Mapping[str, float], *, seed: int = 0) -> Comparison:
    """Values by problem of two models; problems that one of them lacks, or has NaN for, are left out.

    Raises ValueError where they have none in common.
    """
    shared = [name for name, value in left.items() if value == value and right.get(name, math.nan) == right.get(name)]
    if not shared:
        raise ValueError("the two have no problem in common; evaluate both on the same rows")
    one, other = (np.array([side[name] for name in shared]) for side in (left, right))
    binary = bool(np.isin(one, (0.0, 1.0)).all() and np.isin(other, (0.0, 1.0)).all())
    table = paired([bool(v) for v in one], [bool(v) for v in other], seed=seed) if binary else None
    return Comparison(
        problems=len(shared),
        left=mean_interval(one, seed=seed),
        right=mean_interval(other, seed=seed),
        difference=mean_interval(other - one, seed=seed),
        table=table,
    )


def process_bench_interval(
    predicted: Sequence[int], labelled: Sequence[int], subsets: Sequence[str], *, rounds: int = ROUNDS, seed: int = 0
) -> Interval:
    """ProcessBench's figure, the mean of the subsets' F1, when rows are drawn with replacement; -1 = no error.

    A row matters only by its subset, whether it is wrong and whether it was hit: these kinds are drawn, not the rows.
    """
    names = list(dict.fromkeys(subsets))
    kinds = np.array(
        [
            4 * names.index(subset) + 2 * (label != NO_ERROR) + (guess == label)
            for guess, label, subset in zip(predicted, labelled, subsets, strict=True)
        ],
        dtype=np.int64,
    )
    count = kinds.size
    if not count:
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    times = np.bincount(kinds, minlength=4 * len(names))
    value = float(_mean_f1(times[None])[0])
    drawn = _mean_f1(np.random.default_rng(seed).multinomial(count, times / count, size=rounds))
    return _percentiles(value, drawn, count)


def prm_score_interval(hits: ArrayLike, *, rounds: int = ROUNDS, seed: int = 0) -> Interval:
    """PRMScore when rows are drawn with replacement.

    `hits` [rows, 3]: right steps called right, wrong steps called wrong, steps called what they are not.
    """
    given = np.asarray(hits, dtype=np.float64).reshape(-1, 3)
    count = len(given)
    if not count:
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    value = float(_prm_score(given.sum(axis=0)[None])[0])
    generator = np.random.default_rng(seed)
    drawn = np.array([given[generator.integers(0, count, count)].sum(axis=0) for _ in range(rounds)])
    return _percentiles(value, _prm_score(drawn), count)


def _mean_f1(times: NDArray[np.int64]) -> Floats:
    """Mean F1 [rounds] of counts [rounds, 4 a subset]: right missed, right hit, wrong missed, wrong hit."""
    right_missed, right_hit, wrong_missed, wrong_hit = np.moveaxis(times.reshape(len(times), -1, 4), 2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        on_right = right_hit / (right_hit + right_missed)
        on_wrong = wrong_hit / (wrong_hit + wrong_missed)
        both = on_right + on_wrong
        f1 = np.where(both == 0, 0.0, 2 * on_right * on_wrong / both)
    means: Floats = f1.mean(axis=1)
    return means


def _prm_score(sums: Floats) -> Floats:
    """0.5 * F1 of right + 0.5 * F1 of wrong steps [rounds], of sums [rounds, 3] as `prm_score_interval` takes them."""
    right, wrong, missed = sums.T
    with np.errstate(invalid="ignore"):
        scores: Floats = right / (2 * right + missed) + wrong / (2 * wrong + missed)
    return scores


def _percentiles(value: float, drawn: Floats, count: int) -> Interval:
    """The middle 95 % of what was drawn; rounds without a figure are left out."""
    drawn = drawn[~np.isnan(drawn)]
    if not drawn.size:
        return Interval(value, math.nan, math.nan, 0, count)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high), int(drawn.size), count)
