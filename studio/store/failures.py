"""Why traces are wrong: what the rules of `trainer.reasoning.failures` say, stored a row a trace and method."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select
from sqlalchemy.dialects.sqlite import insert

from studio.domain import Changes, Topic, changed, now
from studio.store import batches, traces
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.conversations import budget_of
from studio.store.scores import unpack
from trainer.reasoning.failures import LOW, NAME, VERSION, Basis, Case, Cause, Failure
from trainer.reasoning.segment import Span

CHUNK = 200  # traces that are read and stored at once
UNLOGGED = 0  # in place of a log: the traces that are of none


@dataclass(frozen=True, slots=True)
class Wrong:
    """Which traces are looked at: of a project, log and model; `ids` None: all of these that are wrong.

    With `ids` exactly these are looked at, right or wrong. `again` also those that this version has explained.
    """

    project: int | None = None
    log: int | None = None
    model: str = ""
    ids: tuple[int, ...] | None = None
    again: bool = False
    low: float = LOW

    @property
    def version(self) -> str:
        """Of the rules with their threshold."""
        return version_of(self.low)


@dataclass(frozen=True, slots=True)
class Explained:
    """A stored failure and the trace it belongs to; `stale`: the steps or the rules are others by now."""

    trace_id: int
    failure: Failure
    model: str
    steps: int
    method: str
    version: str
    stale: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """All failures of a project, and how many wrong traces nobody has looked at."""

    explained: tuple[Explained, ...]
    wrong: int

    @property
    def unseen(self) -> int:
        """Wrong traces without a cause."""
        return max(0, self.wrong - sum(not one.stale for one in self.explained))


def version_of(low: float) -> str:
    """The rules' version with their threshold."""
    return f"{VERSION}, below {low:g}"


def wanted(c: Connection, which: Wrong) -> tuple[int, ...]:
    """The ids of the traces to explain, in order."""
    if which.ids is not None:
        ids = tuple(dict.fromkeys(which.ids))
    else:
        ids = tuple(c.scalars(_wrong(which.project, which.log, which.model).order_by(s.trace.c.id)))
    if which.again:
        return ids
    f = i.failure.c
    current = select(s.segmentation.c.id).where(s.segmentation.c.current == 1)
    done = select(f.trace_id).where(f.method == NAME, f.version == which.version, f.segmentation_id.in_(current))
    known = set(c.scalars(done))
    return tuple(trace_id for trace_id in ids if trace_id not in known)


def cases(c: Connection, ids: Sequence[int]) -> Iterator[tuple[int, int, Case]]:
    """Trace id, segmentation id and case of each of these traces that may be seen."""
    bad, labels, scores = _rated_bad(c, ids), _newest(c, s.machine_label, ids), _newest(c, s.score, ids)
    t = s.trace.c
    rows = c.execute(select(t.id, t.budget).where(t.id.in_(ids)))
    ended = {row.id: budget_of(row.budget).ended for row in rows}
    for trace in traces.load_many(c, ids):
        yield (
            trace.id,
            trace.segmentation.id,
            Case(
                text=trace.text,
                steps=tuple(Span(step.start, step.end) for step in trace.segmentation.steps),
                problem=trace.problem.prompt,
                answer=trace.answer,
                reference=trace.problem.reference_answer,
                outcome=trace.outcome,
                ended=ended.get(trace.id, ""),
                messages=trace.messages,
                rated_bad=bad.get(trace.id),
                labels=labels.get(trace.id, ()),
                scores=scores.get(trace.id, ()),
            ),
        )


def store(c: Connection, found: Iterable[tuple[int, int, Failure]], *, low: float = LOW) -> Changes:
    """Keep failures by trace id and segmentation id; an older word of the same method gives way."""
    moment, version = now(), version_of(low)
    rows = [
        {"trace_id": trace_id, "segmentation_id": segmentation_id, "method": NAME, "version": version, "at": moment}
        | {"cause": failure.cause.value, "step": failure.step, "basis": failure.basis.value}
        | {"start": failure.start, "end": failure.end, "quote": failure.quote, "why": failure.why}
        for trace_id, segmentation_id, failure in found
    ]
    if rows:
        made = insert(i.failure)
        kept = {name: made.excluded[name] for name in rows[0] if name not in ("trace_id", "method")}
        c.execute(made.on_conflict_do_update(index_elements=["trace_id", "method"], set_=kept), rows)
    return changed(Topic.FAILURES)


def standing(c: Connection, project: int | None = None, log: int | None = None) -> Standing:
    """Every failure of a project and log (None: all), by trace, and how many wrong traces there are.

    Log UNLOGGED: of the traces that are of none.
    """
    length = select(func.count()).where(s.step.c.segmentation_id == s.segmentation.c.id).scalar_subquery()
    query = (
        select(i.failure, s.trace.c.model, s.segmentation.c.current, length.label("steps"))
        .join(s.trace, s.trace.c.id == i.failure.c.trace_id)
        .join(s.segmentation, s.segmentation.c.id == i.failure.c.segmentation_id)
        .where(batches.visible(s.trace.c.batch_id))
        .order_by(i.failure.c.trace_id)
    )
    if project is not None:
        query = query.where(i.failure.c.trace_id.in_(_of_project(project)))
    if log is not None:
        query = query.where(_of_log(log))
    explained = tuple(map(_explained, c.execute(query)))
    wrong = c.scalar(select(func.count()).select_from(_wrong(project, log).subquery()))
    return Standing(explained, int(wrong or 0))


def of_trace(c: Connection, trace_id: int) -> Failure | None:
    """Why a trace is wrong, None where nobody has looked."""
    row = c.execute(select(i.failure).where(i.failure.c.trace_id == trace_id, i.failure.c.method == NAME)).first()
    return None if row is None else _failure(row)


def _explained(row: Row[*tuple[object, ...]]) -> Explained:
    stale = not row.current or not row.version.startswith(f"{VERSION}, ")
    return Explained(row.trace_id, _failure(row), row.model, row.steps, row.method, row.version, stale)


def _failure(row: Row[*tuple[object, ...]]) -> Failure:
    return Failure(Cause(row.cause), row.step, Basis(row.basis), row.start, row.end, row.quote, row.why)


def _wrong(project: int | None, log: int | None = None, model: str = "") -> Select[tuple[int]]:
    """Ids of traces whose outcome is wrong, or that have none and a step that a person rated bad."""
    t, a = s.trace.c, s.annotation.c
    rated = (
        select(s.rating.c.annotation_id)
        .join(s.annotation, a.id == s.rating.c.annotation_id)
        .where(a.trace_id == t.id, a.state == "submitted", batches.visible(a.batch_id))
        .where(s.rating.c.option == 0, s.rating.c.value == -1)
    )
    query = select(t.id).where(batches.visible(t.batch_id), or_(t.outcome == 0, t.outcome.is_(None) & rated.exists()))
    if project is not None:
        query = query.where(t.id.in_(_of_project(project)))
    if log is not None:
        query = query.where(_of_log(log))
    return query if not model else query.where(t.model == model)


def _of_log(log: int) -> ColumnElement[bool]:
    return s.trace.c.log_id.is_(None) if log == UNLOGGED else s.trace.c.log_id == log


def _of_project(project: int) -> Select[tuple[int]]:
    p = s.project_trace.c
    return select(p.trace_id).where(p.project_id == project, batches.visible(p.batch_id))


def _rated_bad(c: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Position of the first negative step of submitted annotations."""
    a = s.annotation.c
    query = (
        select(a.trace_id, func.min(s.rating.c.ordinal).label("step"))
        .join(s.rating, s.rating.c.annotation_id == a.id)
        .where(a.trace_id.in_(ids), a.state == "submitted", batches.visible(a.batch_id))
        .where(s.rating.c.option == 0, s.rating.c.value == -1)
        .group_by(a.trace_id)
    )
    return {row.trace_id: row.step for row in c.execute(query)}


def _newest(c: Connection, table: object, ids: Sequence[int]) -> dict[int, tuple[float | None, ...]]:
    """The newest packed values of the current steps of each trace."""
    t = table.c  # type: ignore[attr-defined]
    query = (
        select(t.trace_id, t.data)
        .join(s.segmentation, s.segmentation.c.id == t.segmentation_id)
        .where(t.trace_id.in_(ids), s.segmentation.c.current == 1, batches.visible(t.batch_id))
        .order_by(t.id)
    )
    return {row.trace_id: unpack(row.data) for row in c.execute(query)}
