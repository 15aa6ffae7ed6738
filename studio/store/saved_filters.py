"""Searches and filters of traces that a person named, to be asked again."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, insert, select

from studio.errors import FindError
from studio.store.find_spans import Query
from studio.store.schema_inspect import saved_filter
from studio.store.trace_filter import Filter

FIND, TRACES = "find", "traces"  # kinds of saved filters: which form they fill


@dataclass(frozen=True, slots=True)
class SavedFilter:
    """A search and its name."""

    id: int
    name: str
    query: Query


@dataclass(frozen=True, slots=True)
class NamedFilter:
    """A filter of traces and its name."""

    id: int
    name: str
    filter: Filter


def save(c: Connection, name: str, query: Query) -> SavedFilter:
    """Keep a search under a name; one of that name is replaced. Raises FindError for an empty name."""
    named = name.strip()
    if not named:
        raise FindError("a saved search needs a name")
    c.execute(delete(saved_filter).where(saved_filter.c.name == named, saved_filter.c.kind == FIND))
    written = msgspec.json.encode(query).decode()
    made = c.execute(insert(saved_filter).values(name=named, query=written, project_id=query.project))
    assert made.inserted_primary_key is not None
    return SavedFilter(int(made.inserted_primary_key[0]), named, query)


def remove(c: Connection, filter_id: int) -> None:
    """Forget a saved search."""
    c.execute(delete(saved_filter).where(saved_filter.c.id == filter_id))


def every(c: Connection) -> tuple[SavedFilter, ...]:
    """All saved searches, by name."""
    rows = c.execute(select(saved_filter).where(saved_filter.c.kind == FIND).order_by(saved_filter.c.name))
    return tuple(SavedFilter(row.id, row.name, msgspec.json.decode(row.query, type=Query)) for row in rows)


def save_filter(c: Connection, name: str, wanted: Filter) -> NamedFilter:
    """Keep a filter of traces under a name; one of that name is replaced. Raises FindError for an empty name."""
    named = name.strip()
    if not named:
        raise FindError("a saved filter needs a name")
    c.execute(delete(saved_filter).where(saved_filter.c.name == named, saved_filter.c.kind == TRACES))
    values = {"name": named, "query": msgspec.json.encode(wanted).decode(), "kind": TRACES}
    made = c.execute(insert(saved_filter).values(**values))
    assert made.inserted_primary_key is not None
    return NamedFilter(int(made.inserted_primary_key[0]), named, wanted)


def filters(c: Connection) -> tuple[NamedFilter, ...]:
    """All saved filters of traces, by name."""
    rows = c.execute(select(saved_filter).where(saved_filter.c.kind == TRACES).order_by(saved_filter.c.name))
    return tuple(NamedFilter(row.id, row.name, msgspec.json.decode(row.query, type=Filter)) for row in rows)
