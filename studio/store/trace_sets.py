"""The traces of a list, all of them by id and in its order, made by joining sets.

Each condition is asked once of an index or a narrow table, and its ids come as one text, so that a hundred thousand
cost milliseconds and no row is fetched under the interpreter's lock; numpy joins and orders them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Connection, Select, cast, func, select

from studio.store import batches
from studio.store.schema import annotation, rating, score, trace
from studio.store.trace_conditions import Ids, Part, part_of
from studio.store.trace_filter import Filter

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]
SCALE = 1e12  # scores are ordered by whole numbers of 1 / SCALE where equal ones must be known as equal


@dataclass(slots=True)
class Found:
    """Ids of traces, in the order of their list; what a condition needs to know of all of them is read once."""

    ids: Numbers
    _problems: Numbers | None = None

    def narrowed(self, c: Connection, wanted: Filter) -> Numbers:
        """Those for which a filter holds, in the same order. Raises FindError."""
        parts = [part_of(condition) for condition in wanted.conditions]
        holds: Mask = np.full(len(self.ids), not wanted.any_of)
        for part in parts:
            if wanted.any_of:
                holds |= self._of(c, part)
            elif holds.any():
                holds &= self._of(c, part)
        kept: Numbers = self.ids[holds]
        return kept

    def _of(self, c: Connection, part: Part) -> Mask:
        of = self.ids if part.of is trace.c.id else self._problem_ids(c)
        named: Mask = np.zeros(_top(of), np.bool_)
        (ids,) = columns(c, part.ids)
        named[ids[ids < len(named)]] = True
        holds: Mask = named[of] != part.others
        return holds

    def _problem_ids(self, c: Connection) -> Numbers:
        if self._problems is None:
            ids, problems = columns(c, select(trace.c.id, trace.c.problem_id))
            of = np.zeros(max(_top(ids), _top(self.ids)), np.int64)
            of[ids] = problems
            self._problems = of[self.ids]
        return self._problems


def every(c: Connection, wanted: Select[Any]) -> Found:
    """The ids that a select gives, in its order."""
    (ids,) = columns(c, wanted)
    return Found(ids)


def sorted_with_problems(c: Connection, wanted: Select[Any]) -> Found:
    """The ids that a select over `trace` gives, sorted, with their problems."""
    ids, problems = columns(c, wanted.add_columns(trace.c.problem_id))
    of = np.zeros(_top(ids), np.int64)  # problems begin at 1
    of[ids] = problems
    kept = np.flatnonzero(of)
    return Found(kept, of[kept])


def columns(c: Connection, wanted: Ids) -> tuple[Numbers, ...]:
    """The columns of a select, all of them whole numbers; several columns must know every value."""
    rows = wanted.subquery()
    texts = c.execute(select(*(func.group_concat(column) for column in rows.c))).one()
    return tuple(np.fromstring(text, np.int64, sep=",") if text else np.zeros(0, np.int64) for text in texts)


def by_sample(c: Connection, ids: Numbers, log: int | None) -> Numbers:
    """The ids by log, sample (numbers by their value) and epoch; with `log` all of them are of that one."""
    t = trace.c
    wanted = select(t.id).order_by(t.log_id, func.length(t.sample), t.sample, t.epoch, t.id)
    (walk,) = columns(c, wanted if log is None else wanted.where(t.log_id == log))
    rank = np.zeros(max(_top(walk), _top(ids)), np.int64)
    rank[walk] = np.arange(len(walk))
    return ids[np.argsort(rank[ids], kind="stable")]


def by_lowest(c: Connection, ids: Numbers, *, sorted_: bool) -> Numbers:
    """The ids by the lowest score that any scorer gave to a step; those without one last, equal ones as they stand.

    With `sorted_` they stand by their number, as an index has equal scores; then no score itself is read.
    """
    of = select(score.c.trace_id).where(score.c.low.is_not(None), batches.seen(score.c.batch_id))
    if sorted_:
        (walk,) = columns(c, of.order_by(score.c.low, score.c.trace_id))
        return _by_key(ids, walk[::-1], np.arange(len(walk))[::-1])
    low = cast(score.c.low * SCALE, BigInteger)
    return _by_key(ids, *columns(c, of.add_columns(low).order_by(score.c.low.desc())))


def by_first_error(c: Connection, ids: Numbers, project: int | None) -> Numbers:
    """The ids by the first negative step of the submitted annotations; those without one last."""
    a = annotation.c
    errors = (
        select(a.trace_id, func.min(rating.c.ordinal).label("first"))
        .join(rating, a.id == rating.c.annotation_id)
        .where(a.state == "submitted", batches.seen(a.batch_id), rating.c.option == 0, rating.c.value == -1)
        .group_by(a.trace_id)
    )
    if project is not None:
        errors = errors.where(a.project_id == project)
    return _by_key(ids, *columns(c, errors))


def _by_key(ids: Numbers, of: Numbers, keys: Numbers) -> Numbers:
    """The ids by key, stable; of several keys of one id the last that is given counts, ids without one come last."""
    key = np.full(max(_top(of), _top(ids)), np.iinfo(np.int64).max)
    key[of] = keys
    return ids[np.argsort(key[ids], kind="stable")]


def _top(ids: Numbers) -> int:
    return int(ids.max()) + 1 if len(ids) else 0
