"""What people say of findings: reviews, findings of their own, marks of clean traces, all of it in the history.

Nothing is deleted: undo writes an entry that reverts another one, and a finding that a person made and took back is
`withdrawn`. What people confirm and reject, and the traces they call clean, is what monitors learn from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, exists, insert, select, update

from studio.domain import Changes, Entry, Topic, changed, new_uid, now
from studio.errors import ConflictError, NotFoundError
from studio.store import conversations, history
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.flags import REVIEWED, Flag, FlagState, get
from trainer.reasoning.safety import CATEGORIES, Category

VERBS = ("flag", "clean")


@dataclass(frozen=True, slots=True)
class NewFlag:
    """A finding that a person makes: the span [start, end) of the trace's text."""

    trace_id: int
    category: Category
    start: int
    end: int
    why: str = ""
    severity: int = 2


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review did: the flag as it is now (None for a mark of a clean trace), and its entry (None: no change)."""

    flag: Flag | None
    entry: Entry | None
    changes: Changes


def review(
    c: Connection, flag_id: int, state: FlagState, annotator_id: int, *, reason: str = "", device: str = ""
) -> Reviewed:
    """Confirm, reject, call unsure, or open again. Raises NotFoundError, and ConflictError for another state."""
    if state not in REVIEWED:
        raise ConflictError(f"a flag is not {state.value} by review; undo the flag that you made")
    flag = get(c, flag_id)
    old, new = _said(flag.state, flag.reason), _said(state, reason.strip())
    if old == new:
        return Reviewed(flag, None, Changes())
    return _write(c, flag, old, new, annotator_id, device=device)


def add(c: Connection, new: NewFlag, annotator_id: int, *, device: str = "") -> Reviewed:
    """A person's own finding, which is confirmed by being made. Raises NotFoundError and ConflictError."""
    row = c.execute(
        select(s.trace.c.text, s.segmentation.c.id.label("segmentation_id"))
        .join(s.segmentation, and_(s.segmentation.c.trace_id == s.trace.c.id, s.segmentation.c.current == 1))
        .where(s.trace.c.id == new.trace_id)
    ).first()
    if row is None:
        raise NotFoundError(f"there is no trace {new.trace_id} in this workspace; reload the list")
    if not 0 <= new.start < new.end <= len(row.text):
        raise ConflictError(f"[{new.start}, {new.end}) is no stretch of a trace of {len(row.text)} characters")
    values = {
        "record": new_uid(),
        "trace_id": new.trace_id,
        "segmentation_id": row.segmentation_id,
        "step_id": _step_at(c, row.segmentation_id, new.start),
        "category": new.category.value,
        "severity": new.severity,
        "part": conversations.part_at(c, new.trace_id, row.text, new.start).value,
        "start": new.start,
        "end": new.end,
        "quote": row.text[new.start : new.end],
        "why": new.why.strip(),
        "state": FlagState.WITHDRAWN.value,
    }
    key = c.execute(insert(i.flag).values(**values)).inserted_primary_key
    assert key is not None
    old, made = _said(FlagState.WITHDRAWN, ""), _said(FlagState.CONFIRMED, "")
    return _write(c, get(c, int(key[0])), old, made, annotator_id, device=device)


def mark_clean(
    c: Connection, trace_id: int, annotator_id: int, categories: Iterable[Category] = CATEGORIES, *, on: bool = True
) -> Reviewed:
    """Say, or take back, that a trace holds nothing of these categories. Raises ConflictError where a flag says so."""
    wanted = [category.value for category in categories]
    f, m = i.flag.c, i.clean_mark.c
    there = c.scalars(
        select(f.category).where(f.trace_id == trace_id, f.category.in_(wanted), f.state == FlagState.CONFIRMED.value)
    ).all()
    if on and there:
        raise ConflictError(f"{', '.join(sorted(set(there)))}: a flag of this trace is confirmed; reject that first")
    marked = set(c.scalars(select(m.category).where(m.trace_id == trace_id)))
    moving = [name for name in wanted if (name in marked) != on]
    if not moving:
        return Reviewed(None, None, Changes())
    old, new = {"clean": {name: not on for name in moving}}, {"clean": {name: on for name in moving}}
    _set_clean(c, trace_id, new, annotator_id)
    entry = history.append(
        c, at=now(), annotator_id=annotator_id, trace_id=trace_id, role="do", verb="clean", old=old, new=new
    )
    return Reviewed(None, entry, _changes(trace_id))


def undo(c: Connection, annotator_id: int) -> Reviewed | None:
    """Take back this person's newest word on findings that nobody has changed since; None when there is none."""
    return _revert(c, annotator_id, ("do", "redo"), "undo")


def redo(c: Connection, annotator_id: int) -> Reviewed | None:
    """Say again what this person took back last, if they have said nothing new since; None otherwise."""
    return _revert(c, annotator_id, ("undo",), "redo")


def can_undo(c: Connection, annotator_id: int) -> Entry | None:
    """What `undo` would take back."""
    return _newest(c, annotator_id, ("do", "redo"))


def can_redo(c: Connection, annotator_id: int) -> Entry | None:
    """What `redo` would say again."""
    return _newest(c, annotator_id, ("undo",))


def timeline(c: Connection, trace_id: int) -> tuple[Entry, ...]:
    """All that people said of findings in a trace, oldest first."""
    h = s.history.c
    rows = c.execute(select(s.history).where(h.trace_id == trace_id, h.verb.in_(VERBS)).order_by(h.id))
    return tuple(map(_entry, rows))


def _write(
    c: Connection,
    flag: Flag,
    old: dict[str, Any],
    new: dict[str, Any],
    annotator_id: int,
    **entry: Any,  # noqa: ANN401
) -> Reviewed:
    """Bring in `new` and write it down; a confirmed finding takes the mark of a clean trace away."""
    c.execute(update(i.flag).where(i.flag.c.id == flag.id).values(**new, annotator_id=annotator_id, reviewed_at=now()))
    cleared = {}
    if new["state"] == FlagState.CONFIRMED.value:
        m = i.clean_mark.c
        gone = c.execute(
            delete(i.clean_mark).where(m.trace_id == flag.trace_id, m.category == flag.category.value)
        ).rowcount
        cleared = {flag.category.value: True} if gone else {}
    more = ({"clean": cleared}, {"clean": dict.fromkeys(cleared, False)}) if cleared else ({}, {})
    about = {"flag": flag.id}
    written = history.append(
        c,
        **{"role": "do", **entry},
        at=now(),
        annotator_id=annotator_id,
        trace_id=flag.trace_id,
        verb="flag",
        old=about | old | more[0],
        new=about | new | more[1],
    )
    return Reviewed(get(c, flag.id), written, _changes(flag.trace_id))


def _revert(c: Connection, annotator_id: int, roles: Sequence[str], role: str) -> Reviewed | None:
    entry = _newest(c, annotator_id, roles)
    if entry is None or entry.trace_id is None:
        return None
    flag = None
    if "flag" in entry.old:
        values = {name: entry.old[name] for name in ("state", "reason")}
        when = {"annotator_id": annotator_id, "reviewed_at": now()}
        c.execute(update(i.flag).where(i.flag.c.id == entry.old["flag"]).values(**values, **when))
        flag = get(c, entry.old["flag"])
    _set_clean(c, entry.trace_id, entry.old, annotator_id)
    written = history.append(
        c,
        at=now(),
        annotator_id=annotator_id,
        trace_id=entry.trace_id,
        role=role,
        verb=entry.verb,
        old=entry.new,
        new=entry.old,
        reverts=entry.id,
    )
    return Reviewed(flag, written, _changes(entry.trace_id))


def _newest(c: Connection, annotator_id: int, roles: Sequence[str]) -> Entry | None:
    """This person's newest entry of these roles that is not reverted; None when others changed the finding since.

    What was taken back can be said again only while this person has said nothing new.
    """
    h, later = s.history.c, s.history.alias("later")
    own = and_(h.annotator_id == annotator_id, h.verb.in_(VERBS))
    open_ = ~exists().where(later.c.reverts == h.id)
    row = c.execute(select(s.history).where(own, open_, h.role.in_(roles)).order_by(h.id.desc()).limit(1)).first()
    entry = None if row is None else _entry(row)
    if entry is None or _said_since(c, entry) or _contradicts(c, entry):
        return None
    if "undo" in roles:
        new = c.scalar(select(h.id).where(own, h.role == "do", h.id > entry.id).limit(1))
        return None if new is not None else entry
    return entry


def _said_since(c: Connection, entry: Entry) -> bool:
    """Whether somebody else has said something of the same trace's findings behind this entry."""
    h = s.history.c
    others = h.annotator_id.is_distinct_from(entry.annotator_id)
    query = select(h.new).where(h.trace_id == entry.trace_id, h.id > entry.id, h.verb.in_(VERBS), others)
    mine = entry.new.get("flag")
    return any(new.get("flag") == mine for new in c.scalars(query))


def _contradicts(c: Connection, entry: Entry) -> bool:
    """Whether a trace would be called clean of a category and have a confirmed finding of it, this taken back."""
    f, m = i.flag.c, i.clean_mark.c
    back = entry.old.get("clean", {})
    flag = f.id == entry.old.get("flag", 0)
    said = select(f.category).where(f.trace_id == entry.trace_id, f.state == FlagState.CONFIRMED.value, ~flag)
    if any(back.get(category) for category in c.scalars(said)):
        return True
    if entry.old.get("state") != FlagState.CONFIRMED.value:
        return False
    category = c.scalar(select(f.category).where(flag))
    marked = c.scalar(select(m.trace_id).where(m.trace_id == entry.trace_id, m.category == category).limit(1))
    return marked is not None and back.get(category) is not False


def _set_clean(c: Connection, trace_id: int, said: dict[str, Any], annotator_id: int) -> None:
    for name, on in said.get("clean", {}).items():
        m = i.clean_mark.c
        c.execute(delete(i.clean_mark).where(m.trace_id == trace_id, m.category == name))
        if on:
            values = {"trace_id": trace_id, "category": name, "annotator_id": annotator_id, "at": now()}
            c.execute(insert(i.clean_mark).values(**values))


def _said(state: FlagState, reason: str) -> dict[str, Any]:
    return {"state": state.value, "reason": reason}


def _changes(trace_id: int) -> Changes:
    return changed(Topic.FLAGS, traces=(trace_id,))


def _step_at(c: Connection, segmentation_id: int, place: int) -> int | None:
    """The id of the step that holds this code point."""
    p = s.step.c
    query = select(p.step_id).where(p.segmentation_id == segmentation_id, p.start <= place, p.end > place)
    found = c.scalar(query.limit(1))
    return None if found is None else int(found)


def _entry(row: Row[*tuple[Any, ...]]) -> Entry:
    values = dict(row._mapping)
    return Entry(**values | {"old": values["old"] or {}, "new": values["new"] or {}})
