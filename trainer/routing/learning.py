"""A router learned from routes on which both models were asked: difficulty, confidence, thresholds for a target.

Everything that chooses the thresholds comes of models that had not seen the problem, so that they hold on others.
A learned router is a folder with `router.json` and `difficulty.json`; nothing in it is ever run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from trainer.contract.generated import RouteStep
from trainer.contract.records import RouteRecord
from trainer.contract.specs.route import RouteTarget
from trainer.reasoning.metrics import ece
from trainer.reasoning.routing import (
    Both,
    Chosen,
    Line,
    Thresholds,
    by_task,
    choose_for_accuracy,
    choose_for_cost,
    oracle,
    random_line,
)
from trainer.routing import confidence, difficulty
from trainer.routing.confidence import ConfidenceModel, Signals
from trainer.routing.difficulty import DifficultyModel, Example, Level, TooFewError
from trainer.routing.values import FAST, REASONING

FILE, DIFFICULTY_FILE = "router.json", "difficulty.json"


class RouterFileError(ValueError):
    """A router's folder that cannot be read; the message says which file and what to do."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The problems that thresholds are chosen on; columns of `trainer.reasoning.routing.Both`, [n] each."""

    before: tuple[float, ...]
    after: tuple[float, ...]
    fast_right: tuple[bool, ...]
    reasoning_right: tuple[bool, ...]
    fast_cost: tuple[float, ...]
    reasoning_cost: tuple[float, ...]
    tasks: tuple[str, ...]

    def both(self) -> Both:
        """As arrays."""
        before, after = np.array(self.before, np.float64), np.array(self.after, np.float64)
        fast_cost, reasoning_cost = np.array(self.fast_cost, np.float64), np.array(self.reasoning_cost, np.float64)
        fast_right, reasoning_right = np.array(self.fast_right, np.bool_), np.array(self.reasoning_right, np.bool_)
        return Both(before, after, fast_right, reasoning_right, fast_cost, reasoning_cost, self.tasks)


class LearnedRouter(msgspec.Struct, frozen=True, kw_only=True):
    """router.json. `unit` is what costs are counted in: "cost" by the price list, "seconds" where nothing is paid.

    The classifier of difficulty stands beside it in a file of its own, so that others can use it too.
    """

    name: str
    version: str
    fast: str
    reasoning: str
    unit: str
    confidence: ConfidenceModel
    table: Table
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Learned:
    """A learned router and its classifier of difficulty."""

    router: LearnedRouter
    difficulty: DifficultyModel


@dataclass(frozen=True, slots=True)
class Choices:
    """Thresholds by type of task ("" = all others), and whether the target was met on the problems learned from."""

    thresholds: dict[str, Thresholds]
    line: Line
    reached: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A problem that both models were asked, with both outcomes."""

    record: RouteRecord
    fast: RouteStep
    reasoning: RouteStep


def pairs_of(records: Sequence[RouteRecord]) -> tuple[Pair, ...]:
    """The routes on which both models were asked and graded; a problem that comes twice counts once."""
    found: dict[str, Pair] = {}
    for record in records:
        steps = {step.tier: step for step in (*record.asked, *record.audited)}
        fast, reasoning = steps.get(FAST), steps.get(REASONING)
        if fast and reasoning and fast.outcome is not None and reasoning.outcome is not None:
            found[record.problem] = Pair(record, fast, reasoning)
    return tuple(found.values())


def learn_router(records: Sequence[RouteRecord], name: str = "router", *, seed: int = 0) -> Learned:
    """Learn difficulty and confidence. Raises TooFewError."""
    pairs = pairs_of(records)
    if not pairs:
        raise TooFewError("no problem was answered by both models and graded; give rows with reference answers")
    groups = [pair.record.problem for pair in pairs]
    examples = [Example(pair.record.problem, _level(pair)) for pair in pairs]
    hard = difficulty.learn(examples, seed=seed)
    before = 1 - hard.held_out[:, 0]
    answered = [k for k, pair in enumerate(pairs) if pair.fast.answer is not None]
    sure = confidence.learn(
        [replace(Signals.named(pairs[k].fast.signals), before=float(before[k])) for k in answered],
        [pairs[k].fast.outcome == 1 for k in answered],
        [groups[k] for k in answered],
    )
    after = np.zeros(len(pairs))
    after[answered] = sure.held_out
    paid = any(pair.fast.worth.cost or pair.reasoning.worth.cost for pair in pairs)
    table = Table(
        before=tuple(before.tolist()),
        after=tuple(after.tolist()),
        fast_right=tuple(pair.fast.outcome == 1 for pair in pairs),
        reasoning_right=tuple(pair.reasoning.outcome == 1 for pair in pairs),
        fast_cost=tuple(cost_of(pair.fast, paid) for pair in pairs),
        reasoning_cost=tuple(cost_of(pair.reasoning, paid) for pair in pairs),
        tasks=tuple(pair.record.task for pair in pairs),
    )
    figures = {f"before_{key}": value for key, value in hard.model.figures.items()}
    figures |= {f"after_{key}": value for key, value in sure.model.figures.items()}
    figures["after_all_ece"] = ece(after, table.fast_right)
    made = LearnedRouter(
        name=name, version="", fast=pairs[0].fast.model, reasoning=pairs[0].reasoning.model,
        unit="cost" if paid else "seconds", confidence=sure.model, table=table, figures=figures,
    )  # fmt: skip
    version = hashlib.sha256(msgspec.json.encode((made, hard.model))).hexdigest()[:16]
    return Learned(msgspec.structs.replace(made, version=version), hard.model)


def choices(table: Table, target: RouteTarget, value: float) -> Choices:
    """Thresholds for a target: accuracy within `value` of the oracle's, or `value` of the reasoning model's cost."""
    both = table.both()
    choose: Callable[[Both], Chosen]
    if target is RouteTarget.ACCURACY:
        choose = partial(choose_for_accuracy, within=value)
    else:
        choose = partial(choose_for_cost, share=value)
    found = by_task(both, choose)
    return Choices({task: one.thresholds for task, one in found.items()}, found[""].line, found[""].reached)


def figures_of(table: Table, chosen: Choices) -> dict[str, float]:
    """The router against its lines on the problems that its thresholds were chosen on."""
    both, line = table.both(), chosen.line
    lines = {"router": line, "oracle": oracle(both), "random": random_line(both, line.escalated)}
    lines |= {"fast": random_line(both, 0.0), "reasoning": random_line(both, 1.0)}
    out = {f"{name}_{what}": getattr(each, what) for name, each in lines.items() for what in ("accuracy", "cost")}
    return out | {"escalated": line.escalated, "reached": float(chosen.reached), "problems": float(len(both))}


def cost_of(step: RouteStep, paid: bool) -> float:
    """What a step costs where the price list says so, else its seconds; a cached answer what it had cost."""
    return step.worth.cost if paid else step.worth.seconds


def save(learned: Learned, folder: Path) -> None:
    """Write the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DIFFICULTY_FILE).write_bytes(msgspec.json.encode(learned.difficulty))
    (folder / FILE).write_bytes(msgspec.json.encode(learned.router))


def load(folder: Path) -> Learned:
    """A router's folder. Raises RouterFileError."""
    path = folder / FILE
    try:
        router = msgspec.json.decode(path.read_bytes(), type=LearnedRouter)
        path = folder / DIFFICULTY_FILE
        return Learned(router, msgspec.json.decode(path.read_bytes(), type=DifficultyModel))
    except (OSError, msgspec.MsgspecError) as error:
        raise RouterFileError(f"{path} is no router that can be read: {error}; choose another, or learn one") from error


def _level(pair: Pair) -> Level:
    if pair.fast.outcome == 1:
        return Level.SIMPLE
    return Level.MEDIUM if pair.reasoning.outcome == 1 else Level.HARD
