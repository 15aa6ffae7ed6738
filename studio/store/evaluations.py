"""The results table: what evaluations found, by model, suite, strategy and compute, and the samples behind a cell.

Of a problem that was evaluated several times with equal settings the newest run counts. Figures and intervals are those
of `trainer.reasoning.evaluation`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, select

from studio.errors import NotFoundError
from studio.store import schema as s
from studio.store.evaluation_rows import COLUMNS, Key, Problem, as_grade, conditions_of, grouped, is_
from studio.store.schema_reason import evaluation as e
from studio.store.schema_reason import evaluation_problem as p
from trainer.contract.specs.evaluate import Chosen, Suite, figure_of
from trainer.reasoning import evaluation as figures
from trainer.reasoning.benchmarks import ORIGINAL, prm_bench_columns, step_classes
from trainer.reasoning.evaluation import BudgetPoint, Comparison
from trainer.reasoning.metrics import Interval

TASKS_SOLVED, TASKS_SHARE = "tasks solved", "mean over tasks"
"""ARC-AGI: tasks of which every test input is right; the mean over tasks of the share of their inputs."""
UNSCORED = "-"  # stands for a step without a score


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of the results table with its interval over problems; `figures` are the others, by name.

    Shares lie in [0, 1]. `undecided` samples could not be graded, in `differ` the strict and the lenient grader differ.
    Tokens are means over samples; `tokens`, `prm_calls`, `seconds` and `cost` are sums; `runs` are uids, newest first.
    """

    key: Key
    figure: str
    value: Interval
    figures: Mapping[str, Interval]
    problems: int
    samples: int
    undecided: int
    differ: int
    strict: float
    lenient: float
    thinking_tokens: float
    answer_tokens: float
    truncated: float
    tokens: int
    prm_calls: int
    seconds: float
    cost: float
    runs: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a problem, with the trace to open; `number` -1 is what the strategy chose."""

    number: int
    answer: str | None
    correct: bool | None
    strict: bool | None
    lenient: bool | None
    thinking_tokens: int
    answer_tokens: int
    truncated: bool
    seed: int
    why: str
    detail: Mapping[str, Any]
    trace_id: int | None
    trace_uid: str
    run: str

    @property
    def graders_differ(self) -> bool:
        """Whether one grader calls it right and the other does not."""
        return self.strict != self.lenient


@dataclass(frozen=True, slots=True)
class Solved:
    """A problem of a cell: its share of right samples (None: nothing could be graded) and the samples, chosen first."""

    row: str
    prompt: str
    reference: str | None
    share: float | None
    samples: tuple[Sample, ...]


def cells(
    c: Connection, *, suites: Collection[str] = (), models: Collection[str] = (), runs: Collection[str] = ()
) -> tuple[Cell, ...]:
    """Every cell of these suites, models (names) and runs (uids), newest first; empty means all."""
    conditions: list[ColumnElement[bool]] = []
    if suites:
        conditions.append(e.c.suite.in_(suites))
    if models:
        conditions.append(e.c.model.in_(models))
    if runs:
        conditions.append(s.run.c.uid.in_(runs))
    found = [_cell(key, problems) for key, problems in grouped(c, conditions)]
    order = {uid: place for place, uid in enumerate(c.scalars(select(s.run.c.uid).order_by(s.run.c.id.desc())))}
    return tuple(sorted(found, key=lambda cell: order.get(cell.runs[0], len(order)) if cell.runs else len(order)))


def cell(c: Connection, key: Key) -> Cell:
    """One cell. Raises NotFoundError."""
    return _cell(key, _of(c, key))


def problems(c: Connection, key: Key) -> tuple[Solved, ...]:
    """The problems behind a cell in the order of their rows, with every sample. Raises NotFoundError."""
    found = _of(c, key)
    prompts = {row.row: row for row in c.execute(select(p).where(p.c.suite == key.suite))}
    values = _values(key, found)
    return tuple(
        Solved(
            row=one.row,
            prompt=prompts[one.row].prompt,
            reference=prompts[one.row].reference,
            share=None if value != value else float(value),
            samples=tuple(_sample(each) for each in ([one.chosen] if one.chosen else []) + one.samples),
        )
        for one, value in zip(found, values, strict=True)
    )


def differing(c: Connection, key: Key) -> tuple[Solved, ...]:
    """The problems in which the strict and the lenient grader differ, with those samples alone."""
    found = []
    for one in problems(c, key):
        samples = tuple(each for each in one.samples if each.graders_differ)
        if samples:
            found.append(Solved(one.row, one.prompt, one.reference, one.share, samples))
    return tuple(found)


def compare(c: Connection, left: Key, right: Key) -> Comparison:
    """Two cells of one suite on the problems of both. Raises NotFoundError where they share none."""
    sides = []
    for key in (left, right):
        found = _of(c, key)
        sides.append(dict(zip((one.row for one in found), _values(key, found).tolist(), strict=True)))
    try:
        return figures.compare(*sides)
    except ValueError as error:
        raise NotFoundError(f"{left.model} and {right.model} on {left.suite}: {error}") from error


def budget_curve(c: Connection, key: Key) -> tuple[BudgetPoint, ...]:
    """Accuracy against thinking over the cells that differ from `key` in the budget alone, by tokens thought."""
    conditions = [is_(e.c[name], getattr(key, name)) for name in COLUMNS if name != "budget"]
    points = []
    for each, found in grouped(c, conditions):
        if each.settings != key.settings:
            continue
        thought = [np.mean([one.thinking_tokens for one in problem.samples]) for problem in found]
        cut = [np.mean([one.truncated for one in problem.samples]) for problem in found]
        points.append(figures.budget_point(each.budget, _values(each, found), thought, cut))
    return tuple(sorted(points, key=lambda point: point.thinking_tokens))


def _of(c: Connection, key: Key) -> list[Problem]:
    for each, found in grouped(c, conditions_of(key)):
        if each == key:
            return found
    raise NotFoundError(f"there is no evaluation of {key.model or key.prm} on {key.suite} with these settings")


def _values(key: Key, found: Sequence[Problem]) -> NDArray[np.float64]:
    """What each problem counts [problems], NaN where that could not be decided."""
    if key.strategy != Chosen.SINGLE:
        grades = [None if one.chosen is None else one.chosen.correct for one in found]
        return np.array([np.nan if grade is None else float(grade) for grade in grades], np.float64)
    tried = [one.tried for one in found]
    if key.suite == Suite.ARC and min((len(one) for one in tried), default=0) > 1:
        return figures.passes(tried, 2)
    return figures.passes(tried, 1)


def _cell(key: Key, found: Sequence[Problem]) -> Cell:
    samples = [row for one in found for row in one.samples]
    name, value = _main(key, found)
    spending = samples or [one.chosen for one in found if one.chosen is not None]
    return Cell(
        key=key,
        figure=name,
        value=value,
        figures=_others(key, found),
        problems=len(found),
        samples=len(samples),
        undecided=sum(row.correct is None for row in samples),
        differ=sum(row.strict != row.lenient for row in samples),
        strict=_share(row.strict for row in samples),
        lenient=_share(row.lenient for row in samples),
        thinking_tokens=_mean([row.thinking_tokens for row in samples]),
        answer_tokens=_mean([row.answer_tokens for row in samples]),
        truncated=_mean([row.truncated for row in samples]),
        tokens=sum(row.tokens for row in spending),
        prm_calls=sum(row.prm_calls for row in spending),
        seconds=sum(row.seconds for row in spending),
        cost=sum(row.cost for row in spending),
        runs=_newest_first(samples),
        seeds=tuple(sorted({row.seed for row in samples})),
    )


def _others(key: Key, found: Sequence[Problem]) -> dict[str, Interval]:
    """The figures beside the main one, by name."""
    if key.suite == Suite.PROCESSBENCH:
        return _subsets(found)
    if key.suite == Suite.PRMBENCH:
        return _categories(found)
    values = figures.all_figures([one.tried for one in found])
    if key.suite == Suite.ARC:
        tasks = [str(one.detail.get("task", one.row)) for one in found]
        inputs = [int(one.detail.get("inputs", 1)) for one in found]
        by_task = figures.by_task(_values(key, found), tasks, inputs)
        values |= {TASKS_SOLVED: by_task.solved, TASKS_SHARE: by_task.share}
    return {name: figures.mean_interval(each) for name, each in values.items()}


def _subsets(found: Sequence[Problem]) -> dict[str, Interval]:
    """ProcessBench: F1 by subset."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        groups.setdefault(str(one.detail["subset"]), []).append(one.detail)
    return {name: _first_errors(details) for name, details in sorted(groups.items())}


def _categories(found: Sequence[Problem]) -> dict[str, Interval]:
    """PRMBench: the columns of its table, without intervals; then F1 of the right and of the wrong steps over all."""
    pairs: dict[str, list[tuple[bool, bool]]] = {}
    for one in found:
        steps = zip(one.detail["truth"], one.detail["called"], strict=True)
        known = [(truth == "1", call == "1") for truth, call in steps if call != UNSCORED]
        pairs.setdefault(str(one.detail["category"]), []).extend(known)
    counted = {name: some for name, some in pairs.items() if name != ORIGINAL}
    whole = step_classes([pair for some in counted.values() for pair in some])
    values = prm_bench_columns({name: step_classes(some) for name, some in counted.items()})
    values |= {"F1": whole.f1, "F1 of wrong steps": whole.f1_wrong}
    if ORIGINAL in pairs:
        values["unchanged steps called right"] = step_classes(pairs[ORIGINAL]).accuracy
    nothing = float("nan")
    return {name: Interval(value, nothing, nothing, 0, len(found)) for name, value in values.items() if value == value}


def _main(key: Key, found: Sequence[Problem]) -> tuple[str, Interval]:
    """The figure that the table shows, with its name."""
    details = [one.detail for one in found]
    if key.suite == Suite.PROCESSBENCH:
        return figure_of(key.suite), _first_errors(details)
    if key.suite == Suite.PRMBENCH:
        hits = [detail_hits(detail) for detail in details if detail["counts"]]
        return figure_of(key.suite), figures.prm_score_interval(hits)
    name = figure_of(key.suite) if key.strategy == Chosen.SINGLE else key.strategy
    if name == "pass@2" and min((len(one.samples) for one in found), default=0) < 2:
        name = "pass@1"
    return name, figures.mean_interval(_values(key, found))


def _first_errors(details: Sequence[Mapping[str, Any]]) -> Interval:
    columns = [[detail[name] for detail in details] for name in ("predicted", "labelled", "subset")]
    return figures.process_bench_interval(*columns)


def detail_hits(detail: Mapping[str, Any]) -> tuple[int, int, int]:
    """Right steps called right, wrong called wrong, and missed, of a PRMBench row: a digit a step, "-" = no score."""
    pairs = [(truth, call) for truth, call in zip(detail["truth"], detail["called"], strict=True) if call != UNSCORED]
    right = sum(truth == call == "1" for truth, call in pairs)
    wrong = sum(truth == call == "0" for truth, call in pairs)
    return right, wrong, len(pairs) - right - wrong


def _newest_first(samples: Sequence[Row[Any]]) -> tuple[str, ...]:
    runs = {row.run_id: row.run for row in samples if row.run_id is not None}
    return tuple(runs[each] for each in sorted(runs, reverse=True))


def _share(grades: Iterator[int | None]) -> float:
    return _mean([grade for grade in grades if grade is not None])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _sample(row: Row[Any]) -> Sample:
    return Sample(
        number=row.sample,
        answer=row.answer,
        correct=as_grade(row.correct),
        strict=as_grade(row.strict),
        lenient=as_grade(row.lenient),
        thinking_tokens=row.thinking_tokens,
        answer_tokens=row.answer_tokens,
        truncated=bool(row.truncated),
        seed=row.seed,
        why=row.why,
        detail=row.detail,
        trace_id=row.trace_id,
        trace_uid=row.trace_uid or "",
        run=row.run or "",
    )
