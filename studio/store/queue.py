"""Which trace an annotator gets next. Blind: nothing here says who else rated, or what.

A trace is in an annotator's queue until they submitted it, while fewer than the project's `overlap` people of this
workspace have (`project_trace.done`; imported annotations do not count) and while leases of others leave room.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, delete, exists, func, insert, select, update

from studio.domain import AnnotationState, now
from studio.errors import NotFoundError
from studio.store import batches
from studio.store import schema as s

LEASE = timedelta(minutes=60)

_a, _pt, _l = s.annotation.c, s.project_trace.c, s.lease.c
_own_lease = (
    _l.project_id == bindparam("of_project"),
    _l.trace_id == bindparam("of_trace"),
    _l.annotator_id == bindparam("of_annotator"),
)
_renew = (
    update(s.lease).where(*_own_lease, _l.expires_at < bindparam("soon")).values(expires_at=bindparam("expires_at"))
)
_release = delete(s.lease).where(*_own_lease)
_mine = (
    _a.project_id == bindparam("project"),
    _a.annotator_id == bindparam("annotator"),
    _a.kind == "rating",
    batches.visible(_a.batch_id),
)
_submitted_by_me = exists().where(*_mine, _a.trace_id == _pt.trace_id, _a.state == AnnotationState.SUBMITTED.value)
_leased_by_others = (
    select(func.count())
    .where(
        _l.project_id == bindparam("project"),
        _l.trace_id == _pt.trace_id,
        _l.annotator_id != bindparam("annotator"),
        _l.expires_at > bindparam("now"),
    )
    .scalar_subquery()
)
# A sum is in no index: so SQLite begins with the few rows of one person or batch, not with all of the project.
_project, _position, _done = _pt.project_id + 0, _pt.position + 0, _pt.done + 0
_half_rated = (
    select(_pt.trace_id, _pt.position)
    .join(s.annotation, (_a.trace_id == _pt.trace_id))
    .where(
        *_mine,
        _a.state == AnnotationState.OPEN.value,
        _pt.project_id == bindparam("project"),
        _position > bindparam("behind"),
        _done < bindparam("overlap"),
        batches.visible(_pt.batch_id),
    )
    .order_by(_position)
    .limit(bindparam("n", type_=Integer))
)
_fresh = (
    select(_pt.trace_id, _pt.position)
    .where(
        _pt.project_id == bindparam("project"),
        _pt.position > bindparam("behind"),
        _pt.done == bindparam("done"),
        batches.visible(_pt.batch_id),
        ~_submitted_by_me,
        _pt.done + _leased_by_others < bindparam("overlap"),
    )
    .order_by(_pt.position)
    .limit(bindparam("n", type_=Integer))
)
_project_overlap = select(s.project.c.overlap).where(s.project.c.id == bindparam("project"))
_place = select(_pt.position).where(_pt.project_id == bindparam("project"), _pt.trace_id == bindparam("trace"))

_open_traces = select(func.count()).where(_pt.project_id == bindparam("project"), _pt.done < bindparam("overlap"))
_open_hidden = select(func.count()).where(
    _project == bindparam("project"), _done < bindparam("overlap"), _pt.batch_id.in_(batches.hidden())
)
_my_submitted = (*_mine, _a.state == AnnotationState.SUBMITTED.value)
_open_of_mine = (
    select(func.count())
    .select_from(s.annotation)
    .join(s.project_trace, (_pt.trace_id == _a.trace_id) & (_pt.project_id == _a.project_id))
    .where(*_my_submitted, _done < bindparam("overlap"))
)
_today = select(func.count()).where(*_my_submitted, _a.batch_id.is_(None), _a.submitted_at >= bindparam("midnight"))


def next_trace(c: Connection, project_id: int, annotator_id: int, *, after: int | None = None) -> int | None:
    """The next trace for this annotator, lent to them for an hour; None when nothing is left.

    The first half-rated one of their own, else the first in the project's order. With `after` the search begins
    behind that trace and goes round, and that trace itself is not given. Needs a write transaction: what is found
    is lent in the same one.
    """
    found = upcoming(c, project_id, annotator_id, 1, after=after)
    if not found:
        return None
    c.execute(delete(s.lease).where(_l.project_id == project_id, _l.expires_at <= now()))
    key = {"of_project": project_id, "of_trace": found[0], "of_annotator": annotator_id}
    expires = _in(LEASE)
    if c.execute(_renew, key | {"soon": expires, "expires_at": expires}).rowcount == 0:
        values = {"project_id": project_id, "trace_id": found[0], "annotator_id": annotator_id}
        c.execute(insert(s.lease), values | {"expires_at": expires})
    return found[0]


def upcoming(c: Connection, project_id: int, annotator_id: int, n: int, *, after: int | None = None) -> tuple[int, ...]:
    """The next `n` traces as `next_trace` would give them, lent to nobody: for fetching ahead."""
    overlap = _overlap(c, project_id)
    given = {"project": project_id, "annotator": annotator_id, "now": now()}
    behind = None if after is None else c.scalar(_place, {"project": project_id, "trace": after})
    found: dict[int, None] = {}
    for start in (-1,) if behind is None else (behind, -1):
        for trace_id in _from(c, given | {"behind": start, "n": n + len(found) + 1}, overlap):
            if trace_id != after:
                found[trace_id] = None
            if len(found) == n:
                return tuple(found)
    return tuple(found)


def renew(c: Connection, project_id: int, trace_id: int, annotator_id: int) -> None:
    """Keep a trace lent while it is worked on; writes only when half of the time is over."""
    key = {"of_project": project_id, "of_trace": trace_id, "of_annotator": annotator_id}
    c.execute(_renew, key | {"soon": _in(LEASE / 2), "expires_at": _in(LEASE)})


def release(c: Connection, project_id: int, trace_id: int, annotator_id: int) -> None:
    """Give a lent trace back."""
    c.execute(_release, {"of_project": project_id, "of_trace": trace_id, "of_annotator": annotator_id})


def left(c: Connection, project_id: int, annotator_id: int) -> int:
    """How many traces this annotator's queue still has, whoever they are lent to now."""
    overlap = _overlap(c, project_id)
    given = {"project": project_id, "annotator": annotator_id, "overlap": overlap}
    mine = _open_of_mine
    if overlap == 1:  # whatever this person submitted here is done; only what they rated elsewhere can still be open
        mine = mine.where(_a.batch_id.is_not(None))
    return int(
        c.execute(_open_traces, given).scalar_one()
        - c.execute(_open_hidden, given).scalar_one()
        - c.execute(mine, given).scalar_one()
    )


def done_today(c: Connection, project_id: int, annotator_id: int) -> int:
    """How many traces this annotator submitted here since midnight, local time."""
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    since = _text(midnight.astimezone(UTC))
    return c.execute(_today, {"project": project_id, "annotator": annotator_id, "midnight": since}).scalar_one()


def _from(c: Connection, given: dict[str, Any], overlap: int) -> Iterator[int]:
    """Own half-rated traces behind a position, then fresh ones; these by their count of `done`, merged by position."""
    given = given | {"overlap": overlap}
    for row in c.execute(_half_rated, given):
        yield row.trace_id
    by_done = [c.execute(_fresh, given | {"done": done}).all() for done in range(overlap)]
    for row in heapq.merge(*by_done, key=lambda row: row.position):
        yield row.trace_id


def _overlap(c: Connection, project_id: int) -> int:
    overlap = c.scalar(_project_overlap, {"project": project_id})
    if overlap is None:
        raise NotFoundError(f"there is no project {project_id} in this workspace; reload the list of projects")
    return int(overlap)


def _in(span: timedelta) -> str:
    return _text(datetime.now(UTC) + span)


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
