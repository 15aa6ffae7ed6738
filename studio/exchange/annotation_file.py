"""Bookmarks as span annotations of OpenInference (Phoenix's `{"data": [...]}`), out and in again without loss.

`span_id` is the one that a report in OTLP gives the trace, so that both can be loaded side by side. What such an
annotation has no field for (place, quote, tags) is in its metadata; an import finds the trace by its uid, and the
place by offsets and quote.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from studio.domain import Changes, Topic, changed
from studio.errors import StoreError
from studio.store import batches, bookmarks
from studio.store import schema as s
from studio.store.bookmarks import Bookmark
from studio.store.schema_inspect import bookmark

NAME = "steplens.bookmark"
EVERY = 2**31 - 1


class Place(msgspec.Struct, frozen=True):
    """The metadata of an annotation: what `bookmark` holds beyond label and explanation."""

    uid: str
    trace_uid: str
    start: int
    end: int
    quote: str
    sha256: str  # of the quote
    tags: tuple[str, ...] = ()
    author: str = ""
    created_at: str = ""
    changed_at: str = ""


class Result(msgspec.Struct, frozen=True):
    """What was said."""

    label: str | None = None
    score: float | None = None
    explanation: str | None = None


class SpanAnnotation(msgspec.Struct, frozen=True):
    """One entry of `data`."""

    span_id: str
    name: str
    annotator_kind: str
    result: Result
    metadata: msgspec.Raw


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What an import did: new ones, those that are here already, those whose trace or quote is not, in words."""

    new: int
    known: int
    left_out: tuple[str, ...]
    changes: Changes

    def __str__(self) -> str:
        """One line."""
        return f"{self.new:,} bookmarks taken in, {self.known:,} known already, {len(self.left_out):,} left out"


def span_id(trace_uid: str) -> str:
    """The id that `studio.exchange.report_text` gives the trace's span."""
    return hashlib.sha256(trace_uid.encode()).hexdigest()[32:48]


def write(c: Connection, path: Path, marks: Sequence[Bookmark] | None = None) -> int:
    """Write bookmarks (None: all) and return how many. Raises StoreError."""
    wanted = bookmarks.every(c, limit=EVERY) if marks is None else marks
    said = json.dumps({"data": [_entry(mark) for mark in wanted]}, ensure_ascii=False, indent=1)
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_text(said + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        raise StoreError(f"{path}: bookmarks cannot be written: {error.strerror}; choose another place") from error
    finally:
        aside.unlink(missing_ok=True)
    return len(wanted)


def read(c: Connection, path: Path) -> TakenIn:
    """Take bookmarks in. A known one (by uid) stays as it is. Raises StoreError for a file of another kind."""
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=dict[str, list[SpanAnnotation]])["data"]
    except (OSError, KeyError, msgspec.DecodeError) as error:
        raise StoreError(f"{path}: no span annotations: {error}; give a file with {{'data': [...]}}") from error
    new = known = 0
    left_out = []
    for number, entry in enumerate(entries, 1):
        if entry.name != NAME:
            left_out.append(f"entry {number}: an annotation {entry.name!r}, not a bookmark")
            continue
        try:
            place = msgspec.json.decode(entry.metadata, type=Place)
        except msgspec.DecodeError as error:
            left_out.append(f"entry {number}: {error}")
            continue
        if c.scalar(select(bookmark.c.id).where(bookmark.c.uid == place.uid)) is not None:
            known += 1
        elif why := _take(c, entry, place):
            left_out.append(f"entry {number}: {why}")
        else:
            new += 1
    return TakenIn(new, known, tuple(left_out), changed(Topic.BOOKMARKS) if new else Changes())


def _take(c: Connection, entry: SpanAnnotation, place: Place) -> str:
    """Store one; why not, where it cannot be."""
    t = s.trace.c
    row = c.execute(select(t.id, t.text).where(t.uid == place.trace_uid, batches.visible(t.batch_id))).first()
    if row is None:
        return f"there is no trace {place.trace_uid} here"
    if hashlib.sha256(place.quote.encode()).hexdigest() != place.sha256:
        return "its quote is not the one that was hashed"
    span = bookmarks.anchored(row.text, place.start, place.end, place.quote)
    if span is None:
        return f"its quote does not stand in trace {place.trace_uid} any more"
    bookmarks.store(
        c,
        row.id,
        span.start,
        span.end,
        place.quote,
        uid=place.uid,
        state=bookmarks.KEPT,
        comment=entry.result.explanation or "",
        tags=bookmarks.clean_tags(place.tags),
        author=place.author,
        **{name: said for name in ("created_at", "changed_at") if (said := getattr(place, name))},
    )
    return ""


def _entry(mark: Bookmark) -> dict[str, Any]:
    place = Place(
        mark.uid,
        mark.trace_uid,
        mark.start,
        mark.end,
        mark.quote,
        hashlib.sha256(mark.quote.encode()).hexdigest(),
        mark.tags,
        mark.author,
        mark.created_at,
        mark.changed_at,
    )
    return {
        "span_id": span_id(mark.trace_uid),
        "name": NAME,
        "annotator_kind": "HUMAN",
        "result": {"label": mark.tags[0] if mark.tags else "bookmark", "score": None, "explanation": mark.comment},
        "metadata": msgspec.to_builtins(place),
    }
