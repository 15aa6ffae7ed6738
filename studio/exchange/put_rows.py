"""Rows of one table put into a running transaction, past SQLAlchemy, whose share would be a third of the time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.engine.interfaces import DBAPICursor

INDEXED = "trace"  # what is put here goes into the full-text index, by a trigger
MOST_VALUES = 4_000  # of one statement; SQLite takes 32,766
STEPS_TOGETHER = 64  # half the time of one by one; more of them gain nothing


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


def put_steps(cursor: DBAPICursor, cuts: Iterable[tuple[int, Sequence[int], Sequence[int]]]) -> None:
    """Insert the steps of new segmentations, each with its starts and ends; a step's first id is its number."""
    rows = (zip(itertools.repeat(key), range(len(starts)), starts, ends, strict=False) for key, starts, ends in cuts)
    values = itertools.chain.from_iterable(itertools.chain.from_iterable(rows))
    whole = _steps_statement(STEPS_TOGETHER)
    while len(part := list(itertools.islice(values, 4 * STEPS_TOGETHER))) == 4 * STEPS_TOGETHER:
        cursor.execute(whole, part)
    if part:
        cursor.execute(_steps_statement(len(part) // 4), part)


def _steps_statement(count: int) -> str:
    marks = (f"(?{at}, ?{at + 1}, ?{at + 1}, ?{at + 2}, ?{at + 3})" for at in range(1, 4 * count, 4))
    return f'INSERT INTO step (segmentation_id, ordinal, step_id, start, "end") VALUES {", ".join(marks)}'
