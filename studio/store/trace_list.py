"""Lists of traces: which, how many, and one page of them. `studio.store.traces` gives these names too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePath
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, and_, case, exists, func, select
from sqlalchemy.sql.elements import ColumnElement

from studio.domain import TraceRow
from studio.store import batches, find, trace_sets
from studio.store.conversations import budget_of
from studio.store.schema import annotation, log, problem, project_trace, rating, score, segmentation, step, trace
from studio.store.trace_filter import PROBLEM_FIELDS, Filter
from studio.store.trace_sets import Numbers
from trainer.contract.records import FinishReason

TITLE_LENGTH = 160
_CHUNK = 500  # ids in one IN (...)


class TraceOrder(StrEnum):
    """How a list of traces is sorted."""

    POSITION = "position"  # as they stand in the project
    NEWEST = "newest"
    SAMPLE = "by sample and epoch"
    LOW_SCORE = "lowest score first"
    FIRST_ERROR = "earliest error first"


class ErrorFilter(StrEnum):
    """Which traces by the first negative step of a submitted annotation."""

    ANY = ""
    FOUND = "error found"
    NONE = "rated without error"
    UNRATED = "unrated"


class OutcomeFilter(StrEnum):
    """Which traces by whether the answer is right."""

    ANY = ""
    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "undecided"


@dataclass(frozen=True, slots=True)
class LogRow:
    """A log with how many traces of it there are, and how many are right and wrong."""

    id: int
    name: str
    traces: int
    right: int
    wrong: int


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Which traces, in which order. `text` is found as in `studio.store.find`."""

    project: int | None = None
    text: str = ""
    finish: FinishReason | None = None
    annotator: int | None = None
    first_error: ErrorFilter = ErrorFilter.ANY
    order: TraceOrder = TraceOrder.POSITION
    log: int | None = None
    outcome: OutcomeFilter = OutcomeFilter.ANY
    model: str = ""
    filter: Filter = Filter()


def logs(c: Connection) -> tuple[LogRow, ...]:
    """Every log that has traces, the newest first."""
    t = trace.c
    query = (
        select(log.c.id, log.c.path, func.count().label("traces"))
        .add_columns(func.sum(case((t.outcome == 1, 1), else_=0)).label("right"))
        .add_columns(func.sum(case((t.outcome == 0, 1), else_=0)).label("wrong"))
        .join(log, log.c.id == t.log_id)
        .where(batches.visible(t.batch_id))
        .group_by(log.c.id)
        .order_by(log.c.id.desc())
    )
    return tuple(LogRow(row.id, PurePath(row.path).stem, row.traces, row.right, row.wrong) for row in c.execute(query))


def models(c: Connection) -> tuple[str, ...]:
    """The names of the models that wrote traces, in order."""
    query = select(trace.c.model).where(trace.c.model != "", batches.visible(trace.c.batch_id)).distinct()
    return tuple(c.scalars(query.order_by(trace.c.model)))


def count(c: Connection, query: TraceQuery) -> int:
    """How many traces the query has. Raises FindError for a condition that cannot be asked."""
    if query == TraceQuery(project=query.project, order=query.order):
        return _count_all(c, query.project)
    return len(all_ids(c, replace(query, order=TraceOrder.POSITION)))


@dataclass(frozen=True, slots=True)
class Head:
    """How many traces a list has, its first ones, and the ids of all of them."""

    count: int
    rows: tuple[TraceRow, ...]
    ids: Numbers = field(compare=False, repr=False)


def head(c: Connection, query: TraceQuery, *, limit: int) -> Head:
    """The beginning of a list and the ids of all of it; what narrows it is asked once. Raises FindError."""
    found = all_ids(c, query)
    return Head(len(found), rows_of(c, found[:limit].tolist(), query.project), found)


def all_ids(c: Connection, query: TraceQuery) -> Numbers:
    """The ids of all traces of a query, in its order. Raises FindError for a condition that cannot be asked."""
    wanted = _wanted(query)
    if query.project is not None:
        found = trace_sets.every(c, wanted.order_by(project_trace.c.position))
    elif any(condition.field in PROBLEM_FIELDS for condition in query.filter.conditions):
        found = trace_sets.sorted_with_problems(c, wanted)
    else:
        found = trace_sets.every(c, wanted)
        found.ids.sort()
    narrowed = found.narrowed(c, query.filter) if query.filter else found.ids
    if query.order is TraceOrder.NEWEST:
        return np.sort(narrowed)[::-1]
    if query.order is TraceOrder.SAMPLE:
        return trace_sets.by_sample(c, narrowed, query.log)
    if query.order is TraceOrder.LOW_SCORE:
        return trace_sets.by_lowest(c, narrowed, sorted_=query.project is None)
    if query.order is TraceOrder.FIRST_ERROR:
        return trace_sets.by_first_error(c, narrowed, query.project)
    return narrowed


def rows_of(c: Connection, ids: Sequence[int], project: int | None = None) -> tuple[TraceRow, ...]:
    """The lines of these traces, in this order; of one that has gone meanwhile there is none."""
    found: dict[int, TraceRow] = {}
    for start in range(0, len(ids), _CHUNK):
        found |= _row_chunk(c, ids[start : start + _CHUNK], project)
    return tuple(found[i] for i in ids if i in found)


def _count_all(c: Connection, project: int | None) -> int:
    table = trace if project is None else project_trace
    everything = select(func.count()).select_from(table)
    if project is not None:
        everything = everything.where(project_trace.c.project_id == project)
    unseen = everything.where(table.c.batch_id.in_(batches.hidden()))
    return int(c.scalar(everything) or 0) - int(c.scalar(unseen) or 0)


def rows(c: Connection, query: TraceQuery, *, limit: int, offset: int = 0) -> tuple[TraceRow, ...]:
    """One page of a list of traces. Not for the labelling screen: it tells what others found."""
    if query.filter or query.order not in (TraceOrder.POSITION, TraceOrder.NEWEST):
        page = all_ids(c, query)[offset : offset + limit].tolist()
    else:
        position, wanted = (trace.c.id if query.project is None else project_trace.c.position), _wanted(query)
        newest = trace.c.id if query.project is None else project_trace.c.trace_id
        wanted = wanted.order_by(position if query.order is TraceOrder.POSITION else newest.desc())
        page = list(c.scalars(wanted.limit(limit).offset(offset)))
    return rows_of(c, page, query.project)


def _wanted(query: TraceQuery) -> Select[Any]:
    """The ids of a query without its filter. Skipping over a page touches no trace."""
    trace_id: ColumnElement[int] = trace.c.id
    if query.project is None:
        wanted = select(trace_id.label("id")).where(batches.seen(trace.c.batch_id))
    else:
        trace_id = project_trace.c.trace_id
        wanted = select(trace_id.label("id")).where(project_trace.c.project_id == query.project)
        wanted = wanted.where(batches.seen(project_trace.c.batch_id))
    wanted = _by_source(wanted, trace_id, query)
    if query.text:
        wanted = wanted.where(trace_id.in_(find.matching(query.text)))
    return _by_annotations(wanted, trace_id, query)


def _by_source(wanted: Select[Any], trace_id: ColumnElement[int], query: TraceQuery) -> Select[Any]:
    """Narrowed by what indexes and narrow tables hold: no row with its text is read."""
    t = trace.c
    conditions: list[ColumnElement[bool]] = []
    if query.log is not None:
        conditions.append(t.log_id == query.log)
    if query.model:
        conditions.append(t.model == query.model)
    if query.outcome is not OutcomeFilter.ANY:
        said = {OutcomeFilter.RIGHT: t.outcome == 1, OutcomeFilter.WRONG: t.outcome == 0}
        conditions.append(said.get(query.outcome, t.outcome.is_(None)))
    if not conditions or query.project is None:
        return wanted.where(*conditions)
    return wanted.where(trace_id.in_(select(t.id).where(*conditions)))


def _by_annotations(wanted: Select[Any], trace_id: ColumnElement[int], query: TraceQuery) -> Select[Any]:
    a = annotation.c
    of_trace = [a.trace_id == trace_id, batches.visible(a.batch_id)]
    if query.project is not None:
        of_trace.append(a.project_id == query.project)
    if query.annotator is not None:
        of_trace.append(a.annotator_id == query.annotator)
        wanted = wanted.where(exists().where(*of_trace))
    if query.finish is not None:
        wanted = wanted.where(exists().where(*of_trace, a.finish_reason == query.finish.value))
    negative = exists().where(
        *of_trace, a.state == "submitted", rating.c.annotation_id == a.id, rating.c.option == 0, rating.c.value == -1
    )
    submitted = exists().where(*of_trace, a.state == "submitted")
    if query.first_error is ErrorFilter.FOUND:
        return wanted.where(negative)
    if query.first_error is ErrorFilter.NONE:
        return wanted.where(submitted, ~negative)
    if query.first_error is ErrorFilter.UNRATED:
        return wanted.where(~submitted)
    return wanted


def _row_chunk(c: Connection, ids: Sequence[int], project: int | None) -> dict[int, TraceRow]:
    current = and_(segmentation.c.trace_id == trace.c.id, segmentation.c.current == 1)
    lowest = (
        select(func.min(score.c.low)).where(score.c.trace_id == trace.c.id).where(batches.visible(score.c.batch_id))
    )
    counted = select(func.count()).where(step.c.segmentation_id == segmentation.c.id).scalar_subquery()
    query = (
        select(trace.c.id, trace.c.uid, func.substr(problem.c.prompt, 1, TITLE_LENGTH).label("title"))
        .add_columns(problem.c.reference_answer, func.coalesce(segmentation.c.steps, counted).label("steps"))
        .add_columns(lowest.scalar_subquery().label("low"))
        .add_columns(trace.c.sample, trace.c.epoch, trace.c.model, trace.c.outcome, trace.c.budget, log.c.path)
        .outerjoin(log, log.c.id == trace.c.log_id)
        .join(problem, problem.c.id == trace.c.problem_id)
        .join(segmentation, current)
        .where(trace.c.id.in_(ids))
    )
    told = _annotated(c, ids, project)
    projects = _projects(c, ids)
    nothing = _Told(0, None)
    return {
        row.id: TraceRow(
            row.id,
            row.uid,
            row.title,
            row.steps,
            row.reference_answer,
            told.get(row.id, nothing).annotations,
            told.get(row.id, nothing).first_error,
            row.low,
            tuple(projects.get(row.id, ())),
            PurePath(row.path).stem if row.path else "",
            row.sample or "",
            row.epoch,
            row.model,
            row.outcome,
            (budget := budget_of(row.budget)).used,
            budget.ended,
        )
        for row in c.execute(query)
    }


@dataclass(frozen=True, slots=True)
class _Told:
    annotations: int
    first_error: int | None


def _annotated(c: Connection, ids: Sequence[int], project: int | None) -> dict[int, _Told]:
    a = annotation.c
    negative = and_(rating.c.annotation_id == a.id, rating.c.option == 0, rating.c.value == -1)
    query = (
        select(a.trace_id, func.count(a.id.distinct()).label("annotations"), func.min(rating.c.ordinal).label("error"))
        .outerjoin(rating, negative)
        .where(a.trace_id.in_(ids), a.state == "submitted", batches.visible(a.batch_id))
        .group_by(a.trace_id)
    )
    if project is not None:
        query = query.where(a.project_id == project)
    return {row.trace_id: _Told(row.annotations, row.error) for row in c.execute(query)}


def _projects(c: Connection, ids: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    query = select(project_trace.c.trace_id, project_trace.c.project_id).where(project_trace.c.trace_id.in_(ids))
    for trace_id, project_id in c.execute(query):
        found.setdefault(trace_id, []).append(project_id)
    return found
