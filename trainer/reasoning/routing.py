"""What a router costs and gains: thresholds for a target, the lines it is held against, its ledger. numpy only.

Two models stand behind a router, a fast one and a reasoning one. The *oracle* asks the cheapest model that is right,
and where neither is right the cheapest, since more money would buy nothing. *Random* throws a coin for every problem
and asks that model alone; its coin shows the reasoning model as often as the router asked it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LEAST_OF_TASK = 100  # problems of a task type without which it shares the thresholds of all
STEPS, DIRECT_STEPS = 200, 20  # quantiles tried for the two thresholds
EVERYTHING = 2.0  # above every probability


class Thresholds(msgspec.Struct, frozen=True):
    """Ask the reasoning model at once where P(fast is right) before asking is below `direct`; let the fast model's
    answer stand where P(right) after it is at least `accept`."""

    direct: float = 0.0
    accept: float = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Both:
    """Problems [n] that both models were asked: P(fast is right) before, P(right) after, outcomes, what each cost.

    `before` may hold NaN where nobody judged the problem, `after` where the fast model gave no answer: 0 then.
    """

    before: Floats
    after: Floats
    fast_right: Bools
    reasoning_right: Bools
    fast_cost: Floats
    reasoning_cost: Floats
    tasks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.after)

    def of(self, rows: Bools) -> Both:
        """Some of the problems."""
        tasks = tuple(task for task, kept in zip(self.tasks, rows, strict=True) if kept) if self.tasks else ()
        return Both(
            self.before[rows], self.after[rows], self.fast_right[rows], self.reasoning_right[rows],
            self.fast_cost[rows], self.reasoning_cost[rows], tasks,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """What a way of routing gets: share of right answers, mean cost of a problem, share that the reasoning model
    answered."""

    accuracy: float
    cost: float
    escalated: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """Thresholds for a target, what they get on the problems they were chosen on, and whether the target is met."""

    thresholds: Thresholds
    line: Line
    reached: bool


def routed(both: Both, thresholds: Thresholds) -> Line:
    """What these thresholds get. A problem that escalates pays both models, one that is asked directly only one."""
    direct = _known(both.before, 1.0) < thresholds.direct
    escalated = direct | (_known(both.after, 0.0) < thresholds.accept)
    right = np.where(escalated, both.reasoning_right, both.fast_right)
    cost = np.where(direct, 0.0, both.fast_cost) + np.where(escalated, both.reasoning_cost, 0.0)
    return Line(float(right.mean()), float(cost.mean()), float(escalated.mean()))


def oracle(both: Both) -> Line:
    """The cheapest model that is right; the cheapest one where neither is."""
    dearer = both.reasoning_cost > both.fast_cost
    cheapest = np.minimum(both.fast_cost, both.reasoning_cost)
    only_reasoning = both.reasoning_right & (~both.fast_right | ~dearer)
    only_fast = both.fast_right & (~both.reasoning_right | dearer)
    cost = np.where(only_fast, both.fast_cost, np.where(only_reasoning, both.reasoning_cost, cheapest))
    asked = ~only_fast & (only_reasoning | ~dearer)
    return Line(float((both.fast_right | both.reasoning_right).mean()), float(cost.mean()), float(asked.mean()))


def random_line(both: Both, share: float) -> Line:
    """What is expected of a coin that asks the reasoning model alone for this share, and the fast one else."""
    accuracy = (1 - share) * both.fast_right.mean() + share * both.reasoning_right.mean()
    cost = (1 - share) * both.fast_cost.mean() + share * both.reasoning_cost.mean()
    return Line(float(accuracy), float(cost), share)


def choose_for_accuracy(both: Both, within: float) -> Chosen:
    """The cheapest thresholds whose accuracy is within so much of the oracle's; the most accurate if none is."""
    _need_some(both)
    least = oracle(both).accuracy - within

    def better(accuracy: Floats, cost: Floats) -> int:
        meets = accuracy >= least - 1e-12
        if meets.any():
            return int(np.lexsort((-accuracy, np.where(meets, cost, np.inf)))[0])
        return int(np.lexsort((cost, -accuracy))[0])

    found = _search(both, better)
    return Chosen(found, line := routed(both, found), line.accuracy >= least - 1e-12)


def choose_for_cost(both: Both, share: float) -> Chosen:
    """The most accurate thresholds whose mean cost is at most this share of asking the reasoning model every time."""
    _need_some(both)
    most = share * float(both.reasoning_cost.mean())

    def better(accuracy: Floats, cost: Floats) -> int:
        meets = cost <= most * (1 + 1e-12)
        if meets.any():
            return int(np.lexsort((cost, np.where(meets, -accuracy, np.inf)))[0])
        return int(np.lexsort((-accuracy, cost))[0])

    found = _search(both, better)
    return Chosen(found, line := routed(both, found), line.cost <= most * (1 + 1e-12))


def by_task(both: Both, choose: Callable[[Both], Chosen]) -> dict[str, Chosen]:
    """Thresholds of all problems under "", and of each task type with LEAST_OF_TASK of them."""
    found = {"": choose(both)}
    names = np.array(both.tasks, dtype=np.str_)
    for task in sorted(set(both.tasks) - {""}):
        rows = names == task
        if LEAST_OF_TASK <= int(rows.sum()) < len(both):
            found[task] = choose(both.of(rows))
    return found


def _need_some(both: Both) -> None:
    if not len(both):
        raise ValueError("no problem that both models were asked: thresholds cannot be chosen")


def _search(both: Both, better: Callable[[Floats, Floats], int]) -> Thresholds:
    """Try quantiles of both probabilities; `better` picks a place among arrays of accuracy and cost."""
    before, after = _known(both.before, 1.0), _known(both.after, 0.0)
    accepts = _gaps(after, STEPS)
    tried: list[Thresholds] = []
    accuracy: list[Floats] = []
    cost: list[Floats] = []
    for direct in (0.0, *_gaps(before, DIRECT_STEPS)[1:]) if len(np.unique(before)) > 1 else (0.0,):
        at_once = before < direct
        right, spent = _sweep(both, after, at_once, accepts)
        accuracy.append(right)
        cost.append(spent)
        tried += [Thresholds(float(direct), float(accept)) for accept in accepts]
    return tried[better(np.concatenate(accuracy), np.concatenate(cost))]


def _sweep(both: Both, after: Floats, at_once: Bools, accepts: Floats) -> tuple[Floats, Floats]:
    """Accuracy and mean cost [accepts] where the problems of `at_once` go to the reasoning model directly."""
    asked = np.flatnonzero(~at_once)
    order = asked[np.argsort(after[asked], kind="stable")]
    escalated = np.searchsorted(after[order], accepts, side="left")  # how many are below each threshold
    gain = np.concatenate(([0.0], np.cumsum(both.reasoning_right[order].astype(float) - both.fast_right[order])))
    paid = np.concatenate(([0.0], np.cumsum(both.reasoning_cost[order])))
    right = both.reasoning_right[at_once].sum() + both.fast_right[order].sum() + gain[escalated]
    spent = both.reasoning_cost[at_once].sum() + both.fast_cost[order].sum() + paid[escalated]
    return right / len(both), spent / len(both)


def _gaps(values: Floats, steps: int) -> Floats:
    """0, the middles of the gaps between at most `steps` quantiles, and what is above all."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, steps + 1), method="nearest"))
    return np.concatenate(([0.0], (edges[1:] + edges[:-1]) / 2, [EVERYTHING]))


def _known(values: Floats, otherwise: float) -> Floats:
    return np.where(np.isnan(values), otherwise, values)


def is_drawn(row: str, share: float) -> bool:
    """Whether a row is one of this share that is audited: the same ones for ever, by a hash of its id."""
    return int(hashlib.sha256(f"audit\0{row}".encode()).hexdigest()[:8], 16) / 0x1_0000_0000 < share


@dataclass(frozen=True, slots=True)
class Entry:
    """One routed problem in the ledger: whose answer stands, whether it is right (None: not graded), what it took."""

    task: str
    model: str
    right: bool | None
    seconds: float
    cost: float
    escalated: bool
    cached: bool = False
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """Figures of a task type and model ("" = all of them). None where nothing was graded, or no answer was right.

    Latencies in seconds; `cost_of_right` is what the graded problems cost over the number of right answers.
    """

    task: str
    model: str
    problems: int
    graded: int
    accuracy: float | None
    p50: float
    p95: float
    p99: float
    cost: float
    cost_of_right: float | None
    escalated: float
    cached: float
    marked: float


def cells(entries: Iterable[Entry]) -> tuple[Cell, ...]:
    """The ledger: all together, then each task type, then each task type and model; nothing of no entries."""
    every = tuple(entries)
    groups: dict[tuple[str, str], list[Entry]] = {("", ""): list(every)} if every else {}
    for entry in sorted(every, key=lambda each: (each.task, each.model)):
        if entry.task:
            groups.setdefault((entry.task, ""), []).append(entry)
        groups.setdefault((entry.task, entry.model), []).append(entry)
    return tuple(_cell(task, model, group) for (task, model), group in groups.items())


def _cell(task: str, model: str, group: Sequence[Entry]) -> Cell:
    graded = [entry for entry in group if entry.right is not None]
    right = sum(bool(entry.right) for entry in graded)
    p50, p95, p99 = np.percentile([entry.seconds for entry in group], [50, 95, 99])
    cost = sum(entry.cost for entry in group)

    def share(of: Callable[[Entry], bool]) -> float:
        return sum(of(entry) for entry in group) / len(group)

    return Cell(
        task=task,
        model=model,
        problems=len(group),
        graded=len(graded),
        accuracy=right / len(graded) if graded else None,
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        cost=cost,
        cost_of_right=sum(entry.cost for entry in graded) / right if right else None,
        escalated=share(lambda entry: entry.escalated),
        cached=share(lambda entry: entry.cached),
        marked=share(lambda entry: entry.marked),
    )
