"""Findings of monitors and people as they stand: of a trace, to review, counted; and what was said of them, to learn.

Findings are stored once and stay. What people say of them is written by `studio.store.flag_words`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from studio.errors import NotFoundError
from studio.store import batches
from studio.store import schema as s
from studio.store import schema_inspect as i
from trainer.contract.records import Said
from trainer.reasoning.safety import Category, Part
from trainer.reasoning.segment import Span


class FlagState(StrEnum):
    """What people say of a finding."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    UNSURE = "unsure"
    WITHDRAWN = "withdrawn"  # its finder took it back


REVIEWED = (FlagState.OPEN, FlagState.CONFIRMED, FlagState.REJECTED, FlagState.UNSURE)


@dataclass(frozen=True, slots=True)
class Flag:
    """A finding as it stands; `monitor` is empty for one that a person made."""

    id: int
    trace_id: int
    trace_uid: str
    step_id: int | None
    category: Category
    severity: int
    score: float
    part: Part
    start: int
    end: int
    quote: str
    why: str
    counterpart: Span | None
    monitor: str
    monitor_id: int | None
    state: FlagState
    reason: str
    annotator_id: int | None
    reviewed_at: str | None


def of_trace(c: Connection, trace_id: int, *, shadow: bool = False) -> tuple[Flag, ...]:
    """The findings of a trace in the order of its text; `shadow`: also those of monitors that do not count yet."""
    query = _flags(shadow).where(i.flag.c.trace_id == trace_id).order_by(i.flag.c.start, i.flag.c.id)
    return tuple(map(_flag, c.execute(query)))


def get(c: Connection, flag_id: int) -> Flag:
    """One finding. Raises NotFoundError."""
    row = c.execute(_flags(shadow=True, withdrawn=True).where(i.flag.c.id == flag_id)).first()
    if row is None:
        raise NotFoundError(f"there is no flag {flag_id} in this workspace; reload the list")
    return _flag(row)


def queue(
    c: Connection,
    *,
    states: Sequence[FlagState] = (FlagState.OPEN,),
    category: Category | None = None,
    project_id: int | None = None,
    monitor_id: int | None = None,
    limit: int = 500,
) -> tuple[Flag, ...]:
    """Findings to review: gravest first, then surest, then oldest. `monitor_id` may name one in the shadow."""
    f = i.flag.c
    query = _flags(shadow=monitor_id is not None).where(f.state.in_([state.value for state in states]))
    if category is not None:
        query = query.where(f.category == category.value)
    if monitor_id is not None:
        query = query.where(f.monitor_id == monitor_id)
    if project_id is not None:
        query = query.where(f.trace_id.in_(_of_project(project_id)))
    ordered = query.order_by(f.severity.desc(), f.score.desc(), f.id).limit(limit)
    return tuple(map(_flag, c.execute(ordered)))


def tallies(c: Connection, *, project_id: int | None = None) -> dict[tuple[Category, FlagState], int]:
    """How many findings of the monitors that count there are, by category and state."""
    f = i.flag.c
    query = select(f.category, f.state, func.count()).where(_seen(shadow=False)).group_by(f.category, f.state)
    if project_id is not None:
        query = query.where(f.trace_id.in_(_of_project(project_id)))
    return {(Category(row[0]), FlagState(row[1])): int(row[2]) for row in c.execute(query)}


def said_of(c: Connection, trace_ids: Sequence[int]) -> dict[int, tuple[Said, ...]]:
    """What people said of these traces, for a monitor to learn from; unsure and open findings say nothing."""
    f, m = i.flag.c, i.clean_mark.c
    found: dict[int, list[Said]] = {}
    decided = f.state.in_((FlagState.CONFIRMED.value, FlagState.REJECTED.value))
    flags = select(f.trace_id, f.category, f.state, f.start, f.end).where(f.trace_id.in_(trace_ids), decided)
    for row in c.execute(flags.order_by(f.id)):
        said = Said(row.category, row.state == FlagState.CONFIRMED.value, row.start, row.end)
        found.setdefault(row.trace_id, []).append(said)
    for mark in c.execute(select(m.trace_id, m.category).where(m.trace_id.in_(trace_ids)).order_by(m.category)):
        found.setdefault(mark.trace_id, []).append(Said(mark.category, False))
    return {trace_id: tuple(all_said) for trace_id, all_said in found.items()}


def _flags(shadow: bool, *, withdrawn: bool = False) -> Select[Any]:
    query = (
        select(i.flag, s.trace.c.uid.label("trace_uid"), i.monitor.c.name.label("monitor_name"))
        .join(s.trace, s.trace.c.id == i.flag.c.trace_id)
        .outerjoin(i.monitor, i.monitor.c.id == i.flag.c.monitor_id)
        .where(batches.visible(i.flag.c.batch_id))
    )
    if not shadow:
        query = query.where(counts())
    return query if withdrawn else query.where(i.flag.c.state != FlagState.WITHDRAWN.value)


def counts() -> ColumnElement[bool]:
    """Findings of people and of active monitors; of others those that somebody has confirmed."""
    active = select(i.monitor.c.id).where(i.monitor.c.state == "active")
    f = i.flag.c
    return or_(f.monitor_id.is_(None), f.monitor_id.in_(active), f.state == FlagState.CONFIRMED.value)


def _seen(*, shadow: bool) -> ColumnElement[bool]:
    seen = and_(batches.visible(i.flag.c.batch_id), i.flag.c.state != FlagState.WITHDRAWN.value)
    return seen if shadow else and_(seen, counts())


def _of_project(project_id: int) -> Select[Any]:
    return select(s.project_trace.c.trace_id).where(s.project_trace.c.project_id == project_id)


def _flag(row: Row[*tuple[Any, ...]]) -> Flag:
    return Flag(
        id=row.id,
        trace_id=row.trace_id,
        trace_uid=row.trace_uid,
        step_id=row.step_id,
        category=Category(row.category),
        severity=row.severity,
        score=row.score,
        part=Part(row.part),
        start=row.start,
        end=row.end,
        quote=row.quote,
        why=row.why,
        counterpart=None if row.other_start is None else Span(row.other_start, row.other_end),
        monitor=row.monitor_name or "",
        monitor_id=row.monitor_id,
        state=FlagState(row.state),
        reason=row.reason,
        annotator_id=row.annotator_id,
        reviewed_at=row.reviewed_at,
    )
