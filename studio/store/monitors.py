"""Monitors and what they think of traces: which one counts, thresholds as a view of stored scores, all of it undoable.

A monitor never changes; of each kind (rules, classifier, judge) one at most is active. Newer rules replace older ones
by themselves, the first classifier and judge count at once, and a later one stays in the shadow until it is promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, and_, exists, func, insert, select, update

from studio.domain import Changes, Topic, changed, new_uid, now
from studio.errors import ConflictError, NotFoundError
from studio.store import batches, history
from studio.store import schema as s
from studio.store import schema_inspect as i
from trainer.contract.records import MonitorRef
from trainer.reasoning.safety import CATEGORIES, Bools, Codes, Floats, Gap, Thresholds
from trainer.reasoning.safety import decide as verdicts_of

COLUMNS = len(CATEGORIES)


class Kind(StrEnum):
    """What a monitor is made of."""

    RULES = "rules"
    CLASSIFIER = "classifier"
    JUDGE = "judge"


class MonitorState(StrEnum):
    """Whether a monitor's word counts."""

    SHADOW = "shadow"  # scores, and is compared, but decides nothing
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Monitor:
    """A version of a monitor, and how many traces it has scored."""

    id: int
    uid: str
    name: str
    kind: Kind
    version: str
    training: str
    state: MonitorState
    model_id: int | None
    summary: dict[str, Any]
    created_at: str
    traces: int = 0


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of n traces, by trace id ascending: [n, 7], NaN = not scored; gap codes [n]; quoted evidence [n, 7]."""

    trace_ids: NDArray[np.int64]
    scores: Floats
    gaps: Codes
    evidence: Bools

    def __len__(self) -> int:
        return len(self.trace_ids)

    def verdicts(self, thresholds: Thresholds) -> Codes:
        """Verdict codes [n] (see `trainer.reasoning.safety.VERDICTS`)."""
        return verdicts_of(self.scores, self.gaps, self.evidence, thresholds)

    def place_of(self, trace_id: int) -> int | None:
        """The row of a trace, None for one that was not scored."""
        place = int(np.searchsorted(self.trace_ids, trace_id))
        return place if place < len(self) and self.trace_ids[place] == trace_id else None

    def gap_of(self, place: int) -> Gap:
        """Why the trace of a row cannot be assessed whole."""
        return Gap.of(int(self.gaps[place]))

    def only(self, trace_ids: Sequence[int]) -> Scores:
        """Those of these traces."""
        keep = np.isin(self.trace_ids, np.asarray(trace_ids, np.int64))
        return Scores(self.trace_ids[keep], self.scores[keep], self.gaps[keep], self.evidence[keep])


@dataclass(frozen=True, slots=True)
class MonitorSteps:
    """What a monitor gave the steps of a trace: [steps, 7]."""

    monitor: Monitor
    segmentation_id: int
    values: Floats


def ensure(
    c: Connection, ref: MonitorRef, *, model_id: int | None = None, summary: dict[str, Any] | None = None
) -> int:
    """The id of this monitor, made when it is new; see the module for the state it begins in."""
    m = i.monitor.c
    same = and_(m.kind == ref.kind, m.name == ref.name, m.version == ref.version, m.training == ref.training)
    known = c.scalar(select(m.id).where(same))
    if known is not None:
        return int(known)
    kind = Kind(ref.kind)
    active = c.scalar(select(m.id).where(m.kind == kind.value, m.state == MonitorState.ACTIVE.value))
    counts = active is None or kind is Kind.RULES
    if kind is Kind.RULES and active is not None:
        _set_state(c, active, MonitorState.RETIRED)
    state = MonitorState.ACTIVE if counts else MonitorState.SHADOW
    values: dict[str, Any] = {
        "uid": new_uid(),
        "name": ref.name,
        "kind": kind.value,
        "version": ref.version,
        "training": ref.training,
    }
    values |= {"state": state.value, "model_id": model_id, "summary": summary or {}, "created_at": now()}
    key = c.execute(insert(i.monitor).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def all_of(c: Connection) -> tuple[Monitor, ...]:
    """Every monitor, newest first, with the number of published traces it scored."""
    m, score = i.monitor.c, i.monitor_score.c
    number = (
        select(func.count(score.trace_id.distinct()))
        .where(score.monitor_id == m.id, batches.visible(score.batch_id))
        .scalar_subquery()
    )
    query = select(i.monitor, number.label("traces")).order_by(m.id.desc())
    return tuple(_monitor(row) for row in c.execute(query))


def get(c: Connection, monitor_id: int) -> Monitor:
    """One monitor. Raises NotFoundError."""
    row = c.execute(select(i.monitor).where(i.monitor.c.id == monitor_id)).first()
    if row is None:
        raise NotFoundError(f"there is no monitor {monitor_id} in this workspace; reload the list")
    return _monitor(row)


def active_ids(c: Connection) -> tuple[int, ...]:
    """The monitors whose word counts."""
    m = i.monitor.c
    return tuple(c.scalars(select(m.id).where(m.state == MonitorState.ACTIVE.value).order_by(m.id)))


def scores(
    c: Connection,
    monitor_ids: Sequence[int] | None = None,
    *,
    project_id: int | None = None,
    trace_id: int | None = None,
    part: int = 0,
) -> Scores:
    """What these monitors (None: the active ones) say together: the highest score of each category.

    `part`: 0 hybrid, 1 thinking alone, 2 answer alone. Scores of older steps give way to those of newer ones.
    `trace_id`: of this trace alone.
    """
    wanted = active_ids(c) if monitor_ids is None else tuple(monitor_ids)
    m = i.monitor_score.c
    query = select(m.trace_id, m.monitor_id, m.gap, m.evidence, m.data).where(
        m.monitor_id.in_(wanted), batches.visible(m.batch_id)
    )
    if project_id is not None:
        p = s.project_trace.c
        query = query.where(m.trace_id.in_(select(p.trace_id).where(p.project_id == project_id)))
    if trace_id is not None:
        query = query.where(m.trace_id == trace_id)
    found = c.execute(query.order_by(m.monitor_id, m.trace_id, m.segmentation_id))
    return _combined(found.cursor.fetchall(), part)  # plain tuples: rows of 100,000 traces take twice as long


def of_trace(c: Connection, trace_id: int) -> tuple[tuple[Monitor, Scores], ...]:
    """Every monitor's scores of one trace, the active ones first."""
    found = []
    for monitor in sorted(all_of(c), key=lambda one: (one.state is not MonitorState.ACTIVE, -one.id)):
        mine = scores(c, (monitor.id,), trace_id=trace_id)
        if len(mine):
            found.append((monitor, mine))
    return tuple(found)


def steps_of(c: Connection, trace_id: int) -> tuple[MonitorSteps, ...]:
    """The step scores of a trace, by monitor and version of its steps, newest last."""
    p = i.monitor_steps.c
    query = select(p.monitor_id, p.segmentation_id, p.data).where(p.trace_id == trace_id, batches.visible(p.batch_id))
    return tuple(
        MonitorSteps(get(c, row.monitor_id), row.segmentation_id, unpack_steps(row.data))
        for row in c.execute(query.order_by(p.id))
    )


def unpack_steps(data: bytes) -> Floats:
    """Step scores [steps, 7] of a packed row."""
    return np.frombuffer(data, "<f2").astype(np.float32).reshape(-1, COLUMNS)


def pack_steps(values: Floats) -> bytes:
    """Step scores [steps, 7] as little-endian float16."""
    return np.asarray(values, "<f2").tobytes()


def promote(c: Connection, monitor_id: int, annotator_id: int) -> Changes:
    """Let a monitor's word count instead of the present one's of its kind. Raises NotFoundError, ConflictError."""
    monitor = get(c, monitor_id)
    if monitor.state is MonitorState.ACTIVE:
        raise ConflictError(f"monitor {monitor.name!r} counts already")
    m = i.monitor.c
    before = c.scalars(select(m.id).where(m.kind == monitor.kind.value, m.state == MonitorState.ACTIVE.value)).all()
    old = {str(one): MonitorState.ACTIVE.value for one in before} | {str(monitor_id): monitor.state.value}
    new = {str(one): MonitorState.RETIRED.value for one in before} | {str(monitor_id): MonitorState.ACTIVE.value}
    return _switch(c, old, new, annotator_id)


def roll_back(c: Connection, annotator_id: int, kind: Kind) -> Changes:
    """Take the last promotion of this kind back. Raises ConflictError for none, or where its monitors moved since."""
    h, later = s.history.c, s.history.alias("later")
    open_ = ~exists().where(later.c.reverts == h.id)
    query = select(s.history).where(h.verb == "monitor", h.role == "do", open_).order_by(h.id.desc())
    for row in c.execute(query):
        if any(get(c, int(one)).kind is kind for one in row.new):
            if any(get(c, int(one)).state.value != state for one, state in row.new.items()):
                raise ConflictError(f"a newer {kind.value} monitor counts since; promote the one that you want instead")
            return _switch(c, row.new, row.old, annotator_id, role="undo", reverts=row.id)
    raise ConflictError(f"no {kind.value} monitor was promoted here, so there is nothing to roll back to")


def _switch(
    c: Connection,
    old: dict[str, str],
    new: dict[str, str],
    annotator_id: int,
    **entry: Any,  # noqa: ANN401
) -> Changes:
    for monitor_id, state in new.items():
        _set_state(c, int(monitor_id), MonitorState(state))
    history.append(c, **{"role": "do", **entry}, at=now(), annotator_id=annotator_id, verb="monitor", old=old, new=new)
    return changed(Topic.MONITORS, Topic.FLAGS)


def _set_state(c: Connection, monitor_id: int, state: MonitorState) -> None:
    c.execute(update(i.monitor).where(i.monitor.c.id == monitor_id).values(state=state.value))


def _combined(rows: Sequence[tuple[Any, ...]], part: int) -> Scores:
    """Rows by monitor, trace and steps become one row a trace: maxima over monitors, of each its newest steps."""
    if not rows:
        empty = np.empty((0, COLUMNS))
        return Scores(np.empty(0, np.int64), empty.astype(np.float32), np.empty(0, np.uint8), empty.astype(np.bool_))
    ids, monitors, gaps, bits, data = zip(*rows, strict=True)
    trace, monitor = np.array(ids, np.int64), np.array(monitors, np.int64)
    last = np.append((trace[1:] != trace[:-1]) | (monitor[1:] != monitor[:-1]), True)
    trace = trace[last]
    values = np.frombuffer(b"".join(data), "<f4").reshape(len(rows), 3, COLUMNS)[last, part]
    gap = np.array(gaps, np.uint8)[last]
    found = (np.array(bits, np.int64)[last, None] >> np.arange(COLUMNS)) & 1
    if monitor[0] == monitor[-1]:  # one monitor: its traces are in order and each comes once
        return Scores(trace, values.astype(np.float32), gap, found.astype(np.bool_))
    kept, place = np.unique(trace, return_inverse=True)
    best = np.full((len(kept), COLUMNS), np.nan, np.float32)
    worst_gap, evidence = np.zeros(len(kept), np.uint8), np.zeros((len(kept), COLUMNS), np.bool_)
    np.fmax.at(best, place, values)
    np.maximum.at(worst_gap, place, gap)
    np.logical_or.at(evidence, place, found.astype(np.bool_))
    return Scores(kept, best, worst_gap, evidence)


def _monitor(row: Row[*tuple[Any, ...]]) -> Monitor:
    values = dict(row._mapping)
    return Monitor(**values | {"kind": Kind(row.kind), "state": MonitorState(row.state), "summary": row.summary or {}})
