"""Searches that a person named, to be asked again."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, insert, select

from studio.errors import FindError
from studio.store.find_spans import Query
from studio.store.schema import saved_filter


@dataclass(frozen=True, slots=True)
class SavedFilter:
    """A search and its name."""

    id: int
    name: str
    query: Query


def save(c: Connection, name: str, query: Query) -> SavedFilter:
    """Keep a search under a name; one of that name is replaced. Raises FindError for an empty name."""
    named = name.strip()
    if not named:
        raise FindError("a saved search needs a name")
    c.execute(delete(saved_filter).where(saved_filter.c.name == named))
    written = msgspec.json.encode(query).decode()
    made = c.execute(insert(saved_filter).values(name=named, query=written, project_id=query.project))
    assert made.inserted_primary_key is not None
    return SavedFilter(int(made.inserted_primary_key[0]), named, query)


def remove(c: Connection, filter_id: int) -> None:
    """Forget a saved search."""
    c.execute(delete(saved_filter).where(saved_filter.c.id == filter_id))


def every(c: Connection) -> tuple[SavedFilter, ...]:
    """All saved searches, by name."""
    rows = c.execute(select(saved_filter).order_by(saved_filter.c.name))
    return tuple(SavedFilter(row.id, row.name, msgspec.json.decode(row.query, type=Query)) for row in rows)
