"""The list of traces as a tree: logs, their samples, the epochs of a sample; counted from an index alone.

Traces that came with no log stand under one group, by problem. Everything follows the list's own query, so the tree
shows what the list shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, select

from studio.store import batches, trace_list
from studio.store.schema import log, problem, trace
from studio.store.schema_inspect import failure
from studio.store.trace_list import TITLE_LENGTH, TraceOrder, TraceQuery

OTHERS = 0  # the id of the group of traces without a log


@dataclass(frozen=True, slots=True)
class Tally:
    """How many traces, and how many of them are right and wrong."""

    traces: int
    right: int
    wrong: int

    def __str__(self) -> str:
        """ "12/40 right", or the number where nothing is graded."""
        return f"{self.right:,}/{self.traces:,} right" if self.right + self.wrong else f"{self.traces:,}"


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A log; `id` OTHERS: traces without one. `causes` count why its wrong traces failed, the most frequent first."""

    id: int
    name: str
    tally: Tally
    causes: tuple[tuple[str, int], ...]

    @property
    def unexplained(self) -> int:
        """Wrong traces whose failure nobody has looked for, or for which no cause was found."""
        return max(0, self.tally.wrong - sum(count for cause, count in self.causes if cause != "unknown"))

    @property
    def why(self) -> str:
        """ "why: loop 14 · cut off 9 · ? 11"; "" where nothing is wrong."""
        known = [f"{cause} {count:,}" for cause, count in self.causes if cause != "unknown"]
        rest = [f"? {self.unexplained:,}"] if self.unexplained else []
        return "why: " + " · ".join([*known, *rest]) if known or rest else ""


@dataclass(frozen=True, slots=True)
class SampleGroup:
    """A sample of a log, or (`sample` "") a problem; `first` is its first trace."""

    sample: str
    problem: int
    tally: Tally
    first: int
    outcome: int | None  # of a single trace


def logs(c: Connection, query: TraceQuery) -> tuple[LogGroup, ...]:
    """The logs of a query's traces, the newest first, then those without one."""
    t = trace.c
    within = _within(c, query)
    counted = _tallied(select(t.log_id), within).group_by(t.log_id)
    names = {row.id: PurePath(row.path).stem for row in c.execute(select(log.c.id, log.c.path))}
    causes: dict[int, list[tuple[str, int]]] = {}
    f = failure.c
    said = (
        select(t.log_id, f.cause, func.count().label("traces"))
        .join(trace, t.id == f.trace_id)
        .where(t.outcome == 0, within)
        .group_by(t.log_id, f.cause)
        .order_by(func.count().desc(), f.cause)
    )
    for row in c.execute(said):
        causes.setdefault(row.log_id or OTHERS, []).append((row.cause, row.traces))
    found = []
    for row in c.execute(counted):
        key = row.log_id or OTHERS
        tally = Tally(row.traces, row.right or 0, row.wrong or 0)
        found.append(LogGroup(key, names.get(key, "not of a log"), tally, tuple(causes.get(key, ()))))
    return tuple(sorted(found, key=lambda group: -group.id))


def samples(c: Connection, query: TraceQuery, log_id: int) -> tuple[SampleGroup, ...]:
    """The samples of a log in order (numbers by value), or the problems of the traces without one."""
    t = trace.c
    keys = (t.sample, t.problem_id)
    query_ = _tallied(
        select(*keys, func.min(t.id).label("first"), func.max(t.outcome).label("outcome")), _within(c, query)
    )
    query_ = query_.where(t.log_id.is_(None) if log_id == OTHERS else t.log_id == log_id).group_by(*keys)
    merged: dict[tuple[str, int], list[int | None]] = {}
    for row in c.execute(query_):
        key = (row.sample or "", 0 if row.sample else row.problem_id)
        one = merged.setdefault(key, [0, 0, 0, row.first, row.outcome])
        for at, count in enumerate((row.traces, row.right, row.wrong)):
            one[at] = (one[at] or 0) + (count or 0)
        one[3] = min(one[3] or row.first, row.first)
    order = sorted(merged, key=lambda key: (len(key[0]), key[0], merged[key][3]))
    return tuple(
        SampleGroup(
            key[0], key[1], Tally(one[0] or 0, one[1] or 0, one[2] or 0), one[3] or 0, one[4] if one[0] == 1 else None
        )
        for key in order
        for one in (merged[key],)
    )


def epochs(c: Connection, query: TraceQuery, log_id: int, group: SampleGroup) -> tuple[int, ...]:
    """The ids of a sample's traces, by epoch."""
    t = trace.c
    mine = [_within(c, query), t.log_id.is_(None) if log_id == OTHERS else t.log_id == log_id]
    mine.append(t.sample == group.sample if group.sample else and_(t.sample.is_(None), t.problem_id == group.problem))
    return tuple(c.scalars(select(t.id).where(*mine).order_by(t.epoch, t.id)))


def titles(c: Connection, problems: tuple[int, ...]) -> dict[int, str]:
    """The beginnings of problems."""
    p = problem.c
    query = select(p.id, func.substr(p.prompt, 1, TITLE_LENGTH).label("title")).where(p.id.in_(problems))
    return {row.id: row.title for row in c.execute(query)}


def _tallied(wanted: Select[Any], within: ColumnElement[bool]) -> Select[Any]:
    t = trace.c
    return (
        wanted.add_columns(func.count().label("traces"))
        .add_columns(func.sum(case((t.outcome == 1, 1), else_=0)).label("right"))
        .add_columns(func.sum(case((t.outcome == 0, 1), else_=0)).label("wrong"))
        .where(within)
    )


def _within(c: Connection, query: TraceQuery) -> ColumnElement[bool]:
    """That a trace is in the list, whose ids are found once and given as one text; all are counted without naming."""
    if query == TraceQuery(order=query.order):
        return batches.seen(trace.c.batch_id)
    found = trace_list.all_ids(c, replace(query, order=TraceOrder.POSITION))
    ids = func.json_each(f"[{','.join(map(str, found.tolist()))}]").table_valued("value")
    return trace.c.id.in_(select(ids.c.value))


@dataclass(frozen=True, slots=True)
class TreePath:
    """Where a trace stands in the tree."""

    log: int
    sample: str
    problem: int
    trace: int


def path_of(c: Connection, trace_id: int) -> TreePath | None:
    """Where a trace stands; None when there is none."""
    t = trace.c
    row = c.execute(select(t.log_id, t.sample, t.problem_id).where(t.id == trace_id)).first()
    if row is None:
        return None
    return TreePath(row.log_id or OTHERS, row.sample or "", 0 if row.sample else row.problem_id, trace_id)
