r"""Find: the full text of traces and their problems (SQLite FTS5; triggers on `trace` keep the index).

What a person types is cut at spaces, except between quotation marks; every part must occur, as words in that order with
whatever signs between them, so `\frac{a}` finds LaTeX; the last word may go on. Parts without any letter or digit are
looked for literally; when there are only such parts, every text is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, column, exists, func, literal_column, select
from sqlalchemy import or_ as either
from sqlalchemy import table as table_named

from studio.store import batches
from studio.store.schema import project_trace, trace

MARK_START, MARK_END = "\x02", "\x03"  # around found words in a snippet
SNIPPET_WORDS = 14
SHORTEST_START = 2  # letters of a word that may go on; a single one would match half of all words
_PART = re.compile(r'"([^"]*)"?|([^\s"]+)')
INDEX = table_named("trace_find", column("rowid"), column("prompt"), column("text"))
_TEXTS = table_named("trace_words", column("id"), column("prompt"), column("text"))


@dataclass(frozen=True, slots=True)
class Hit:
    """A trace in which the text stands; found words of the snippet lie between MARK_START and MARK_END."""

    trace_id: int
    snippet: str


def search(
    c: Connection, text: str, *, project: int | None = None, limit: int = 50, offset: int = 0
) -> tuple[Hit, ...]:
    """Traces in which every part of `text` stands, oldest first; nothing for an empty text."""
    typed = cut(text)
    if typed.empty:
        return ()
    found = typed.found()
    query = found.query.where(*_seen(found.id, project)).order_by(found.id).limit(limit).offset(offset)
    if typed.words:
        marked = func.snippet(literal_column("trace_find"), -1, MARK_START, MARK_END, "…", SNIPPET_WORDS)
        return tuple(Hit(row[0], row[1]) for row in c.execute(query.add_columns(marked)))
    rows = c.execute(query.add_columns(_TEXTS.c.prompt, _TEXTS.c.text))
    return tuple(Hit(row[0], _excerpt((row[1], row[2]), typed.signs[0])) for row in rows)


def matching(text: str) -> Select[Any]:
    """The ids of the traces in which the text stands, whether published or not; none for an empty text."""
    return cut(text).found().query


@dataclass(frozen=True, slots=True)
class _Found:
    query: Select[Any]
    id: ColumnElement[int]


@dataclass(frozen=True, slots=True)
class Cut:
    """What a person typed: its parts with words, an FTS5 expression of them, and the parts that are signs alone."""

    parts: tuple[str, ...]
    words: str
    signs: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not self.words and not self.signs

    def found(self) -> _Found:
        source: FromClause = INDEX if self.words else _TEXTS
        key: ColumnElement[int] = INDEX.c.rowid if self.words else _TEXTS.c.id
        query = select(key.label("id")).select_from(source)
        if self.words:
            query = query.where(literal_column("trace_find").op("MATCH")(self.words))
        for part in self.signs:
            query = query.where(either(func.instr(source.c.prompt, part) > 0, func.instr(source.c.text, part) > 0))
        return _Found(query if not self.empty else query.where(literal_column("0")), key)


def cut(text: str) -> Cut:
    """Cut what a person typed at spaces, except between quotation marks."""
    words, signs = [], []
    for part in _parts(text):
        if any(letter.isalnum() for letter in part):
            words.append(part)
        else:
            signs.append(part)
    terms = [_quoted(part, goes_on=at == len(words) - 1) for at, part in enumerate(words)]
    return Cut(tuple(words), " AND ".join(terms), tuple(signs))


def _parts(text: str) -> Iterator[str]:
    for found in _PART.finditer(text.replace("\x00", " ")):
        part = found[1] if found[1] is not None else found[2]
        if part.strip():
            yield part.strip()


def _quoted(part: str, *, goes_on: bool) -> str:
    """A part as an FTS5 phrase; nothing in it can be an operator."""
    last = re.split(r"[\W_]+", part)[-1]
    return f'"{part.replace(chr(34), chr(34) * 2)}"' + ("*" if goes_on and len(last) >= SHORTEST_START else "")


def _seen(key: ColumnElement[int], project: int | None) -> tuple[ColumnElement[bool], ...]:
    shown = exists().where(trace.c.id == key, batches.visible(trace.c.batch_id))
    if project is None:
        return (shown,)
    return shown, exists().where(and_(project_trace.c.project_id == project, project_trace.c.trace_id == key))


def _excerpt(texts: tuple[str, str], part: str, around: int = 60) -> str:
    text = texts[0] if part in texts[0] else texts[1]
    at = text.find(part)
    start, end = max(0, at - around), at + len(part) + around
    before, after = "…" if start else "", "…" if end < len(text) else ""
    return f"{before}{text[start:at]}{MARK_START}{part}{MARK_END}{text[at + len(part) : end]}{after}"
