"""A person's own SELECT over the workspace: on a connection that cannot write, bounded, and cancelled at once.

The file is opened read-only and with `query_only`; an authorizer lets through only what a SELECT needs, so nothing is
attached, no setting is changed and no extension loaded; a progress handler asks every few thousand instructions whether
somebody pressed Cancel.
"""

from __future__ import annotations

import csv
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from studio.errors import CancelledError, FindError
from studio.store.database import BUSY_MS

INSTRUCTIONS = 20_000  # of SQLite between two looks at Cancel
LONGEST_CELL = 20_000  # characters of a value that are kept
LARGEST_VALUE = 64_000_000  # bytes that SQLite itself may make of one value
TRACE_COLUMNS = ("trace_id", "trace")  # a column of this name opens traces
STEP_COLUMNS = ("step", "ordinal")
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_REFUSED_FUNCTIONS = {"load_extension", "fts3_tokenizer", "writefile", "readfile", "edit"}
Cell = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a SELECT; `more`: there are further ones beyond the limit."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: bool
    seconds: float

    def trace_of(self, row: int) -> tuple[int, int] | None:
        """The trace that a row is about and its step (-1 = none), where a column says so."""
        names = [name.lower() for name in self.columns]
        at = next((names.index(name) for name in TRACE_COLUMNS if name in names), None)
        found = None if at is None else self.rows[row][at]
        if not isinstance(found, int):
            return None
        where = next((names.index(name) for name in STEP_COLUMNS if name in names), None)
        step = -1 if where is None else self.rows[row][where]
        return found, step if isinstance(step, int) else -1


@dataclass(frozen=True, slots=True)
class TableHelp:
    """A table and its columns with their types."""

    name: str
    columns: tuple[tuple[str, str], ...]


def ask(path: Path, sql: str, *, limit: int, check: Callable[[], None] = lambda: None) -> Answer:
    """Run one SELECT. `check` is asked often and may raise CancelledError. Raises FindError in SQLite's own words."""
    began = time.perf_counter()
    with _rows(path, sql, check) as cursor:
        rows = [tuple(map(_short, row)) for row in cursor.fetchmany(limit + 1)]
        columns = _names(cursor)
    return Answer(columns, tuple(rows[:limit]), len(rows) > limit, time.perf_counter() - began)


def write_csv(path: Path, sql: str, target: Path, *, check: Callable[[], None] = lambda: None) -> int:
    """Run one SELECT and write all of its rows, none of them cut; returns how many. Raises as `ask`, and OSError."""
    count = 0
    aside = target.with_name(f".{target.name}.part")
    try:
        with _rows(path, sql, check) as cursor, aside.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(_names(cursor))
            for row in cursor:
                writer.writerow(_plain(row))
                count += 1
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return count


@contextmanager
def _rows(path: Path, sql: str, check: Callable[[], None]) -> Iterator[sqlite3.Cursor]:
    """A cursor over a SELECT; errors, also those of reading on, are said for a person."""
    stopped: list[BaseException] = []

    def look() -> int:
        try:
            check()
        except CancelledError as error:
            stopped.append(error)
            return 1
        return 0

    with closing(_open(path)) as c:
        c.set_progress_handler(look, INSTRUCTIONS)
        try:
            cursor = c.execute(sql)
            if cursor.description is None:
                raise FindError("that asks for nothing: begin with SELECT or WITH")
            yield cursor
        except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
            if stopped:
                raise CancelledError("the query was stopped") from None
            raise FindError(_words(error)) from error


def _names(cursor: sqlite3.Cursor) -> tuple[str, ...]:
    return tuple(str(each[0]) for each in cursor.description)


def tables(path: Path) -> tuple[TableHelp, ...]:
    """The workspace's tables, without SQLite's own and those of the full-text index."""
    with closing(sqlite3.connect(_uri(path), uri=True)) as c:
        names = [row[0] for row in c.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        found = [name for name in names if not name.startswith(("sqlite_", "trace_find_", "alembic_"))]
        return tuple(
            TableHelp(name, tuple((row[1], row[2]) for row in c.execute(f'PRAGMA table_info("{name}")')))
            for name in found
        )


def _plain(row: Sequence[Cell]) -> Iterator[Cell]:
    for cell in row:
        yield cell.hex() if isinstance(cell, bytes) else cell


def _open(path: Path) -> sqlite3.Connection:
    c = sqlite3.connect(_uri(path), uri=True, timeout=BUSY_MS / 1000)
    c.execute("PRAGMA query_only=1").close()
    c.execute("SELECT rowid FROM trace_find LIMIT 0").close()  # opening the full-text index takes rights of its own
    c.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
    c.set_authorizer(_authorize)
    return c


def _uri(path: Path) -> str:
    return f"file:{quote(str(path.resolve()))}?mode=ro"


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if (second or "").lower() in _REFUSED_FUNCTIONS else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first == "data_version":  # FTS5 asks for it by itself
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _short(cell: Cell) -> Cell:
    return cell[:LONGEST_CELL] if isinstance(cell, str | bytes) else cell


def _words(error: Exception) -> str:
    said = str(error)
    if any(word in said for word in ("not authorized", "authorization denied", "readonly")):
        return "only SELECT is run here: nothing in the workspace can be changed from this window"
    if "one statement at a time" in said:
        return "one SELECT at a time"
    return f"{said}; the tables and columns are named beside"
