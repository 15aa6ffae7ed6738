"""The append-only history: what was done, what can be undone, and the state that follows from it.

An entry's `old` and `new` say what it changed, before and after: `{"fields": {column of annotation: value, ...}}` and,
when a rating changed, `"rating": {"value", "unsure", "flagged"}` or None for no rating. Applying `old` takes the entry
back. An undo is an entry of its own that reverts another one, a redo one that reverts an undo: nothing is ever deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, exists, func, insert, select

from studio.domain import AnnotationState, Entry
from studio.store import batches
from studio.store import schema as s

# The columns of `annotation` that people change, with the value of an annotation that holds nothing.
FIELDS: dict[str, Any] = {
    "state": AnnotationState.VOID.value,
    "finish_reason": None,
    "reason": None,
    "total_time_ms": None,
    "submitted_at": None,
    "comment": None,
    "current_step": 0,
    "guideline_version": None,
}
POSITIONS = ("current_step",)  # where a person stood is no content
_PASSING = (*POSITIONS, "total_time_ms")  # kept as somebody leaves a trace: looking is no deed
RATING = ("value", "unsure", "flagged")

_EMPTY = ("annotator_id", "project_id", "trace_id", "annotation_id", "ordinal", "option", "reverts", "shown_ms")

_append = insert(s.history)
_h = s.history
_later = s.history.alias("later")
_own = and_(_h.c.annotator_id == bindparam("annotator"), _h.c.project_id == bindparam("project"))
_not_reverted = ~exists().where(_later.c.reverts == _h.c.id)
_nobody_else = ~exists().where(
    _later.c.annotation_id == _h.c.annotation_id,
    _later.c.id > _h.c.id,
    _later.c.annotator_id.is_distinct_from(_h.c.annotator_id),
    _later.c.verb == _h.c.verb,
    _later.c.ordinal.is_not_distinct_from(_h.c.ordinal),
    _later.c.option.is_not_distinct_from(_h.c.option),
)
_last_do = (  # not max(): that would read all that this person ever did
    select(_later.c.id)
    .where(
        _later.c.annotator_id == bindparam("annotator"),
        _later.c.project_id == bindparam("project"),
        _later.c.role == "do",
    )
    .order_by(_later.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_newest_first = select(_h).where(_own, _not_reverted, _nobody_else).order_by(_h.c.id.desc()).limit(1)
_undoable = _newest_first.where(_h.c.role.in_(("do", "redo")))
_redoable = _newest_first.where(_h.c.role == "undo", _h.c.id > func.coalesce(_last_do, 0))
_timeline = select(_h).where(_h.c.annotation_id == bindparam("annotation")).order_by(_h.c.id)


@dataclass(slots=True)
class State:
    """Fields and ratings of one annotation, as replayed."""

    fields: dict[str, Any] = field(default_factory=lambda: dict(FIELDS))
    ratings: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)

    def apply(self, entry: Entry) -> None:
        """Bring in what the entry changed."""
        self.fields.update(entry.new.get("fields", {}))
        if "rating" in entry.new and entry.ordinal is not None and entry.option is not None:
            if entry.new["rating"] is None:
                self.ratings.pop((entry.ordinal, entry.option), None)
            else:
                self.ratings[entry.ordinal, entry.option] = entry.new["rating"]


def append(c: Connection, **values: Any) -> Entry:  # noqa: ANN401 - the columns of `history`
    """Write one entry; columns not named are empty."""
    row: dict[str, Any] = dict.fromkeys(_EMPTY) | {"device": "", "old": {}, "new": {}} | values
    key = c.execute(_append, row).inserted_primary_key
    assert key is not None
    return Entry(id=int(key[0]), **row)


def timeline(c: Connection, annotation_id: int) -> tuple[Entry, ...]:
    """All that was done to one annotation, oldest first."""
    return tuple(map(_entry, c.execute(_timeline, {"annotation": annotation_id})))


def undoable(c: Connection, annotator_id: int, project_id: int) -> Entry | None:
    """This person's newest deed in the project that is not taken back and that nobody else has changed since."""
    return _one(c, _undoable, annotator_id, project_id)


def redoable(c: Connection, annotator_id: int, project_id: int) -> Entry | None:
    """This person's newest undo that is not taken back and behind which they have done nothing new."""
    return _one(c, _redoable, annotator_id, project_id)


def replay(entries: Iterable[Entry]) -> State:
    """The state of an annotation made here, from its history alone."""
    state = State()
    for entry in entries:
        state.apply(entry)
    return state


def stored(c: Connection, annotation_id: int) -> State:
    """The state of an annotation as its tables have it."""
    columns = [s.annotation.c[name] for name in FIELDS]
    fields = c.execute(select(*columns).where(s.annotation.c.id == annotation_id)).one()
    ratings = c.execute(select(s.rating).where(s.rating.c.annotation_id == annotation_id))
    return State(
        dict(fields._mapping),
        {(row.ordinal, row.option): {name: row._mapping[name] for name in RATING} for row in ratings},
    )


def differences(c: Connection) -> tuple[str, ...]:
    """Annotations made here whose tables and history disagree, in words; none in a sound workspace."""
    found = []
    for row in c.execute(select(s.annotation.c.id, s.annotation.c.revision).where(s.annotation.c.batch_id.is_(None))):
        entries = timeline(c, row.id)
        told, kept = replay(entries), stored(c, row.id)
        for name in _PASSING:
            told.fields.pop(name), kept.fields.pop(name)
        if told != kept:
            found.append(f"annotation {row.id}: the history says {told}, the tables {kept}")
        if row.revision != len(entries):
            found.append(f"annotation {row.id}: revision {row.revision}, but {len(entries)} entries")
    return tuple(found)


def content_hash(c: Connection) -> str:
    """sha256 of all that people said, without revisions, positions and the history itself."""
    digest = hashlib.sha256()
    a = s.annotation.c
    kept = [column for column in a if column.name not in ("revision", *POSITIONS)]
    real = and_(a.state != AnnotationState.VOID, batches.visible(a.batch_id))
    for rows in (
        select(*kept).where(real).order_by(a.id),
        select(s.rating)
        .join(s.annotation, a.id == s.rating.c.annotation_id)
        .where(real)
        .order_by(*s.rating.primary_key),
        select(s.project_trace).order_by(*s.project_trace.primary_key),
    ):
        for row in c.execute(rows):
            digest.update(json.dumps(list(row), default=str).encode() + b"\n")
    return digest.hexdigest()


def _one(c: Connection, statement: Select[*tuple[Any, ...]], annotator_id: int, project_id: int) -> Entry | None:
    row = c.execute(statement, {"annotator": annotator_id, "project": project_id}).first()
    return None if row is None else _entry(row)


def _entry(row: Row[*tuple[Any, ...]]) -> Entry:
    values = dict(row._mapping)
    return Entry(**values | {"old": values["old"] or {}, "new": values["new"] or {}})
