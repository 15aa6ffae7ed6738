"""Bookmarks: stretches of traces that people marked, with or without words and tags.

A bookmark holds code points and the text between them. Steps do not matter to it, so other steps leave it where it is;
where the text has changed it is found again by its quote, and one whose quote is gone says so. Every word is in the
append-only history: undo and redo write entries that revert another one, and a removed bookmark can come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, exists, func, insert, or_, select, update

from studio.domain import Changes, Entry, Topic, changed, new_uid, now
from studio.errors import ConflictError, NotFoundError
from studio.store import batches, history
from studio.store import schema as s
from studio.store.schema_inspect import bookmark
from trainer.reasoning.segment import Span

VERB = "bookmark"
KEPT, REMOVED = "kept", "removed"
FIELDS = ("state", "comment", "tags")


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A marked stretch; `start`, `end` are where it was made, `author` who made it, as far as known."""

    id: int
    uid: str
    trace_id: int
    trace_uid: str
    annotator_id: int | None
    start: int
    end: int
    quote: str
    comment: str
    tags: tuple[str, ...]
    state: str
    author: str
    created_at: str
    changed_at: str

    def span_in(self, text: str) -> Span | None:
        """Where it stands in this text; None when its quote is not there any more."""
        return anchored(text, self.start, self.end, self.quote)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: the bookmark as it is now, its entry (None: no change), and what changed."""

    bookmark: Bookmark
    entry: Entry | None
    changes: Changes


def anchored(text: str, start: int, end: int, quote: str) -> Span | None:
    """The stretch that reads `quote`: where it was, else the nearest one."""
    if text[start:end] == quote:
        return Span(start, end)
    before, after = text.rfind(quote, 0, start + len(quote)), text.find(quote, start)
    found = [place for place in (before, after) if place >= 0]
    if not quote or not found:
        return None
    nearest = min(found, key=lambda place: abs(place - start))
    return Span(nearest, nearest + len(quote))


def of_trace(c: Connection, trace_id: int) -> tuple[Bookmark, ...]:
    """The bookmarks of a trace in the order of its text."""
    b = bookmark.c
    query = _query().where(b.trace_id == trace_id, b.state == KEPT).order_by(b.start, b.id)
    return tuple(map(_bookmark, c.execute(query)))


def every(c: Connection, *, text: str = "", limit: int = 500) -> tuple[Bookmark, ...]:
    """The bookmarks of all traces, the newest first; `text`: in its words, quote or tags."""
    b = bookmark.c
    query = _query().where(b.state == KEPT).order_by(b.id.desc()).limit(limit)
    if text.strip():
        said = f"%{_escaped(text.strip())}%"
        each = func.json_each(b.tags).table_valued("value")
        tagged = exists().select_from(each).where(each.c.value.like(said, escape="\\"))
        query = query.where(or_(b.comment.like(said, escape="\\"), b.quote.like(said, escape="\\"), tagged))
    return tuple(map(_bookmark, c.execute(query)))


def count(c: Connection) -> int:
    """How many there are."""
    seen = select(func.count()).select_from(bookmark.join(s.trace, s.trace.c.id == bookmark.c.trace_id))
    return int(c.scalar(seen.where(bookmark.c.state == KEPT, batches.visible(s.trace.c.batch_id))) or 0)


def tags(c: Connection) -> tuple[str, ...]:
    """Every tag in use, in order."""
    found = c.scalars(select(bookmark.c.tags).where(bookmark.c.state == KEPT))
    return tuple(sorted({tag for each in found for tag in each}))


def get(c: Connection, bookmark_id: int) -> Bookmark:
    """One bookmark, also a removed one. Raises NotFoundError."""
    row = c.execute(_query().where(bookmark.c.id == bookmark_id)).first()
    if row is None:
        raise NotFoundError(f"there is no bookmark {bookmark_id} in this workspace; reload the list")
    return _bookmark(row)


def add(
    c: Connection,
    trace_id: int,
    start: int,
    end: int,
    annotator_id: int,
    *,
    comment: str = "",
    tags: Sequence[str] = (),
) -> Done:
    """Mark code points [start, end) of a trace. Raises NotFoundError and ConflictError."""
    text = c.scalar(select(s.trace.c.text).where(s.trace.c.id == trace_id))
    if text is None:
        raise NotFoundError(f"there is no trace {trace_id} in this workspace; reload the list")
    if not 0 <= start < end <= len(text):
        raise ConflictError(f"[{start}, {end}) is no stretch of a trace of {len(text)} characters")
    key = store(c, trace_id, start, end, text[start:end], annotator_id=annotator_id)
    new = {"state": KEPT, "comment": comment.strip(), "tags": clean_tags(tags)}
    return _write(c, get(c, key), new, annotator_id)


def change(
    c: Connection, bookmark_id: int, annotator_id: int, *, comment: str | None = None, tags: Sequence[str] | None = None
) -> Done:
    """Say other words or tags. Raises NotFoundError."""
    known = get(c, bookmark_id)
    new = {
        "state": known.state,
        "comment": known.comment if comment is None else comment.strip(),
        "tags": list(known.tags) if tags is None else clean_tags(tags),
    }
    return _write(c, known, new, annotator_id)


def remove(c: Connection, bookmark_id: int, annotator_id: int) -> Done:
    """Take a bookmark away; undo brings it back. Raises NotFoundError."""
    known = get(c, bookmark_id)
    return _write(c, known, _said(known) | {"state": REMOVED}, annotator_id)


def undo(c: Connection, annotator_id: int) -> Done | None:
    """Take back this person's newest word on bookmarks that nobody has changed since; None when there is none."""
    return _revert(c, can_undo(c, annotator_id), annotator_id, "undo")


def redo(c: Connection, annotator_id: int) -> Done | None:
    """Do again what this person took back last, if they have done nothing new since; None otherwise."""
    return _revert(c, can_redo(c, annotator_id), annotator_id, "redo")


def can_undo(c: Connection, annotator_id: int) -> Entry | None:
    """What `undo` would take back."""
    return _newest(c, annotator_id, ("do", "redo"))


def can_redo(c: Connection, annotator_id: int) -> Entry | None:
    """What `redo` would do again."""
    return _newest(c, annotator_id, ("undo",))


def clean_tags(tags: Sequence[str]) -> list[str]:
    """Tags without blanks around them, each once, in the order given."""
    return list(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))


def store(
    c: Connection,
    trace_id: int,
    start: int,
    end: int,
    quote: str,
    *,
    annotator_id: int | None = None,
    uid: str = "",
    **said: Any,  # noqa: ANN401 - further columns of `bookmark`
) -> int:
    """Write a row that is not kept yet (of a file: as `said` says) and return its id."""
    moment = now()
    values = {"uid": uid or new_uid(), "trace_id": trace_id, "annotator_id": annotator_id, "start": start, "end": end}
    values |= {"quote": quote, "state": REMOVED, "tags": [], "created_at": moment, "changed_at": moment} | said
    key = c.execute(insert(bookmark).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _write(c: Connection, known: Bookmark, new: dict[str, Any], annotator_id: int) -> Done:
    old = _said(known)
    if old == new:
        return Done(known, None, Changes())
    c.execute(update(bookmark).where(bookmark.c.id == known.id).values(**new, changed_at=now()))
    entry = history.append(
        c,
        at=now(),
        annotator_id=annotator_id,
        trace_id=known.trace_id,
        role="do",
        verb=VERB,
        old={VERB: known.id} | old,
        new={VERB: known.id} | new,
    )
    return Done(get(c, known.id), entry, changed(Topic.BOOKMARKS, traces=(known.trace_id,)))


def _revert(c: Connection, entry: Entry | None, annotator_id: int, role: str) -> Done | None:
    if entry is None:
        return None
    key = entry.old[VERB]
    values = {name: entry.old[name] for name in FIELDS}
    c.execute(update(bookmark).where(bookmark.c.id == key).values(**values, changed_at=now()))
    written = history.append(
        c,
        at=now(),
        annotator_id=annotator_id,
        trace_id=entry.trace_id,
        role=role,
        verb=VERB,
        old=entry.new,
        new=entry.old,
        reverts=entry.id,
    )
    known = get(c, key)
    return Done(known, written, changed(Topic.BOOKMARKS, traces=(known.trace_id,)))


def _newest(c: Connection, annotator_id: int, roles: Sequence[str]) -> Entry | None:
    """This person's newest entry of these roles that is not reverted; None when others changed the bookmark since."""
    h, later = s.history.c, s.history.alias("later")
    own = and_(h.annotator_id == annotator_id, h.verb == VERB)
    open_ = ~exists().where(later.c.reverts == h.id)
    row = c.execute(select(s.history).where(own, open_, h.role.in_(roles)).order_by(h.id.desc()).limit(1)).first()
    if row is None:
        return None
    entry = Entry(**row._mapping)
    since = select(h.new).where(h.verb == VERB, h.id > entry.id, h.trace_id == entry.trace_id)
    others = since.where(h.annotator_id.is_distinct_from(annotator_id))
    if any(new.get(VERB) == entry.new.get(VERB) for new in c.scalars(others)):
        return None
    if "undo" in roles and c.scalar(select(h.id).where(own, h.role == "do", h.id > entry.id).limit(1)) is not None:
        return None
    return entry


def _said(known: Bookmark) -> dict[str, Any]:
    return {"state": known.state, "comment": known.comment, "tags": list(known.tags)}


def _query() -> Select[Any]:
    b = bookmark.c
    return (
        select(bookmark, s.trace.c.uid.label("trace_uid"), s.annotator.c.name.label("annotator_name"))
        .join(s.trace, s.trace.c.id == b.trace_id)
        .outerjoin(s.annotator, s.annotator.c.id == b.annotator_id)
        .where(batches.visible(s.trace.c.batch_id))
    )


def _bookmark(row: Row[Any]) -> Bookmark:
    values = dict(row._mapping)
    name = values.pop("annotator_name")
    return Bookmark(**values | {"tags": tuple(values["tags"]), "author": name or values["author"]})


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
