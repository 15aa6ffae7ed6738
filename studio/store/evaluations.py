"""The results table: what evaluations found, by model, suite, strategy and compute, and the samples behind a cell.

Of a problem that was evaluated several times with equal settings the newest run counts. Figures and intervals are those
of `trainer.reasoning.evaluation`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select

from studio.errors import NotFoundError
from studio.store import batches
from studio.store import schema as s
from studio.store.schema_reason import evaluation as e
from studio.store.schema_reason import evaluation_problem as p
from trainer.contract.specs.evaluate import Chosen, Suite, figure_of
from trainer.reasoning import evaluation as figures
from trainer.reasoning.evaluation import BudgetPoint, Comparison, Tried
from trainer.reasoning.metrics import Interval

CHOSEN = -1
"""The sample number of what a strategy chose."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a cell is about; two runs with equal keys fill the same cell. `budget` None = no cap on thinking."""

    suite: str
    model: str
    version: str
    prm: str
    strategy: str
    compute: str
    budget: int | None


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


@dataclass(slots=True)
class _Problem:
    """The rows of one problem in one cell."""

    row: str
    samples: list[Row[Any]] = field(default_factory=list)
    chosen: Row[Any] | None = None

    @property
    def tried(self) -> list[Tried]:
        return [
            Tried(_bool(one.correct), int(one.detail.get("group", figures.NO_GROUP)), one.detail.get("score"))
            for one in self.samples
        ]


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
    found = [_cell(key, problems) for key, problems in _grouped(c, conditions)]
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
    conditions = [_is(column, value) for column, value in _columns(key) if column is not e.c.budget]
    points = []
    for each, found in _grouped(c, conditions):
        thought = [np.mean([one.thinking_tokens for one in problem.samples]) for problem in found]
        cut = [np.mean([one.truncated for one in problem.samples]) for problem in found]
        points.append(figures.budget_point(each.budget, _values(each, found), thought, cut))
    return tuple(sorted(points, key=lambda point: point.thinking_tokens))


def _of(c: Connection, key: Key) -> list[_Problem]:
    for _, found in _grouped(c, [_is(column, value) for column, value in _columns(key)]):
        return found
    raise NotFoundError(f"there is no evaluation of {key.model or key.prm} on {key.suite} with these settings")


def _columns(key: Key) -> tuple[tuple[ColumnElement[Any], Any], ...]:
    return tuple((e.c[name], getattr(key, name)) for name in Key.__dataclass_fields__)


def _is(column: ColumnElement[Any], value: object) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _grouped(c: Connection, conditions: Sequence[ColumnElement[bool]]) -> Iterator[tuple[Key, list[_Problem]]]:
    """Cells with their problems; of each problem the rows of its newest run."""
    names = tuple(Key.__dataclass_fields__)
    for values, rows in itertools.groupby(
        c.execute(_query(conditions)), lambda row: tuple(getattr(row, name) for name in names)
    ):
        found: list[_Problem] = []
        for _, of_problem in itertools.groupby(rows, lambda row: row.problem_id):
            newest: int | None = None
            for row in of_problem:
                if newest is None:
                    newest = row.run_id
                    found.append(_Problem(row.row))
                if row.run_id != newest:
                    continue
                if row.sample == CHOSEN:
                    found[-1].chosen = row
                else:
                    found[-1].samples.append(row)
        yield Key(*values), found


def _query(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    keys = [e.c[name] for name in Key.__dataclass_fields__]
    shown = [column for column in e.c if column.name not in ("id", "record", "batch_id")]
    return (
        select(*shown, p.c.row, s.run.c.uid.label("run"), s.run.c.id.label("run_id"), s.trace.c.uid.label("trace_uid"))
        .join(p, p.c.id == e.c.problem_id)
        .join(s.batch, s.batch.c.id == e.c.batch_id)
        .outerjoin(s.run, s.run.c.id == s.batch.c.run_id)
        .outerjoin(s.trace, s.trace.c.id == e.c.trace_id)
        .where(and_(batches.visible(e.c.batch_id), *conditions))
        .order_by(*keys, e.c.problem_id, s.run.c.id.desc(), e.c.sample)
    )


def _values(key: Key, found: Sequence[_Problem]) -> NDArray[np.float64]:
    """What each problem counts [problems], NaN where that could not be decided."""
    if key.strategy != Chosen.SINGLE:
        grades = [None if one.chosen is None else one.chosen.correct for one in found]
        return np.array([np.nan if grade is None else float(grade) for grade in grades], np.float64)
    tried = [one.tried for one in found]
    if key.suite == Suite.ARC and min((len(one) for one in tried), default=0) > 1:
        return figures.passes(tried, 2)
    return figures.passes(tried, 1)


def _cell(key: Key, found: Sequence[_Problem]) -> Cell:
    samples = [row for one in found for row in one.samples]
    others = figures.all_figures([one.tried for one in found]) if key.suite not in _JUDGED else {}
    name, value = _main(key, found)
    spending = samples or [one.chosen for one in found if one.chosen is not None]
    return Cell(
        key=key,
        figure=name,
        value=value,
        figures={each: figures.mean_interval(values) for each, values in others.items()},
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


_JUDGED = tuple(suite.value for suite in Suite if suite.judges_prm)


def _main(key: Key, found: Sequence[_Problem]) -> tuple[str, Interval]:
    """The figure that the table shows, with its name."""
    details = [one.samples[0].detail for one in found if one.samples]
    if key.suite == Suite.PROCESSBENCH:
        columns = [[detail[name] for detail in details] for name in ("predicted", "labelled", "subset")]
        return figure_of(key.suite), figures.process_bench_interval(*columns)
    if key.suite == Suite.PRMBENCH:
        hits = [detail_hits(detail) for detail in details if detail["counts"]]
        return figure_of(key.suite), figures.prm_score_interval(hits)
    name = figure_of(key.suite) if key.strategy == Chosen.SINGLE else key.strategy
    if name == "pass@2" and min((len(one.samples) for one in found), default=0) < 2:
        name = "pass@1"
    return name, figures.mean_interval(_values(key, found))


def detail_hits(detail: Mapping[str, Any]) -> tuple[int, int, int]:
    """Right steps called right, wrong called wrong, and missed, of a PRMBench row: a digit a step, "-" = no score."""
    pairs = [(truth, call) for truth, call in zip(detail["truth"], detail["called"], strict=True) if call != "-"]
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


def _bool(grade: int | None) -> bool | None:
    return None if grade is None else bool(grade)


def _sample(row: Row[Any]) -> Sample:
    return Sample(
        number=row.sample,
        answer=row.answer,
        correct=_bool(row.correct),
        strict=_bool(row.strict),
        lenient=_bool(row.lenient),
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
