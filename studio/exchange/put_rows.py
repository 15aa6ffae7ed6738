"""Rows of one table put into a running transaction, past SQLAlchemy, whose share would be a third of the time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from sqlalchemy.engine.interfaces import DBAPICursor

INDEXED = "trace"  # what is put here goes into the full-text index, by a trigger
MOST_VALUES = 4_000  # of one statement; SQLite takes 32,766


def put_rows(cursor: DBAPICursor, table: str, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows; those of `trace` many in one statement.

    The full-text index begins a new part of itself with each statement that fires a trigger, and merges the parts
    afterwards: a row at a time costs a third more.
    """
    width = columns.count(",") + 1
    marks = f"({', '.join('?' * width)})"
    statement = f"INSERT INTO {table} ({columns}) VALUES "
    if table != INDEXED:
        cursor.executemany(statement + marks, rows)  # type: ignore[arg-type]  # sqlite3 takes any iterable
        return
    source = iter(rows)
    while part := list(itertools.islice(source, MOST_VALUES // width)):
        cursor.execute(statement + ", ".join([marks] * len(part)), list(itertools.chain.from_iterable(part)))
